"""Rows leave and enter as time passes, by the database's own clock, and nobody writes anything.

The instants are hours apart, and the hours pass when a test says so.
"""

from __future__ import annotations

import datetime
import math
import time
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Now
from django.test import override_settings

from bindserver import Binding
from bindserver.cycle.inbox import Caller, ReadRequest, SessionRequest, SnapshotRequest
from bindserver.cycle.live_view import ViewState
from bindserver.cycle.waiting import EVERYTHING
from bindserver.engine.effects import Ask
from bindserver.engine.protocol import Subscribe
from bindserver.hub.hub import hub
from tests.app.models import Booking, Category
from tests.faults.ticks import FAULTS
from tests.support.ear import Ear
from tests.support.passing import Passing, database_now, passing_time
from tests.support.turning import Follower, Turning

HOUR = datetime.timedelta(hours=1)


@pytest.fixture
def passing(each_database: str) -> Iterator[Passing]:
    with passing_time() as passing:
        yield passing


@pytest.fixture
def turns(passing: Passing) -> Iterator[Turning]:
    with Turning() as turning:
        yield turning


def declare(queryset: Any, **declared: Any) -> type[Binding[Booking]]:
    body = {"event": "bookings", "fields": ["id", "name"], "ordering": ["id"]}
    return type("Bookings", (Binding,), {"queryset": queryset, **body, **declared})


OPEN = Booking.objects.filter(start__lte=Now(), end__gt=Now())


def book(pk: int, start: datetime.datetime, end: datetime.datetime, **more: Any) -> Booking:
    return Booking.objects.create(pk=pk, start=start, end=end, **more)


