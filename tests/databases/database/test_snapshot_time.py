"""What is read in one snapshot is of one present time, on each database."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections
from django.db.models import Q
from django.db.models.functions import Now

from bindserver.database.pacing import Pacer
from bindserver.database.snapshot import connect, open_connection, snapshot
from bindserver.queries.schedules import now_of
from tests.app.models import Booking, Category


@pytest.fixture
def own(each_database: str) -> Iterator[Any]:
    """A connection as the cycle's thread has it."""
    usual = connections["default"]
    connection = open_connection("default")
    connect(connection)
    yield connection
    connection.close()
    connections["default"] = usual


def times(count: int = 3) -> list[datetime.datetime]:
    """Return the present time as some statements have it, a while after one another."""
    found = []
    for _ in range(count):
        found.append(Category.objects.annotate(now=Now()).values_list("now", flat=True)[0])
        time.sleep(0.005)
    return found


def test_all_statements_of_a_snapshot_have_one_time(own: Any) -> None:
    Category.objects.create(pk=1, name="c")
    with snapshot(own, Pacer(60)):
        seen = times()
        assert len(set(seen)) == 1
        assert now_of(Category.objects.all(), own) == seen[0]


def test_the_next_snapshot_has_another_and_so_has_each_statement_outside(own: Any) -> None:
    Category.objects.create(pk=1, name="c")
    with snapshot(own, Pacer(60)):
        (first,) = times(1)
    with snapshot(own, Pacer(60)):
        (second,) = times(1)
    assert first < second
    assert len(set(times())) == 3


def test_it_is_the_present_time(own: Any) -> None:
    Category.objects.create(pk=1, name="c")
    before = times(1)[0]
    with snapshot(own, Pacer(60)):
        (inside,) = times(1)
    assert before < inside < times(1)[0]


def test_moments_are_compared_with_it_as_with_the_database_s_own(own: Any) -> None:
    hour = datetime.timedelta(hours=1)
    Category.objects.create(pk=1, name="c")
    now = times(1)[0]
    Booking.objects.create(pk=1, start=now - hour, end=now + hour)
    Booking.objects.create(pk=2, start=now + hour, end=now + 2 * hour)
    with snapshot(own, Pacer(60)):
        going_on = Booking.objects.filter(start__lte=Now(), end__gt=Now())
        soon = Booking.objects.filter(Q(start__gt=Now()) & Q(start__lt=Now() + 2 * hour))
        assert list(going_on.values_list("pk", flat=True)) == [1]
        assert list(soon.values_list("pk", flat=True)) == [2]
        assert going_on.filter(name__contains="%").count() == 0
