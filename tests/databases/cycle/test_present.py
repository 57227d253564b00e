"""Bindings that compare with Python's clock: refused, unless they say how old rows may be."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils import timezone
from django.utils.timezone import now as usual_now
from rest_framework import serializers

from bindserver import Binding
from bindserver.bindings import refreshing
from bindserver.bindings.clock import clock_at
from bindserver.checks.bindings import problems_of
from bindserver.queries.python_time import compared_with
from tests.app.models import Booking
from tests.support.turning import Turning

HOUR = timedelta(hours=1)


def declare(**declared: Any) -> type[Binding[Booking]]:
    body = {"model": Booking, "event": "bookings", "fields": ["id"], **declared}
    return type("Bookings", (Binding,), body)


def by_now(self: Any) -> Any:
    return {"end__gt": timezone.now()}


def by_imported(self: Any) -> Any:
    return {"end__gt": usual_now() - HOUR}


def by_hour(self: Any) -> Any:
    return {"end__gt": timezone.now().replace(minute=0, second=0, microsecond=0)}


def by_day(self: Any) -> Any:
    return {"day__gte": timezone.localdate()}


def by_date(self: Any) -> Any:
    return {"day__gte": datetime.date.today()}  # noqa: DTZ011


def by_python(self: Any) -> Any:
    return {"end__gt": datetime.datetime.now(datetime.UTC)}


def by_helper(self: Any) -> Any:
    return {"start__range": (an_hour_ago(), an_hour_ago() + HOUR)}


def an_hour_ago() -> datetime.datetime:
    return usual_now() - HOUR


WRONG = [by_now, by_imported, by_hour, by_day, by_date, by_python, by_helper]


@pytest.mark.parametrize("filters", WRONG)
def test_a_check_says_that_it_is_never_right(filters: Any) -> None:
    [found] = problems_of(declare(filters=filters))
    assert found.id == "bindserver.E066"
    assert "Now()" in str(found.hint)
    [found] = problems_of(declare(filters=filters, event=None))
    assert found.id == "bindserver.W066"
    assert problems_of(declare(filters=filters, refresh_seconds=30)) == []


@pytest.mark.parametrize("filters", WRONG)
def test_no_view_is_made_of_it(sqlite_turning: Turning, filters: Any) -> None:
    followers = [sqlite_turning.follow(declare(filters=filters)()) for _ in range(3)]
    sqlite_turning.turn()
    assert [f.told() for f in followers] == [["error"]] * 3
    assert sqlite_turning.views() == []


def test_python_is_answered_all_the_same(database: Any) -> None:
    Booking.objects.create(pk=1, end=timezone.now() + HOUR)
    assert declare(filters=by_now)().all().keys() == [1]


def test_what_a_class_body_has_from_a_clock_is_told_too() -> None:
    early = timezone.now().replace(microsecond=1)
    for declared in (
        {"filters": {"end__gt": early}},
        {"excludes": {"end__lte": early}, "refresh_seconds": 30},
        {"queryset": Booking.objects.filter(end__gt=early)},
    ):
        [found] = problems_of(declare(**declared))
        assert found.id == "bindserver.E066"


def by_param(self: Any) -> Any:
    return {"end__gt": self.params["since"]}


def by_year(self: Any) -> Any:
    return {"end__gt": datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)}


def by_stored(self: Any) -> Any:
    [end] = Booking.objects.values_list("end", flat=True)[:1]
    return {"end__gte": end}


def test_other_moments_are_let_be(sqlite_turning: Turning) -> None:
    moment = timezone.now()
    Booking.objects.create(pk=1, end=moment)
    params = {"since": serializers.DateTimeField()}
    kinds = [declare(filters=by_year), declare(filters=by_stored)]
    bindings = [kind() for kind in kinds]
    kind = declare(filters=by_param, params=params)
    bindings.append(kind(params={"since": (moment - HOUR).isoformat()}))
    followers = [sqlite_turning.follow(binding) for binding in bindings]
    sqlite_turning.turn()
    assert [f.column("id") for f in followers] == [[1]] * 3
    for one in (*kinds, kind):
        assert problems_of(one) == []


def test_a_check_asks_no_database(database: Any) -> None:
    """What a binding says from rows, it says to subscribers only."""

    def by_rows(self: Any) -> Any:
        return {"end__gt": timezone.now(), "pk__in": list(Booking.objects.all())}

    assert problems_of(declare(filters=by_rows)) == []


@pytest.mark.parametrize("ask", [timezone.now, timezone.localtime, usual_now])
def test_the_clock_stands_for_whom_it_is_set_alone(ask: Callable[[], Any]) -> None:
    with clock_at(0):
        assert ask().timestamp() == 0
        assert timezone.is_aware(ask())
    assert abs(ask() - datetime.datetime.now(datetime.UTC)) < HOUR


AGES = 10**9
"""Between 2001 and 2033 one such period never ends."""


def test_all_who_ask_in_one_period_share_a_view(turning: Turning) -> None:
    Booking.objects.create(pk=1, end=timezone.now() + HOUR)
    kind = declare(filters=by_now, refresh_seconds=AGES)
    followers = [turning.follow(kind(auth=number)) for number in range(20)]
    turning.turn()
    assert [f.column("id") for f in followers] == [[1]] * 20
    assert len(turning.views()) == 1


def test_who_looks_back_further_has_another(turning: Turning) -> None:
    def by_age(self: Any) -> Any:
        return {"end__gt": timezone.now() - HOUR * self.params["hours"]}

    kind = declare(filters=by_age, refresh_seconds=AGES, params={"hours": int})
    for number, hours in enumerate((1, 2, 1)):
        turning.follow(kind(auth=number, params={"hours": hours}))
    turning.turn()
    assert len(turning.views()) == 2


def test_what_asks_python_itself_is_left_apart(turning: Turning) -> None:
    kind = declare(filters=by_python, refresh_seconds=AGES)
    for number in range(3):
        turning.follow(kind(auth=number))
    turning.turn()
    assert len(turning.views()) == 3


def test_in_the_next_period_all_are_asked_again_and_stay_together(
    turning: Turning, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
    Booking.objects.create(pk=1, end=start + HOUR)
    Booking.objects.create(pk=2, end=start + 3 * HOUR)
    clock = SimpleNamespace(time=start.timestamp, monotonic=time.monotonic)
    monkeypatch.setattr(refreshing, "time", clock)
    kind = declare(filters=by_now, refresh_seconds=3600)
    followers = [turning.follow(kind(auth=number)) for number in range(5)]
    turning.turn()
    assert [f.column("id") for f in followers] == [[1, 2]] * 5
    clock.time = (start + 2 * HOUR).timestamp
    for live in turning.views():
        live.refresh_at = time.monotonic()
        turning.store.alarms.set(live)
    turning.turn()
    assert [f.column("id") for f in followers] == [[2]] * 5
    assert [f.told() for f in followers] == [["sync", "delete"]] * 5
    late = turning.follow(kind(auth=5))
    turning.turn()
    assert late.column("id") == [2]
    assert len(turning.views()) == 1


def test_compared_with_tells_the_moment() -> None:
    found = compared_with(declare(filters=by_now)())
    assert isinstance(found, datetime.datetime)
    assert compared_with(declare()()) is None
