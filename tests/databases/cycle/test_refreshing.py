"""`refresh_seconds`: what cannot be followed is read whole from time to time."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from bindserver import Binding
from bindserver.cycle.inbox import Caller, ReadRequest, SessionRequest, SnapshotRequest
from bindserver.cycle.waiting import EVERYTHING
from bindserver.engine.effects import Ask
from bindserver.exceptions import BindingError
from bindserver.hub.hub import hub
from bindserver.queries.query import Query
from bindserver.testing import Live
from tests.app.models import Product
from tests.support.ear import Ear
from tests.support.turning import Turning, add

SHOWN = {"stock": 0}
"""What a binding reads, and nobody follows: a file, say, or another system."""


@pytest.fixture(autouse=True)
def show_nothing(forget_bindings: None) -> None:
    SHOWN["stock"] = 0


def of_stock(self: Any) -> dict[str, Any]:
    return {"stock": SHOWN["stock"]}


def declare(**declared: Any) -> type[Binding[Product]]:
    body = {"model": Product, "fields": ["id", "stock"], "event": "shown", "refresh_seconds": 60}
    return type("Shown", (Binding,), {**body, **declared})


def pass_time(turning: Turning, seconds: float) -> None:
    """Let so much time have passed for all views."""
    for live in turning.views():
        live.refresh_at -= seconds
        turning.store.alarms.set(live)


def test_a_view_is_read_whole_when_its_time_has_come_and_not_before(turning: Turning) -> None:
    follower = turning.follow(declare()())
    turning.turn()
    turning.turn()
    assert turning.statements == []
    due = turning.store.due()
    assert time.monotonic() + 50 < due <= time.monotonic() + 60
    pass_time(turning, 60)
    turning.turn()
    assert len(turning.statements) == 1
    assert follower.told() == ["sync"]
    assert turning.store.due() >= due
    turning.turn()
    assert turning.statements == []


def test_what_the_binding_says_then_is_what_is_read(turning: Turning) -> None:
    add(1, stock=1)
    kind = declare(filters=of_stock)
    one, other = turning.follow(kind()), turning.follow(kind())
    turning.turn()
    assert one.column("id") == [10, 11, 20, 21, 30, 31]
    SHOWN["stock"] = 1
    turning.turn()
    assert one.told() == other.told() == ["sync"]
    pass_time(turning, 60)
    turning.turn()
    assert one.column("id") == other.column("id") == [1]
    assert one.told() == ["batch"]
    assert len([live for live in turning.views() if live.wanted]) == 1


def test_one_who_reads_once_never_gets_older_rows(turning: Turning) -> None:
    add(1, stock=1)
    kind = declare(filters=of_stock)
    for ask in (
        lambda: ReadRequest(instance=kind()),
        lambda: SnapshotRequest(binding=kind, caller=Caller(), params={}),
    ):
        SHOWN["stock"] = 0
        pass_time(turning, 60)
        found = []
        for stock in (0, 1):
            SHOWN["stock"] = stock
            request: Any = ask()
            turning.ask(request)
            turning.turn()
            found.append(rows_of(request.answer.result(timeout=0)))
            pass_time(turning, 60)
        assert found == [6, 1]


def rows_of(answer: Any) -> int:
    return len(answer.rows if hasattr(answer, "rows") else answer)


def test_a_view_that_nobody_wants_is_not_read(turning: Turning) -> None:
    request = ReadRequest(instance=declare()())
    turning.ask(request)
    turning.turn()
    assert request.answer.done()
    pass_time(turning, 60)
    turning.turn()
    assert turning.statements == []
    assert turning.store.due() == math.inf


def test_views_of_one_shape_are_refreshed_in_one_query(turning: Turning) -> None:
    kind = declare(params={"category": int}, filters=lambda self: self.params)
    followers = [turning.follow(kind(params={"category": n})) for n in (1, 2, 3)]
    turning.turn()
    assert len(turning.statements) == 1
    pass_time(turning, 60)
    turning.turn()
    assert len(turning.statements) == 1
    assert [f.column("id") for f in followers] == [[10, 11], [20, 21], [30, 31]]


def test_two_that_are_refreshed_differently_are_two_views() -> None:
    every = [Binding(model=Product, fields=["id"], refresh_seconds=n) for n in (2, 3, None)]
    assert len({Query(binding).identity for binding in every}) == 3


@pytest.mark.parametrize("said", [0, 0.5, -1, True, "30", math.inf, math.nan])
def test_what_is_no_such_time_is_refused_at_run_time_too(said: Any) -> None:
    with pytest.raises(BindingError, match="refresh_seconds is a number of seconds, 1 at least"):
        Query(Binding(model=Product, fields=["id"], refresh_seconds=said))


async def test_a_cycle_that_waits_wakes_by_itself(database: Any) -> None:
    await sync_to_async(add)(1, stock=1)
    kind, ear = declare(filters=of_stock, refresh_seconds=1), Ear()
    request = SessionRequest(ear, Caller(), Ask(number=1, message=EVERYTHING), kind())
    try:
        hub.request(request)
        await ear.until(lambda: ear.actions == ["sync"])
        assert ear.replica.rows == []
        SHOWN["stock"] = 1
        await ear.until(lambda: ear.replica.rows)
        assert ear.actions == ["sync", "create"]
    finally:
        await sync_to_async(hub.stop)()


def test_in_tests_the_time_has_come_at_each_settling(live: Live) -> None:
    Product.objects.create(pk=1, stock=1)
    subscriber = live.subscribe(declare(filters=of_stock))
    assert subscriber.rows == []
    SHOWN["stock"] = 1
    live.settle()
    assert [row["id"] for row in subscriber.rows] == [1]
