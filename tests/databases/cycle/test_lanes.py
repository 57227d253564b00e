"""Cheap views are told first; dear ones are read later, by the loader, or less often."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.db.models import F, QuerySet, Window
from django.db.models.functions import Now, RowNumber
from django.test import override_settings

from bindserver import Binding
from bindserver.bindings.registry import registry
from bindserver.cycle.inbox import Caller, SessionRequest
from bindserver.cycle.lanes import Lanes
from bindserver.cycle.live_view import LiveView, ViewState
from bindserver.engine.effects import Ask, Release
from bindserver.engine.protocol import Subscribe
from tests.app.bindings import TagBinding
from tests.app.models import Booking, Product, Tag
from tests.support.passing import passing_time
from tests.support.registered import keep_out
from tests.support.turning import Follower, Turning, part

LONG = 5.0
SETTINGS = {"TURN_SECONDS": 1.0, "VIEW_SHARE": 0.25}
"""No machine is so busy that anything here would seem dear by itself."""
NO_TIME = {**SETTINGS, "TURN_SECONDS": 1e-9}
"""A turn does one of each kind of work."""
ONE_EACH = {**SETTINGS, "QUERY_SECONDS": 0}
"""A turn reads one of the dear ones."""


@pytest.fixture(autouse=True)
def forget_bindings() -> Iterator[None]:
    known = registry.all()
    with override_settings(BINDSERVER=SETTINGS):
        yield
    for binding in registry.all():
        if binding not in known:
            registry.remove(binding)


@pytest.fixture
def numbered() -> type[Binding[Product]]:
    """A binding whose views are each read whole, and by themselves, at every change."""

    class Numbered(Binding[Product]):
        model = Product
        event = "numbered"
        fields = ["id", "stock"]
        params = {"category": int}

        def get_queryset(self) -> QuerySet[Any]:
            every = Product.objects.annotate(number=Window(RowNumber(), order_by=F("id").asc()))
            return every.filter(category=self.params["category"])

    return Numbered


class Going(Binding[Booking]):
    """Rows that leave as time passes."""

    event = "going"
    queryset = Booking.objects.filter(end__gt=Now())
    fields = ["id"]
    ordering = ["id"]


keep_out(globals())


class Clock:
    """A clock that somebody sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(turning: Turning) -> Clock:
    """Lanes as a server has them, by a clock of the test's."""
    clock = Clock()
    turning.store.lanes = Lanes(clock)
    return clock


def views(turning: Turning, event: str) -> list[LiveView]:
    return [live for live in turning.views() if live.event == event]


def make_dear(turning: Turning, event: str, seconds: float = LONG) -> None:
    """Have a turn expect that moving each view of an event takes so long."""
    for live in views(turning, event):
        for _ in range(2):
            live.shape.cost.note_move(seconds)


def make_loaders(turning: Turning, event: str, seconds: float = LONG) -> None:
    """Have the loader read views of an event, as they take so long."""
    for live in views(turning, event):
        for _ in range(2):
            live.shape.cost.note_whole(seconds, 10)


def told(turning: Turning) -> list[tuple[str, str, int]]:
    return [(some.event, some.reason.value, some.count) for some in turning.lagging_views]


class TestACheapView:
    def test_is_told_before_a_dear_one_is_read(
        self, turning: Turning, clock: Clock, numbered: type[Binding[Product]]
    ) -> None:
        dear, cheap = turning.follow(numbered(params={"category": 1})), turning.follow(part())
        turning.turn()
        make_dear(turning, "numbered")
        Product.objects.filter(pk=10).update(stock=7)
        turning.take_one()
        assert turning.early == [cheap]
        assert cheap.column("stock")[0] == dear.column("stock")[0] == 7
        assert told(turning) == []

    def test_is_told_before_those_that_are_dear_together(
        self, turning: Turning, clock: Clock, numbered: type[Binding[Product]]
    ) -> None:
        many = [turning.follow(numbered(params={"category": n})) for n in (1, 2, 3)]
        cheap = turning.follow(part())
        turning.turn()
        make_dear(turning, "numbered", 0.4)
        Product.objects.update(stock=7)
        turning.take_one()
        assert turning.early == [cheap]
        turning.turn()
        assert [set(follower.column("stock")) for follower in many] == [{7}] * 3

    def test_is_told_of_what_is_written_while_dear_ones_are_left(
        self, turning: Turning, clock: Clock, numbered: type[Binding[Product]]
    ) -> None:
        tags = turning.follow(TagBinding())
        many = [turning.follow(numbered(params={"category": n})) for n in (1, 2, 3)]
        turning.turn()
        make_dear(turning, "numbered")
        Product.objects.update(stock=7)
        with override_settings(BINDSERVER=ONE_EACH):
            assert turning.take_one()
            assert told(turning) == [("numbered", "behind", 2)]
            Tag.objects.create(name="new")
            Product.objects.update(stock=8)
            assert turning.take_one()
            assert turning.early == [tags]
            assert tags.column("name") == ["new"]
        turning.turn()
        assert [set(follower.column("stock")) for follower in many] == [{8}] * 3
        assert told(turning) == []