class TestTicks:
    def test_rows_leave_and_enter_in_time_and_without_a_write(
        self, passing: Passing, turns: Turning
    ) -> None:
        book(1, passing.hour(-1), passing.hour(0.5))
        book(2, passing.hour(0.5), passing.hour(1.5))
        book(3, passing.hour(-1), passing.hour(9.5))
        follower = turns.follow(declare(OPEN)())
        turns.turn()
        assert follower.column("id") == [1, 3]
        assert turns.store.due() <= time.monotonic() + 60
        follower.told()
        passing.until(1, turns)
        assert turns.store.due() <= time.monotonic()
        turns.turn()
        assert (follower.column("id"), follower.told()) == ([2, 3], ["batch"])
        passing.until(2, turns)
        turns.turn()
        assert (follower.column("id"), follower.told()) == ([3], ["delete"])
        passing.until(3, turns)
        turns.turn()
        assert follower.told() == []
        passing.until(10, turns)
        turns.turn()
        assert follower.column("id") == []
        turns.turn()
        assert turns.store.due() == math.inf
        assert turns.statements == []

    def test_a_turn_before_the_moment_asks_for_nothing(
        self, passing: Passing, turns: Turning
    ) -> None:
        book(1, passing.hour(-1), passing.hour(0.5))
        follower = turns.follow(declare(OPEN)())
        turns.turn()
        turns.turn()
        assert turns.statements == []
        assert follower.told() == ["sync"]

    def test_what_crosses_is_read_by_its_keys(self, passing: Passing, turns: Turning) -> None:
        for pk in range(1, 50):
            book(pk, passing.hour(-1), passing.hour(20.5))
        book(50, passing.hour(-1), passing.hour(0.5))
        turns.follow(declare(OPEN)())
        turns.turn()
        passing.until(1, turns)
        turns.turn()
        assert len([sql for sql in turns.statements if " IN (%s)" in sql]) == 1
        # Each of two columns: what has crossed, and what crosses next.
        assert len(turns.statements) == 1 + 2 * 2

    @pytest.mark.parametrize("lands_at", [0.5, 1.5])
    def test_a_change_brings_the_moment_nearer_or_takes_it_away(
        self, passing: Passing, turns: Turning, lands_at: float
    ) -> None:
        book(1, passing.hour(-1), passing.hour(9.5))
        follower = turns.follow(declare(OPEN)())
        turns.turn()
        Booking.objects.update(end=passing.hour(lands_at))
        turns.turn()
        passing.until(1, turns)
        turns.turn()
        assert follower.column("id") == ([] if lands_at < 1 else [1])
        passing.until(2, turns)
        turns.turn()
        assert follower.column("id") == []

    def test_a_row_that_is_written_enters_later(self, passing: Passing, turns: Turning) -> None:
        follower = turns.follow(declare(OPEN)())
        turns.turn()
        assert turns.store.due() == math.inf
        book(1, passing.hour(0.5), passing.hour(1.5))
        turns.turn()
        assert follower.column("id") == []
        passing.until(1, turns)
        turns.turn()
        assert follower.column("id") == [1]

    def test_views_of_one_shape_ask_once(self, passing: Passing, turns: Turning) -> None:
        for number in range(1, 21):
            Category.objects.create(pk=number, name="c")
            book(number, passing.hour(-1), passing.hour(0.5), category_id=number)
            book(100 + number, passing.hour(-1), passing.hour(5.5), category_id=number)
        kind = declare(
            OPEN,
            params={"category": int},
            filters=lambda self: {"category": self.params["category"]},
        )
        followers = [turns.follow(kind(params={"category": n})) for n in range(1, 21)]
        turns.turn()
        passing.until(1, turns)
        turns.turn()
        assert [f.column("id") for f in followers] == [[100 + n] for n in range(1, 21)]
        assert len(turns.statements) == 1 + 2 * 2

    def test_a_window_is_read_whole(self, passing: Passing, turns: Turning) -> None:
        for pk in (1, 2, 3):
            book(pk, passing.hour(-1), passing.hour(pk - 0.5))
        follower = turns.follow(declare(OPEN, limit=2)())
        turns.turn()
        assert follower.column("id") == [1, 2]
        passing.until(1, turns)
        turns.turn()
        assert follower.column("id") == [2, 3]

    def test_a_big_view_ticks_too(self, passing: Passing, turns: Turning) -> None:
        with override_settings(BINDSERVER={"SYNC_ROWS": 2}):
            for pk in range(1, 6):
                book(pk, passing.hour(-1), passing.hour(pk - 0.5))
            follower = turns.follow(declare(OPEN)())
            turns.turn()
            assert follower.column("id") == [1, 2, 3, 4, 5]
            passing.until(1, turns)
            turns.turn()
            assert follower.column("id") == [2, 3, 4, 5]
            passing.until(5, turns)
            turns.turn()
            assert follower.column("id") == []

    def test_time_that_passes_while_it_is_loaded_is_not_lost(
        self, passing: Passing, turns: Turning
    ) -> None:
        with override_settings(BINDSERVER={"SYNC_ROWS": 2}):
            for pk in range(1, 6):
                book(pk, passing.hour(-1), passing.hour(pk - 0.5))
            follower = turns.follow(declare(OPEN)())
            turns.take_one()
            loaded = turns.next_load()
            passing.until(2)
            turns.take_one(loaded)
            turns.turn()
            assert follower.column("id") == [3, 4, 5]

    def test_a_clock_that_is_set_back_is_believed(self, passing: Passing, turns: Turning) -> None:
        book(1, passing.hour(-1), passing.hour(1.5))
        follower = turns.follow(declare(OPEN)())
        turns.turn()
        passing.until(2, turns)
        turns.turn()
        assert follower.column("id") == []
        passing.until(1)
        late = turns.follow(declare(OPEN)())
        turns.turn()
        assert late.column("id") == [1]

    def test_nothing_is_asked_for_a_view_that_nobody_wants(
        self, passing: Passing, turns: Turning
    ) -> None:
        book(1, passing.hour(-1), passing.hour(0.5))
        request = ReadRequest(instance=declare(OPEN)())
        turns.ask(request)
        turns.turn()
        passing.until(1, turns)
        turns.turn()
        assert turns.statements == []
        assert turns.store.due() == math.inf


