"""What views may take of memory: for each who has them made, and in all."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import override_settings

from bindserver import Binding
from bindserver.bindings.registry import registry
from bindserver.cycle.inbox import Caller, SessionRequest, SnapshotRequest
from bindserver.cycle.live_view import LiveView
from bindserver.cycle.weights import ROW_BYTES, VIEW_BYTES
from bindserver.engine.effects import Ask, Reconsider, Release
from bindserver.engine.protocol import Code, Subscribe
from bindserver.exceptions import NoRoom
from tests.app.models import Product
from tests.support.registered import keep_out
from tests.support.turning import Follower, Turning

HERE, THERE = Caller(address="192.0.2.1"), Caller(address="192.0.2.2")
NUMBERS = count(1)
LONG = "a long name " * 4
LARGE = 1_000
"""From this category on it has a hundred long rows."""


class Large(Binding[Product]):
    """A hundred rows, for each number; its own for each user, of which a child sees none."""

    model = Product
    event = "large"
    fields = ["id", "name", "stock"]
    params = {"category": int}

    def get_queryset(self) -> Any:
        first = self.params["category"] * 1_000
        if getattr(self.user, "username", "") == "child":
            return Product.objects.none()
        return Product.objects.filter(pk__gte=first, pk__lt=first + 1_000)


keep_out(globals())
ROWS = 100
WEIGHT = VIEW_BYTES + ROWS * (ROW_BYTES + 150)
"""About what one of these takes."""


def put(*categories: int, rows: int = ROWS) -> None:
    """Have categories hold so many rows."""
    for category in categories:
        first = category * 1_000
        known = Product.objects.filter(pk__gte=first, pk__lt=first + 1_000).count()
        Product.objects.bulk_create(
            Product(pk=first + number, name=LONG) for number in range(known, known + rows)
        )


@pytest.fixture
def large() -> Iterator[None]:
    """Large views, of which two and a half fit into a share, and ten into all."""
    registry.add(Large)
    with allowing(MAX_VIEWS_BYTES=10 * WEIGHT):
        yield
    registry.remove(Large)


@pytest.fixture(autouse=True)
def roomy() -> Iterator[None]:
    with allowing():
        yield


def allowing(**settings: Any) -> Any:
    """Allow so much; by default four views for each owner, and any bytes."""
    usual = {"MAX_VIEWS": 40, "OWNER_VIEWS_SHARE": 0.1}
    return override_settings(BINDSERVER={**usual, **settings})


class Asker(Follower):
    """Who subscribes to parts, and leaves them."""

    def __init__(self, turning: Turning, caller: Caller = HERE) -> None:
        super().__init__()
        self.caller = caller
        self._turning = turning
        self._numbers: dict[int, int] = {}

    def ask(self, category: int) -> Asker:
        event = "part" if category < LARGE else "large"
        number = self._numbers[category] = next(NUMBERS)
        message = Subscribe(event=event, params={"category": category})
        request = SessionRequest(self, self.caller, Ask(number=number, message=message))
        self._turning.ask(request)
        return self

    def leave(self, category: int) -> None:
        release = Release(number=self._numbers.pop(category))
        self._turning.ask(SessionRequest(self, self.caller, release))

    def prove(self, caller: Caller) -> None:
        self.caller = caller
        for number in self._numbers.values():
            again = Reconsider(number=number, event="large")
            self._turning.ask(SessionRequest(self, caller, again))

    @property
    def why(self) -> str:
        return "" if self.refused is None else self.refused.detail


def fill(turning: Turning, first: int, views: int, caller: Caller = HERE) -> Asker:
    """Have somebody follow so many views."""
    asker = Asker(turning, caller)
    for category in range(first, first + views):
        asker.ask(category)
    turning.turn()
    return asker


def categories(turning: Turning) -> set[Any]:
    return {live.query.slot[0] for live in turning.views()}


class TestWhoHasManyViews:
    def test_is_refused_more_and_told_by_which_setting(self, turning: Turning) -> None:
        asker = fill(turning, 1, 5)
        assert asker.told().count("sync") == 4
        assert asker.refused is not None
        assert asker.refused.code is Code.UNAVAILABLE
        assert "one address may have (OWNER_VIEWS_SHARE" in asker.why

    def test_keeps_nobody_else_out(self, turning: Turning) -> None:
        for number in range(10):
            fill(turning, number * 10, 5, Caller(address=f"198.51.100.{number}"))
        ann = fill(turning, 900, 1, Caller(user=User.objects.create(username="ann")))
        assert ann.told() == ["sync"]

    def test_is_refused_wherever_she_asks_from(self, turning: Turning) -> None:
        user = User.objects.create(username="ann")
        fill(turning, 1, 4, Caller(user=user, address="192.0.2.1"))
        late = fill(turning, 10, 1, Caller(user=user, address="192.0.2.2"))
        assert "one user may have" in late.why

    def test_joins_views_that_are_there(self, turning: Turning) -> None:
        fill(turning, 1, 4, THERE)
        asker = fill(turning, 10, 4)
        asker.told()
        asker.ask(1)
        turning.turn()
        assert asker.told() == ["sync"]

    def test_finds_room_once_she_has_left_some(self, turning: Turning) -> None:
        asker = fill(turning, 1, 4)
        asker.told()
        asker.leave(2)
        asker.ask(9)
        turning.turn()
        assert asker.told() == ["sync"]
        assert categories(turning) == {1, 3, 4, 9}

    def test_has_her_own_left_ones_dropped_before_those_of_others(self, turning: Turning) -> None:
        other = fill(turning, 20, 2, THERE)
        other.leave(20)
        turning.turn()
        asker = fill(turning, 1, 4)
        asker.leave(1)
        turning.turn()
        asker.ask(9)
        turning.turn()
        assert categories(turning) == {20, 21, 2, 3, 4, 9}

    def test_does_not_pay_for_what_others_alone_hold_now(self, turning: Turning) -> None:
        asker, other = fill(turning, 1, 4), fill(turning, 1, 4, THERE)
        for category in (1, 2):
            asker.leave(category)
        turning.turn()
        asker.ask(8).ask(9).ask(10)
        turning.turn()
        assert asker.told().count("sync") == 6
        assert asker.refused is not None
        assert not other.ended
        assert categories(turning) == {1, 2, 3, 4, 8, 9}

    def test_cannot_have_another_take_more_than_a_share(self, turning: Turning) -> None:
        asker, other = fill(turning, 1, 4), Asker(turning, THERE)
        for first in (1, 5, 9, 13):
            for category in range(first, first + 4):
                other.ask(category)
            turning.turn()
            for category in list(asker._numbers):
                asker.leave(category)
            for category in range(first + 4, first + 8):
                asker.ask(category)
            turning.turn()
        assert len(turning.views()) == 8

    def test_is_asked_again_as_somebody_else_within_that_one_s_share(
        self, turning: Turning
    ) -> None:
        ann = Caller(user=User.objects.create(username="ann"))
        asker = fill(turning, 1, 4)
        asker.prove(ann)
        turning.turn()
        assert not asker.ended
        late = fill(turning, 10, 4)
        assert late.refused is None


class TestAllViewsTogether:
    def test_make_room_first_of_those_that_nobody_looks_at(self, turning: Turning) -> None:
        with allowing(MAX_VIEWS=4, OWNER_VIEWS_SHARE=0.5):
            one = fill(turning, 1, 2)
            one.leave(1)
            turning.turn()
            two = fill(turning, 3, 2, THERE)
            assert two.told() == ["sync", "sync"]
            three = fill(turning, 5, 1, Caller(address="192.0.2.3"))
            assert three.told() == ["sync"]
            assert categories(turning) == {2, 3, 4, 5}
            late = fill(turning, 6, 1, Caller(address="192.0.2.4"))
            assert "more views than the server may hold (MAX_VIEWS " in late.why

    def test_are_told_to_operators(self, turning: Turning) -> None:
        asker = fill(turning, 1, 5)
        turning.store.evict()
        facts = turning.store.room.facts
        assert (facts.views, facts.refused) == (4, 1)
        assert facts.bytes >= 4 * VIEW_BYTES
        assert asker.caller.address is not None
        assert asker.caller.address not in repr(facts)

    def test_count_no_more_once_they_are_dropped(self, turning: Turning) -> None:
        asker = fill(turning, 1, 3)
        for category in (1, 2, 3):
            asker.leave(category)
        turning.turn()
        with allowing(LINGER_SECONDS=1e-9):
            turning.store.evict()
        budget = turning.store.room.budget
        assert (budget.views, budget.bytes, turning.views()) == (0, 0, [])


def large_ones(turning: Turning) -> dict[int, LiveView]:
    """Return the large views by their numbers."""
    viewers = [viewer for viewer in turning.store.viewers.all() if viewer.binding is Large]
    return {int(str(viewer.params()["category"])): viewer.live for viewer in viewers}


@pytest.mark.usefixtures("large")
class TestWhoHasLargeViews:
    @pytest.mark.parametrize("sync_rows", [2_000, 50], ids=["by the turn", "by the loader"])
    def test_is_refused_those_that_do_not_fit_once_they_are_read(
        self, turning: Turning, sync_rows: int
    ) -> None:
        put(*range(1_001, 1_007))
        with allowing(MAX_VIEWS_BYTES=10 * WEIGHT, SYNC_ROWS=sync_rows, OWNER_VIEWS_SHARE=0.5):
            asker = fill(turning, 1_001, 6)
        assert sorted(asker.told()) == ["error"] * 4 + ["sync"] * 2
        assert asker.refused is not None
        assert asker.refused.code is Code.UNAVAILABLE
        assert "bytes of views than one address may have (OWNER_BYTES_SHARE" in asker.why
        assert sum(len(live.rows.view) for live in turning.views()) == 2 * ROWS
        assert turning.store.room.budget.bytes <= 10 * WEIGHT / 4 + 4 * VIEW_BYTES

    def test_keeps_no_other_from_a_view_that_was_refused(self, turning: Turning) -> None:
        put(*range(1_001, 1_004))
        asker = fill(turning, 1_001, 3)
        assert sorted(asker.told()) == ["error", "sync", "sync"]
        other = fill(turning, 1_001, 2, THERE)
        third = fill(turning, 1_003, 1, Caller(address="192.0.2.3"))
        assert (other.told(), third.told()) == (["sync", "sync"], ["sync"])

    def test_does_not_have_them_read_again_and_again(self, turning: Turning) -> None:
        put(*range(1_001, 1_004))
        asker = fill(turning, 1_001, 3)
        (refused,) = [n for n, live in large_ones(turning).items() if not len(live.rows.view)]
        asker.told()
        asker.ask(refused)
        turning.turn()
        assert asker.told() == ["error"]
        assert turning.statements == []

    def test_is_given_one_that_was_refused_once_there_is_room(self, turning: Turning) -> None:
        put(*range(1_001, 1_004))
        asker = fill(turning, 1_001, 3)
        views = large_ones(turning)
        (refused,) = [number for number, live in views.items() if not len(live.rows.view)]
        asker.leave(next(number for number in views if number != refused))
        turning.turn()
        asker.told()
        asker.ask(refused)
        turning.turn()
        assert asker.told() == ["sync"]

    def test_keeps_what_she_follows_though_it_grows(
        self, turning: Turning, caplog: pytest.LogCaptureFixture
    ) -> None:
        put(1_001, 1_002)
        asker = fill(turning, 1_001, 2)
        with caplog.at_level(logging.WARNING, logger="bindserver"):
            put(1_001, 1_002, rows=5 * ROWS)
            turning.turn()
        assert asker.told() == ["sync", "sync", "batch", "batch"]
        (said,) = [text for text in caplog.messages if "have grown" in text]
        assert "MAX_VIEWS_BYTES" in said
        late = fill(turning, 1, 1, THERE)
        assert "more bytes of views than the server may hold (MAX_VIEWS_BYTES " in late.why

    def test_is_told_so_over_http(self, turning: Turning) -> None:
        put(*range(1_001, 1_004))
        asked = [
            SnapshotRequest(binding=Large, caller=HERE, params={"category": number}, trusted=True)
            for number in range(1_001, 1_004)
        ]
        for request in asked:
            turning.ask(request)
        turning.turn()
        answers = [request.answer.exception() for request in asked]
        (refusal,) = [answer for answer in answers if answer is not None]
        assert isinstance(refusal, NoRoom)

    def test_is_sent_away_where_another_user_s_rows_do_not_fit(self, turning: Turning) -> None:
        put(*range(1_001, 1_004))
        child, ann = (Caller(user=User.objects.create(username=n)) for n in ("child", "ann"))
        asker = fill(turning, 1_001, 3, child)
        asker.told()
        asker.prove(ann)
        turning.turn()
        assert [end.code for end in asker.ends] == [Code.UNAVAILABLE]
        assert asker.told() == ["sync", "sync"]


@pytest.mark.usefixtures("large")
class TestALoadThatComesForAViewThatWasDropped:
    def test_is_nobody_s_business(self, turning: Turning) -> None:
        put(1_001)
        with allowing(SYNC_ROWS=50, LINGER_SECONDS=1e-9):
            asker = Asker(turning).ask(1_001)
            turning.take_one()
            loaded = turning.next_load()
            asker.leave(1_001)
            turning.take_one()
            turning.store.evict()
            assert turning.views() == []
            turning.take_one(loaded)
            assert not turning.store.routing.unsettled
            turning.store.evict()
            late = fill(turning, 1_001, 1)
        assert late.told() == ["sync"]
