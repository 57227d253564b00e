"""Views are compared with the database: what differs is healed and told, what has moved is not."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import pytest
from django.db import connections
from django.db.models.functions import Now
from django.test import override_settings
from rest_framework import serializers

from bindserver import Binding
from bindserver.bindings.registry import registry
from bindserver.capture.log_source import LogSource
from bindserver.cycle import loading
from bindserver.cycle.auditor import in_words
from bindserver.cycle.claims import Claim, Kind
from bindserver.cycle.inbox import Caller, ReadRequest, SnapshotRequest
from bindserver.cycle.load_messages import Audited, Wanted
from bindserver.exceptions import QueryTimeout
from tests.app.bindings import CatalogueBinding, CheapBinding, PartBinding, TaggedBinding
from tests.app.models import Booking, Product, Tag
from tests.support.passing import passing_time
from tests.support.registered import keep_out
from tests.support.turning import LOAD_SECONDS, Turning, add, part


@pytest.fixture(autouse=True)
def always() -> Iterator[None]:
    """An audit is due whenever a test says so, and bindings are gone afterwards."""
    known = registry.all()
    with override_settings(BINDSERVER={"AUDIT_SHARE": 1}):
        yield
    for binding in registry.all():
        if binding not in known:
            registry.remove(binding)


class Going(Binding[Booking]):
    """Rows that leave as time passes."""

    event = "going"
    queryset = Booking.objects.filter(end__gt=Now())
    fields = ["id"]
    ordering = ["id"]


keep_out(globals())

ENDLESS = {
    "sqlite": "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n) "
    "SELECT max(i) FROM n",
    "postgresql": "SELECT pg_sleep(600)",
    "mysql": "SELECT SLEEP(600)",
}
"""A statement that takes far longer than any test waits."""


def lose(turning: Turning, write: Callable[[], object]) -> None:
    """Have something written of which the log says nothing."""
    with patch.object(LogSource, "changes", lambda self, since: []):
        write()
        turning.turn()


def outcomes(turning: Turning) -> dict[str, int]:
    return {outcome: count for (_, outcome), count in turning.store.figures.audits.items()}


def differences(turning: Turning) -> dict[str, int]:
    return {kind: count for (_, kind), count in turning.store.figures.differences.items()}


class TestALostChange:
    def test_of_each_kind_is_found_and_the_client_is_sent_what_differs(
        self, turning: Turning
    ) -> None:
        products = turning.follow(part(category=1))
        turning.turn()

        def write() -> None:
            Product.objects.filter(pk=10).update(name="renamed")
            Product.objects.filter(pk=11).delete()
            add(12, 1, name="new")

        lose(turning, write)
        assert products.column("name") == ["product 10", "product 11"]
        products.told()
        turning.audit()
        assert sorted(products.column("name")) == ["new", "renamed"]
        assert products.told() == ["batch"]
        assert differences(turning) == {"missing": 1, "outdated": 1, "surplus": 1}
        turning.audit()
        assert outcomes(turning) == {"different": 1, "same": 1}

    def test_of_a_row_s_place_is_found(self, turning: Turning) -> None:
        class Placed(Binding[Product]):
            event = "placed"
            queryset = Product.objects.order_by("stock", "pk")
            fields = ["id"]

        placed = turning.follow(Placed())
        turning.turn()
        lose(turning, lambda: Product.objects.filter(pk=10).update(stock=99))
        turning.audit()
        assert placed.column("id")[-1] == 10
        assert differences(turning) == {"misplaced": 1}

    @pytest.mark.parametrize("kind", [CatalogueBinding, CheapBinding])
    def test_is_found_where_the_database_gives_places_and_in_windows(
        self, turning: Turning, kind: type[Binding[Product]]
    ) -> None:
        followed = turning.follow(kind())
        turning.turn()
        lose(turning, lambda: Product.objects.filter(pk=10).update(name="renamed"))
        turning.audit()
        assert "renamed" in followed.column("name")

    def test_of_more_rows_than_a_turn_reads_is_healed_by_the_loader(self, turning: Turning) -> None:
        with override_settings(BINDSERVER={"AUDIT_SHARE": 1, "SYNC_ROWS": 2}):
            products = turning.follow(part())
            turning.turn()
            lose(turning, lambda: Product.objects.update(name="renamed"))
            turning.audit()
            assert set(products.column("name")) == {"renamed"}

    def test_is_logged_once_for_each_binding_by_keys_and_without_rows(
        self, turning: Turning, caplog: pytest.LogCaptureFixture
    ) -> None:
        turning.follow(part(category=1))
        turning.turn()
        for number in range(2):
            name = f"a secret {number}"
            lose(turning, lambda name=name: Product.objects.filter(pk=10).update(name=name))  # type: ignore[misc]
            turning.audit()
        (told,) = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
        assert "a view of part (tests.app.bindings.PartBinding) was not what the database" in told
        assert "1 outdated (10)" in told
        assert "a secret" not in told
        assert differences(turning) == {"outdated": 2}

    def test_is_found_in_a_view_that_nobody_follows_any_more(self, turning: Turning) -> None:
        request = SnapshotRequest(binding=PartBinding, caller=Caller(), params={"category": 1})
        turning.ask(request)
        turning.turn()
        (live,) = turning.views()
        right = live.rows.view.rows[10]
        live.rows.view.rows[10] = "what was before"
        turning.audit()
        later = SnapshotRequest(binding=PartBinding, caller=Caller(), params={"category": 1})
        turning.ask(later)
        turning.turn()
        assert later.answer.result().rows[10] == right
        assert differences(turning) == {"outdated": 1}

    def test_is_found_in_rows_for_python(self, turning: Turning) -> None:
        turning.ask(ReadRequest(instance=part(category=1)))
        turning.turn()
        (live,) = turning.views()
        right = live.rows.view.rows[10]
        turning.audit()
        live.rows.view.rows[10] = "what was before"
        turning.audit()
        assert outcomes(turning) == {"same": 1, "different": 1}
        turning.ask(ReadRequest(instance=part(category=1)))
        turning.turn()
        assert live.rows.view.rows[10] == right


class Held:
    """Audits that wait until a test lets them go.

    Args:
        turning: whose.
    """

    def __init__(self, turning: Turning) -> None:
        self._turning = turning
        held: list[Claim] = []
        with patch.object(turning.loader, "audit", held.append):
            turning.begin_audit()
        (self._claim,) = held

    def read(self) -> Audited:
        self._turning.loader.audit(self._claim)
        return self._turning.next_audit()


def rename(name: str) -> None:
    Product.objects.filter(pk=10).update(name=name)


class TestAViewThatHasMoved:
    def test_between_the_read_and_the_comparison_does_not_differ(self, turning: Turning) -> None:
        products = turning.follow(part(category=1))
        turning.turn()
        turning.begin_audit()
        audited = turning.next_audit()
        rename("renamed")
        add(12, 1)
        Product.objects.filter(pk=11).delete()
        turning.turn()
        turning.judge(audited)
        assert differences(turning) == {}
        assert "renamed" in products.column("name")

    def test_in_the_turn_of_the_comparison_does_not_differ(self, turning: Turning) -> None:
        turning.follow(part(category=1))
        turning.turn()
        held = Held(turning)
        rename("renamed")
        turning.judge(held.read())
        assert differences(turning) == {}
        assert outcomes(turning) == {"same": 1}

    def test_and_back_again_does_not_differ(self, turning: Turning) -> None:
        turning.follow(part(category=1))
        turning.turn()
        held = Held(turning)
        rename("renamed")
        audited = held.read()
        assert audited.comparison is not None
        assert audited.comparison.differences == {10: Kind.OUTDATED}
        rename("product 10")
        turning.judge(audited)
        assert differences(turning) == {}

    def test_does_not_hide_what_differs_in_another_row(self, turning: Turning) -> None:
        products = turning.follow(part(category=1))
        turning.turn()
        lose(turning, lambda: Product.objects.filter(pk=11).update(name="lost"))
        held = Held(turning)
        rename("renamed")
        turning.judge(held.read())
        assert differences(turning) == {"outdated": 1}
        assert set(products.column("name")) == {"lost", "renamed"}

    def test_as_a_window_has_is_audited_later(self, turning: Turning) -> None:
        turning.follow(CheapBinding())
        turning.turn()
        held = Held(turning)
        Product.objects.filter(pk=10).update(price=7)
        turning.judge(held.read())
        assert outcomes(turning) == {"moved": 1}
        assert differences(turning) == {}

    def test_to_another_life_is_audited_later(self, turning: Turning) -> None:
        turning.follow(part(category=1))
        turning.turn()
        held = Held(turning)
        audited = held.read()
        for live in turning.views():
            live.forget()
        turning.judge(audited)
        assert outcomes(turning) == {"moved": 1}

    def test_as_time_has_passed_does_not_differ(self, turning: Turning) -> None:
        with passing_time() as passing:
            Booking.objects.create(pk=1, end=passing.hour(0.5))
            going = turning.follow(Going())
            turning.turn()
            assert going.column("id") == [1]
            held = Held(turning)
            passing.until(1)
            audited = held.read()
            assert audited.comparison is not None
            assert audited.comparison.differences == {1: Kind.SURPLUS}
            turning.judge(audited)
        assert differences(turning) == {}


class TestWhatMayDiffer:
    def test_rows_that_say_something_else_at_each_read_are_told_once_and_left_out(
        self, turning: Turning, caplog: pytest.LogCaptureFixture
    ) -> None:
        numbers = itertools.count()

        class Counted(serializers.ModelSerializer[Product]):
            number: Any = serializers.SerializerMethodField()

            class Meta:
                model = Product
                fields = ["id", "number"]

            def get_number(self, product: Product) -> int:
                return next(numbers)

        class Volatile(Binding[Product]):
            model = Product
            event = "volatile"
            serializer_class = Counted

        volatile = turning.follow(Volatile())
        turning.turn()
        volatile.told()
        turning.audit()
        assert outcomes(turning) == {"unrepeatable": 1}
        assert (differences(turning), volatile.told()) == ({}, [])
        turning.begin_audit()
        assert turning.store.auditor.next() is None
        (told,) = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
        assert "two reads of one state have given different rows" in told

    def test_a_list_in_another_order_is_sent_and_alarms_nobody(
        self, turning: Turning, caplog: pytest.LogCaptureFixture
    ) -> None:
        red, blue = Tag.objects.create(name="red"), Tag.objects.create(name="blue")
        Product.objects.get(pk=10).tags.set([red, blue])
        tagged = turning.follow(TaggedBinding())
        turning.turn()
        (live,) = turning.views()
        assert {"red", "blue"} == set(tagged.column("tags")[0])
        first = next(iter(live.rows.view.rows))
        text = live.rows.view.rows[first]
        swapped = text.replace("red", "x").replace("blue", "red").replace("x", "blue")
        live.rows.view.rows[first] = swapped
        turning.audit()
        assert differences(turning) == {"list_order": 1}
        assert live.rows.view.rows[first] == text
        assert not [r for r in caplog.records if r.levelno >= logging.WARNING]

    def test_rows_that_may_be_old_are_not_audited(self, turning: Turning) -> None:
        class Refreshed(Binding[Product]):
            model = Product
            event = "refreshed"
            fields = ["id"]
            refresh_seconds = 3600

        turning.follow(Refreshed())
        turning.turn()
        held: list[Claim] = []
        with patch.object(turning.loader, "audit", held.append):
            turning.begin_audit()
        assert held == []

    def test_a_serializer_that_fails_changes_nothing(self, turning: Turning) -> None:
        class Fails(serializers.ModelSerializer[Product]):
            class Meta:
                model = Product
                fields = ["id"]

            def to_representation(self, instance: Product) -> Any:
                if failing:
                    raise ValueError
                return super().to_representation(instance)

        class Failing(Binding[Product]):
            model = Product
            event = "failing"
            serializer_class = Fails

        failing: list[bool] = []
        followed = turning.follow(Failing())
        turning.turn()
        followed.told()
        failing.append(True)
        turning.audit()
        assert outcomes(turning) == {"failed": 1}
        assert followed.told() == []


class TestAnAudit:
    def test_makes_way_for_a_load(self, turning: Turning, monkeypatch: pytest.MonkeyPatch) -> None:
        turning.follow(part(category=1))
        turning.turn()
        (live,) = turning.views()
        usual = loading.read_whole

        def read_whole(queries: Any, recorder: Any, pacer: Any) -> Any:
            if queries[0] is live.query:
                return usual(queries, recorder, pacer)
            turning.loader.load(Wanted(lives=[live], since=live.position, durable=True))
            assert pacer.expired()
            raise QueryTimeout("the time is over")

        monkeypatch.setattr(loading, "read_whole", read_whole)
        turning.begin_audit()
        audited = turning.next_audit()
        assert audited.made_way
        assert turning.next_load().live is live
        turning.judge(audited)
        assert outcomes(turning) == {"moved": 1}

    def test_is_given_up_at_the_end(
        self, turning: Turning, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        turning.follow(part(category=1))
        turning.turn()
        began = threading.Event()

        def read_for_long(queries: Any, recorder: Any, pacer: Any) -> Any:
            began.set()
            until = time.monotonic() + LOAD_SECONDS
            while time.monotonic() < until:
                pacer.pause()
                time.sleep(0.001)
            pytest.fail("nobody has told it to end")

        monkeypatch.setattr(loading, "read_whole", read_for_long)
        turning.begin_audit()
        assert began.wait(LOAD_SECONDS)
        turning.loader.stop()
        assert turning.next_audit().comparison is None

    def test_that_waits_for_the_database_is_given_up_for_a_load(
        self, turning: Turning, each_database: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        turning.follow(part(category=1))
        turning.turn()
        (live,) = turning.views()
        usual, waits = loading.read_whole, threading.Event()

        def read_whole(queries: Any, recorder: Any, pacer: Any) -> Any:
            if queries[0] is live.query:
                return usual(queries, recorder, pacer)
            with connections["default"].cursor() as cursor:
                waits.set()
                cursor.execute(ENDLESS[each_database])
            raise AssertionError

        monkeypatch.setattr(loading, "read_whole", read_whole)
        turning.begin_audit()
        assert waits.wait(LOAD_SECONDS)
        turning.loader.load(Wanted(lives=[live], since=live.position, durable=True))
        loaded = turning.next_load()
        assert (loaded.live, loaded.problem) == (live, None)
        assert turning.next_audit().made_way

    def test_waits_until_nothing_is_to_be_loaded(
        self, turning: Turning, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        turning.follow(part(category=1))
        turning.turn()
        (live,) = turning.views()
        held = Held(turning)
        monkeypatch.setattr(turning.loader, "_begin", lambda: None)
        turning.loader.audit(held._claim)
        turning.loader.load(Wanted(lives=[live], since=live.position, durable=True))
        queue = turning.loader._wanted
        assert isinstance(queue.get(), Wanted)
        assert queue.get() is held._claim

    def test_goes_over_all_views_in_turn(self, turning: Turning) -> None:
        for number in (1, 2, 3):
            turning.follow(part(category=number))
        turning.turn()
        found = [turning.audit().claim.live for _ in range(6)]
        assert found == [*turning.views(), *turning.views()]


def test_many_keys_are_cut() -> None:
    told = in_words(dict.fromkeys(range(12), Kind.MISSING))
    assert told == "12 missing (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ...)"