class TestWhoAsks:
    """Nobody is given a row that has expired, though the cycle has not woken yet."""

    @pytest.fixture
    def kind(self, passing: Passing, turns: Turning) -> type[Binding[Booking]]:
        book(1, passing.hour(-1), passing.hour(0.5))
        book(2, passing.hour(0.5), passing.hour(5.5))
        kind = declare(OPEN)
        self.first = turns.follow(kind())
        turns.turn()
        passing.until(1)
        return kind

    def test_a_new_subscriber(self, turns: Turning, kind: type[Binding[Booking]]) -> None:
        late = turns.follow(kind())
        turns.turn()
        assert late.column("id") == self.first.column("id") == [2]

    def test_python(self, turns: Turning, kind: type[Binding[Booking]]) -> None:
        for _ in range(2):
            request = ReadRequest(instance=kind())
            turns.ask(request)
            turns.turn()
            assert [row.pk for row in request.answer.result(timeout=0)] == [2]

    def test_http(self, turns: Turning, kind: type[Binding[Booking]]) -> None:
        request = SnapshotRequest(binding=kind, caller=Caller(), params={})
        turns.ask(request)
        turns.turn()
        assert list(request.answer.result(timeout=0).rows) == [2]

    def test_one_who_comes_back(
        self, passing: Passing, turns: Turning, kind: type[Binding[Booking]]
    ) -> None:
        cursor = self.first.replica.cursor
        message = Subscribe(event="bookings", params={}, cursor=cursor, held=(1,))
        back = Follower()
        back.replica = self.first.replica
        turns.ask(SessionRequest(back, Caller(), Ask(number=1, message=message)))
        turns.turn()
        assert back.column("id") == [2]


SHOWN = Booking.objects.annotate(
    over=Case(When(end__lte=Now(), then=Value("over")), default=Value("open"))
)


class TestKinds:
    @pytest.mark.parametrize(
        ("queryset", "before", "after"),
        [
            (Booking.objects.filter(end__gt=Now() + HOUR), [1, 2], [2]),
            (Booking.objects.filter(start__lte=Now() - HOUR), [], [1]),
            (Booking.objects.exclude(Q(end__lt=Now() + HOUR) | Q(name="x")), [1, 2], [2]),
            (Booking.objects.filter(Q(start__gt=Now()) | Q(end__gt=Now() + HOUR)), [1, 2], [2]),
            (Booking.objects.alias(by=F("start") + F("length")).filter(by__gt=Now()), [1, 2], [2]),
            (Booking.objects.filter(after__end__gt=Now() + HOUR), [2], []),
            (Booking.objects.alias(left=F("end") - Now()).filter(left__gt=HOUR), [1, 2], [2]),
            (Booking.objects.filter(end__range=(Now(), Now() + 3 * HOUR)), [1], [1, 2]),
        ],
    )
    def test_what_is_followed(
        self, passing: Passing, turns: Turning, queryset: Any, before: list[int], after: list[int]
    ) -> None:
        book(1, passing.hour(-0.5), passing.hour(1.5), length=HOUR)
        book(2, passing.hour(2.5), passing.hour(3.5), length=HOUR, after_id=1)
        follower = turns.follow(declare(queryset)())
        turns.turn()
        assert follower.column("id") == before
        passing.until(1, turns)
        turns.turn()
        assert follower.column("id") == after
        assert follower.column("id") == list(queryset.order_by("pk").values_list("pk", flat=True))

    def test_what_is_shown_of_a_row_changes_too(self, passing: Passing, turns: Turning) -> None:
        from rest_framework import serializers

        class State(serializers.ModelSerializer[Booking]):
            over = serializers.CharField()

            class Meta:
                model = Booking
                fields = ("id", "over")

        book(1, passing.hour(-1), passing.hour(0.5))
        book(2, passing.hour(-1), passing.hour(5.5))
        kind = declare(SHOWN, fields=None, serializer_class=State)
        follower = turns.follow(kind())
        turns.turn()
        assert follower.column("over") == ["open", "open"]
        passing.until(1, turns)
        turns.turn()
        assert follower.column("over") == ["over", "open"]
        assert follower.told() == ["sync", "update"]

    def test_what_nobody_can_follow_is_compared_and_never_old_to_who_asks(
        self, passing: Passing, turns: Turning
    ) -> None:
        Booking.objects.create(pk=1, length=HOUR, end=passing.hour(30.5))
        Booking.objects.create(pk=2, length=HOUR, end=passing.hour(300.5))
        kind = declare(Booking.objects.filter(end__gt=Now() + F("length")))
        follower = turns.follow(kind())
        turns.turn()
        assert follower.column("id") == [1, 2]
        assert turns.store.due() <= time.monotonic() + 30
        passing.until(72)
        request = ReadRequest(instance=kind())
        turns.ask(request)
        turns.turn()
        assert [row.pk for row in request.answer.result(timeout=0)] == [2]
        assert follower.column("id") == [1, 2]
        passing.until(73, turns)
        turns.turn()
        assert follower.column("id") == [2]


