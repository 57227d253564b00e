"""Bindings that hear their changes in a test."""

from __future__ import annotations

from typing import Any

import pytest

from bindserver import Binding
from bindserver.testing import Live
from tests.app import bindings as app
from tests.app.models import Product, Tag
from tests.support.registered import keep_out

pytestmark = pytest.mark.django_db


@pytest.fixture
def live() -> Live:
    return Live()


class TestKeeping:
    class TellingBinding(Binding[Product]):
        model = Product
        fields = ["id", "name"]
        told: list[tuple[str, Any]]

        def message(self, action: str, payload: Any) -> None:
            if payload and "broken" in str(payload):
                raise RuntimeError("a mistake in the hook")
            self.told.append((action, payload))

    @pytest.fixture
    def telling(self) -> Any:
        return type("Telling", (self.TellingBinding,), {"told": []})

    def test_message_hears_each_change(self, live: Live, telling: Any) -> None:
        live.keep(telling)
        pen = Product.objects.create(name="pen")
        ink = Product.objects.create(name="ink")
        assert telling.told == [("sync", [])]
        live.settle()
        rows = [{"id": pen.pk, "name": "pen"}, {"id": ink.pk, "name": "ink"}]
        assert telling.told[1:] == [("create", row) for row in rows]

    def test_message_may_write(self, live: Live, telling: Any) -> None:
        class LoggingBinding(telling):  # type: ignore[misc]  # made by a fixture
            def message(self, action: str, payload: Any) -> None:
                Tag.objects.create(name=action)

        live.keep(LoggingBinding())
        assert [tag.name for tag in Tag.objects.all()] == ["sync"]

    def test_what_message_raises_is_raised_and_harms_nobody(self, live: Live, telling: Any) -> None:
        live.keep(telling)
        c = live.subscribe(app.ProductBinding)
        Product.objects.create(name="broken")
        with pytest.raises(RuntimeError, match="a mistake in the hook"):
            live.settle()
        assert [row["name"] for row in c.rows] == ["broken"]

    def test_a_long_sync_is_told_as_one(self, live: Live, telling: Any) -> None:
        Product.objects.bulk_create(Product(name=str(n)) for n in range(1500))
        live.keep(telling)
        ((action, rows),) = telling.told
        assert (action, len(rows)) == ("sync", 1500)


keep_out(globals())