class TestWhatLives:
    """It waits for a slice of what newcomers want at most, however many they are."""

    @pytest.fixture
    def living(self, turning: Turning, clock: Clock) -> Follower:
        living = turning.follow(part())
        turning.turn()
        return living

    def test_does_not_wait_for_all_who_ask(self, turning: Turning, living: Follower) -> None:
        new = [turning.follow(part(category=number)) for number in (1, 2, 3)]
        Product.objects.filter(pk=10).update(stock=7)
        with override_settings(BINDSERVER=NO_TIME):
            assert turning.take_one()
            assert living.column("stock")[0] == 7
            assert len(turning.views()) == 2
        turning.turn()
        assert [follower.told() for follower in new] == [["sync"]] * 3

    def test_does_not_wait_for_those_who_have_gone_again(
        self, turning: Turning, living: Follower
    ) -> None:
        gone = [turning.follow(part(category=number)) for number in (1, 2, 3)]
        for request in turning.asked():
            release = Release(number=request.ref.number)
            turning.ask(SessionRequest(request.listener, Caller(), release))
        Product.objects.filter(pk=10).update(stock=7)
        with override_settings(BINDSERVER=NO_TIME):
            turning.take_one()
        assert living.column("stock")[0] == 7
        assert len(turning.views()) == 1
        assert [follower.told() for follower in gone] == [[]] * 3

    def test_does_not_wait_for_all_that_was_loaded(
        self, turning: Turning, living: Follower
    ) -> None:
        new = [turning.follow(part(category=number)) for number in (1, 2, 3)]
        with override_settings(BINDSERVER={**SETTINGS, "SYNC_ROWS": 1}):
            turning.take_one()
            loaded = [turning.next_load() for _ in new]
        Product.objects.filter(pk=10).update(stock=7)
        with override_settings(BINDSERVER=NO_TIME):
            assert turning.take_one(*loaded)
            assert living.column("stock")[0] == 7
            assert [follower.told() for follower in new].count(["sync"]) == 1
            turning.take_one(), turning.take_one()
        assert [f.column("id") for f in new] == [[10, 11], [20, 21], [30, 31]]

    def test_does_not_wait_until_all_were_asked_again_who_they_are(
        self, turning: Turning, living: Follower
    ) -> None:
        others = [Follower() for _ in range(3)]
        for number, follower in enumerate(others, start=1):
            message = Subscribe(event="shaky", params={"category": number})
            turning.ask(SessionRequest(follower, Caller(), Ask(number=1, message=message)))
        turning.turn()
        Tag.objects.create(name="new")
        Product.objects.filter(pk=10).update(stock=7)
        with override_settings(BINDSERVER=NO_TIME):
            assert turning.take_one()
            assert living.column("stock")[0] == 7
            assert len(turning.store.viewers.overdue) == 2
        turning.turn()
        assert not turning.store.viewers.overdue


class TestADearView:
    def test_is_read_in_the_end_whatever_is_written_meanwhile(
        self, turning: Turning, clock: Clock, numbered: type[Binding[Product]]
    ) -> None:
        many = [turning.follow(numbered(params={"category": n})) for n in (1, 2, 3)]
        turning.turn()
        for follower in many:
            follower.told()
        make_dear(turning, "numbered")
        with override_settings(BINDSERVER=ONE_EACH):
            for stock in range(3):
                Product.objects.update(stock=10 + stock)
                turning.take_one()
        assert [follower.told() for follower in many] == [["batch"]] * 3

    def test_is_given_to_whoever_asks_when_it_has_been_read(
        self, turning: Turning, clock: Clock, numbered: type[Binding[Product]]
    ) -> None:
        for category in (1, 2):
            turning.follow(numbered(params={"category": category}))
        turning.follow(part())
        turning.turn()
        make_dear(turning, "numbered")
        make_loaders(turning, "numbered", 0.6)  # not one by one, but they are dear together
        Product.objects.update(stock=7)
        late = [turning.follow(numbered(params={"category": category})) for category in (1, 2)]
        turning.take_one()
        assert not {*late}.intersection(turning.early)
        turning.turn()
        assert [follower.column("stock") for follower in late] == [[7, 7]] * 2
        assert [follower.told() for follower in late] == [["sync"]] * 2

    def test_is_the_loader_s_where_it_takes_too_long_by_itself(
        self, turning: Turning, clock: Clock, numbered: type[Binding[Product]]
    ) -> None:
        dear, cheap = turning.follow(numbered(params={"category": 1})), turning.follow(part())
        turning.turn()
        make_loaders(turning, "numbered")
        Product.objects.update(stock=7)
        turning.take_one()
        (live,) = views(turning, "numbered")
        assert (live.state, told(turning)) == (ViewState.LOADING, [("numbered", "loading", 1)])
        assert set(cheap.column("stock")) == {7}
        Product.objects.update(stock=8)
        turning.take_one(turning.next_load())
        turning.turn()
        assert set(dear.column("stock")) == {8}

    def test_is_not_loaded_once_nobody_waits_for_it_and_is_again_for_who_comes(
        self, turning: Turning, clock: Clock, numbered: type[Binding[Product]]
    ) -> None:
        turning.follow(numbered(params={"category": 1}))
        turning.turn()
        make_loaders(turning, "numbered")
        with turning.loader_held():
            for category in (2, 3):
                turning.follow(numbered(params={"category": category}))
            turning.take_one()
            gone = [live for live in views(turning, "numbered") if not live.loaded]
            for live in gone:
                live.release_all()
        dropped = [turning.next_load() for _ in gone]
        assert [loaded.rows for loaded in dropped] == [None, None]
        turning.take_one(*dropped)
        assert [live.state for live in gone] == [ViewState.NEW] * 2
        late = turning.follow(numbered(params={"category": 2}))
        turning.turn()
        assert late.told() == ["sync"]

    def test_is_the_loader_s_at_once_where_another_shape_of_its_binding_is(
        self, turning: Turning, clock: Clock, numbered: type[Binding[Product]]
    ) -> None:
        turning.follow(numbered(params={"category": 1}))
        turning.turn()
        make_loaders(turning, "numbered")
        turning.follow(numbered(params={"category": 2}))
        turning.take_one()
        assert ViewState.LOADING in {live.state for live in views(turning, "numbered")}
        turning.take_one(turning.next_load())