async def test_a_cycle_that_waits_wakes_by_itself(each_database: str) -> None:
    """By real clocks: the row leaves when its time has come, whenever that is heard."""
    now = await sync_to_async(database_now)()
    await sync_to_async(book)(1, now - HOUR, now + datetime.timedelta(seconds=4))
    await sync_to_async(book)(2, now - HOUR, now + HOUR)
    ear, instance = Ear(), declare(OPEN)()
    try:
        hub.request(SessionRequest(ear, Caller(), Ask(number=1, message=EVERYTHING), instance))
        await ear.until(lambda: ear.replica.cursor and ear.replica.held == [2])
    finally:
        await sync_to_async(hub.stop)()


def follow_a_day(passing: Passing, turns: Turning) -> None:
    """Compare what a follower has with the query, hour by hour, and what a newcomer is given."""
    for pk in range(1, 6):
        book(pk, passing.hour(pk - 0.5), passing.hour(2 * pk - 0.5))
    book(6, passing.hour(0.5), passing.hour(99.5))
    kind = declare(OPEN)
    follower = turns.follow(kind())
    turns.turn()
    for hour in range(1, 12):
        if hour == 11:
            Booking.objects.filter(pk=6).update(end=passing.hour(10.5))
            turns.turn()
        passing.until(hour, turns if hour % 4 else None)
        if hour % 4 == 0:
            late = turns.follow(kind())
        elif turns.store.due() > time.monotonic():
            continue  # nobody wakes
        turns.turn()
        expected = list(OPEN.order_by("pk").values_list("pk", flat=True))
        assert follower.column("id") == expected
        assert hour % 4 or late.column("id") == expected
    assert follower.column("id") == []


def test_a_day_is_followed(passing: Passing, turns: Turning) -> None:
    follow_a_day(passing, turns)


@pytest.mark.parametrize("each_database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found(
    passing: Passing, turns: Turning, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    FAULTS[fault](monkeypatch.setattr)
    with pytest.raises(AssertionError):
        follow_a_day(passing, turns)


def test_a_view_that_a_turn_has_no_time_for_is_looked_at_by_the_next(
    passing: Passing, turns: Turning
) -> None:
    """Its time has come, and nothing was written: nothing else would have it looked at."""
    book(1, passing.hour(-1), passing.hour(0.5))
    names = [("id", "name"), ("id", "category"), ("id",)]
    followers = [turns.follow(declare(OPEN, fields=some)()) for some in names]
    turns.turn()
    passing.until(1, turns)
    with override_settings(BINDSERVER={"QUERY_SECONDS": 0}):
        for _ in followers:
            turns.take_one()
    assert [follower.column("id") for follower in followers] == [[], [], []]


def test_every_state_is_left(passing: Passing, turns: Turning) -> None:
    """A view that is set aside is right again when it is read."""
    book(1, passing.hour(-1), passing.hour(0.5))
    follower = turns.follow(declare(OPEN)())
    turns.turn()
    [live] = turns.views()
    live.state = ViewState.FAILED
    passing.until(1, turns)
    turns.turn()
    assert follower.column("id") == []
