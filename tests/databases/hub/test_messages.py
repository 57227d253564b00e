"""Bindings that hear their own changes, by `message`."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import transaction
from django.test import override_settings

from bindserver import Binding
from bindserver.bindings.registry import registry
from bindserver.hub.hub import hub
from tests.app.models import Product
from tests.support.shop import Shop


class Heard(Binding[Product]):
    model = Product
    fields = ["id", "name"]
    ordering = ["id"]
    calls: list[tuple[str, Any]] = []
    changed = threading.Condition()
    fails = False

    def message(self, action: str, payload: Any) -> None:
        with self.changed:
            self.calls.append((action, payload))
            self.changed.notify_all()
        if self.fails:
            raise ZeroDivisionError

    @classmethod
    def wait_for(cls, count: int) -> list[tuple[str, Any]]:
        with cls.changed:
            assert cls.changed.wait_for(lambda: len(cls.calls) >= count, timeout=15), cls.calls
            return list(cls.calls)


registry.remove(Heard)


class TestMessage:
    @pytest.fixture(autouse=True)
    def _fresh(self) -> None:
        Heard.calls.clear()
        Heard.fails = False

    def test_a_kept_binding_hears_each_change_once(self, shop: Shop) -> None:
        shop.add_products(1)
        hub.keep(Heard())
        hub.keep(Heard())
        assert Heard.wait_for(1) == [("sync", [{"id": 1, "name": "product 1"}])]
        Product.objects.create(pk=2, name="two", price=1)
        Heard.wait_for(2)
        Product.objects.get(pk=1).delete()
        assert Heard.wait_for(3)[1:] == [
            ("create", {"id": 2, "name": "two"}),
            ("delete", {"id": 1}),
        ]

    def test_changes_of_one_commit_come_one_by_one(self, shop: Shop) -> None:
        hub.keep(Heard())
        Heard.wait_for(1)
        with transaction.atomic():
            Product.objects.create(pk=1, name="one", price=1)
            Product.objects.create(pk=2, name="two", price=1)
        assert [action for action, _ in Heard.wait_for(3)] == ["sync", "create", "create"]

    @pytest.mark.filterwarnings("ignore")
    def test_one_that_fails_hears_the_next_all_the_same(
        self, shop: Shop, caplog: pytest.LogCaptureFixture
    ) -> None:
        Heard.fails = True
        hub.keep(Heard())
        Heard.wait_for(1)
        Product.objects.create(pk=1, name="one", price=1)
        Heard.wait_for(2)
        assert "Heard.message() failed" in caplog.text

    def test_one_that_is_too_slow_is_told_all_anew(self, shop: Shop) -> None:
        with override_settings(BINDSERVER={"MAX_OUTBOX_BYTES": 300, "COMPARE_SECONDS": 3600}):
            hub.keep(Heard())
            Heard.wait_for(1)
            with Heard.changed:  # so its next call has to wait
                for pk in range(1, 40):
                    Product.objects.create(pk=pk, name="x" * 20, price=1)
                    hub.read(Heard()).result(timeout=60)
            with Heard.changed:
                told = Heard.changed.wait_for(
                    lambda: any(a == "sync" and len(rows) == 39 for a, rows in Heard.calls),
                    timeout=15,
                )
            assert told
            assert len(Heard.calls) < 39