def load_often(turning: Turning, times: int) -> None:
    """Have a view of `numbered` read by the loader, as often as it may be and once more."""
    for number in range(times):
        Product.objects.update(stock=100 + number)
        make_loaders(turning, "numbered")
        turning.take_one()
        if all(live.state is not ViewState.LOADING for live in views(turning, "numbered")):
            return
        loaded = turning.next_load()
        object.__setattr__(loaded, "seconds", LONG)
        turning.take_one(loaded)


class TestAViewThatIsReadLessOften:
    @pytest.fixture
    def follower(
        self, turning: Turning, clock: Clock, numbered: type[Binding[Product]]
    ) -> Follower:
        follower = turning.follow(numbered(params={"category": 1}))
        turning.turn()
        load_often(turning, 10)
        return follower

    def test_has_had_more_than_its_share(self, turning: Turning, follower: Follower) -> None:
        assert follower.column("stock") == [102, 102]
        assert told(turning) == [("numbered", "read less often", 1)]

    def test_needs_no_turn_before_its_time(
        self, turning: Turning, clock: Clock, follower: Follower
    ) -> None:
        assert not turning.take_one()
        assert turning.store.due() == clock.now + LONG / SETTINGS["VIEW_SHARE"]

    def test_comes_to_the_present_when_its_time_has_come(
        self, turning: Turning, clock: Clock, follower: Follower
    ) -> None:
        clock.now = turning.store.due()
        turning.turn()
        assert follower.column("stock") == [103, 103]
        assert told(turning) == []

    def test_is_read_at_once_for_whoever_asks(
        self,
        turning: Turning,
        clock: Clock,
        follower: Follower,
        numbered: type[Binding[Product]],
    ) -> None:
        late = turning.follow(numbered(params={"category": 1}))
        turning.turn()
        assert late.column("stock") == follower.column("stock") == [103, 103]

    def test_comes_to_the_present_though_the_time_alone_has_moved_it(
        self, turning: Turning, clock: Clock
    ) -> None:
        with passing_time() as passing:
            for pk in range(1, 12):
                end = passing.hour(pk - 0.5)
                Booking.objects.create(pk=pk, start=passing.hour(-1), end=end)
            follower = turning.follow(Going())
            turning.turn()
            for hours in range(1, 6):
                passing.until(hours, turning)
                make_loaders(turning, "going")
                (live,) = views(turning, "going")
                for _ in range(2):
                    live.shape.cost.note_step(4 * LONG, 0)
                turning.take_one()
                if live.state is not ViewState.LOADING:
                    break
                loaded = turning.next_load()
                object.__setattr__(loaded, "seconds", LONG)
                turning.take_one(loaded)
            assert told(turning) == [("going", "read less often", 1)]
            turning.take_one()
            assert told(turning) == [("going", "read less often", 1)]
            clock.now = turning.store.due()
            turning.turn()
            assert follower.column("id") == [pk for pk in range(1, 12) if pk > hours]
            assert told(turning) == []
            passing.until(7, turning)
            assert turning.store.due() <= time.monotonic()

    def test_is_not_due_where_nobody_follows_it_any_more(
        self, turning: Turning, clock: Clock, follower: Follower
    ) -> None:
        (live,) = views(turning, "numbered")
        due = turning.store.due()
        live.release(list(live.audience))
        assert turning.store.due() > due

    def test_says_so_once(
        self,
        turning: Turning,
        clock: Clock,
        numbered: type[Binding[Product]],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        turning.follow(numbered(params={"category": 1}))
        turning.turn()
        with caplog.at_level(logging.WARNING):
            load_often(turning, 10)
            clock.now = turning.store.due()
            turning.turn()
            load_often(turning, 10)
        (said,) = [record.getMessage() for record in caplog.records]
        for word in ("Numbered", "'numbered'", "5.00 s", "20.0 s", "VIEW_SHARE", "explain"):
            assert word in said
