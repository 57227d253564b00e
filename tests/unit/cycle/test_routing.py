"""Which views a turn looks at, and where the others are meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from bindserver import Binding
from bindserver.cycle.inbox import SubscriptionRef
from bindserver.cycle.lag import LagReason, lagging_views
from bindserver.cycle.live_view import LiveView, ViewState
from bindserver.cycle.routing import Routing
from bindserver.cycle.waiting import EVERYTHING, Opening
from bindserver.engine.changes import Change, Position
from bindserver.queries.dependencies import Recorder
from bindserver.queries.query import Query
from bindserver.queries.rows import Rows
from tests.app.bindings import PartBinding, TagBinding
from tests.app.models import Category, Product, Tag

PRODUCTS, TAGS = Product._meta.db_table, Tag._meta.db_table
ROW = Rows(keys={1: 1})


def at(number: int) -> Position:
    return Position(epoch="e", mark=str(number))


def changed(table: str, *pks: int) -> list[Change]:
    return [Change(table=table, pks=frozenset(pks) or None)]


class Room:
    """A routing with views that subscribers have; `turn` takes a turn that moves nothing."""

    def __init__(self) -> None:
        self.routing = Routing()
        self.number = 0

    def view(self, binding: Binding[Any]) -> LiveView:
        query = Query(binding)
        shape = self.routing.shape_of(query)
        live = LiveView(query, binding, b"secret", shape, self.routing.look_at)
        self.routing.add(live)
        live.audience.add(SubscriptionRef(object(), 1))  # type: ignore[arg-type]
        return live

    def ride(self, live: LiveView, rows: Rows = ROW) -> None:
        live.load(rows, self.routing.present.position)
        self.routing.settle(live)

    def turn(self, changes: list[Change] | None = None) -> None:
        self.number += 1
        self.routing.begin(at(self.number), [] if changes is None else changes)


@pytest.fixture
def room() -> Room:
    return Room()


def part(category: int) -> PartBinding:
    return PartBinding(params={"category": category})


def test_a_riding_view_moves_with_every_turn_that_does_not_touch_it(room: Room) -> None:
    live = room.view(part(1))
    room.turn()
    room.ride(live)
    room.turn(changed(TAGS, 1))
    assert live.position == at(2)
    assert not room.routing.unsettled
    assert not room.routing.held


def test_a_change_of_its_table_holds_the_shape_where_it_was(room: Room) -> None:
    lives = [room.view(part(number)) for number in (1, 2)]
    room.turn()
    for live in lives:
        room.ride(live)
    room.turn(changed(PRODUCTS, 1))
    (shape,) = room.routing.held
    assert [live.position for live in lives] == [at(1)] * 2
    room.turn(changed(PRODUCTS, 2))
    assert shape.position == at(1)  # it was not moved, so nothing is forgotten
    room.routing.release(shape)
    assert [live.position for live in lives] == [at(3)] * 2


def test_a_table_that_reading_has_found_counts_from_then_on(room: Room) -> None:
    live = room.view(part(1))
    room.turn()
    room.ride(live)
    recorder = Recorder()
    recorder.other = {TAGS}
    live.shape.learn(recorder)
    room.turn(changed(TAGS, 1))
    assert [*room.routing.held] == [live.shape]


def test_a_shape_knows_which_of_its_views_had_a_row(room: Room) -> None:
    one, other = room.view(part(1)), room.view(part(2))
    room.turn()
    room.ride(one, Rows(keys={1: 1, 2: 2}))
    room.ride(other, Rows(keys={3: 3}))
    shape = one.shape
    assert shape is other.shape
    assert shape.holding([2, 3, 9]) == {one.query.slot, other.query.slot}
    one.rows.keys.pop(2)
    other.rows.keys[2] = 2
    for live in (other, one):  # in whichever order they are told
        shape.note({2}, live)
    assert shape.holding([2]) == {other.query.slot}
    room.routing.dismount(other)
    assert shape.holding([2, 3]) == set()


@pytest.mark.parametrize("state", [ViewState.NEW, ViewState.FAILED, ViewState.LOADING])
def test_a_view_that_is_not_ready_stays_where_it_was(room: Room, state: ViewState) -> None:
    live = room.view(part(1))
    room.turn()
    room.ride(live)
    live.state = state
    room.turn()
    assert live.position == at(1)
    assert [*room.routing.held_back()] == [live]
    room.routing.settle(live)
    assert live in room.routing.unsettled


def test_a_view_that_is_to_stay_in_a_turn_is_not_where_the_turn_is(room: Room) -> None:
    live = room.view(part(1))
    room.turn()
    room.ride(live)
    room.turn()
    room.routing.stay(live)
    assert live.position == at(1)


def test_nor_is_one_whose_shape_was_held_for_longer(room: Room) -> None:
    live = room.view(part(1))
    room.turn()
    room.ride(live)
    for _ in range(3):
        room.turn(changed(PRODUCTS, 1))
    room.routing.stay(live)
    assert live.position == at(1)


def test_a_view_whose_shape_is_elsewhere_does_not_ride_with_it(room: Room) -> None:
    early, late = room.view(part(1)), room.view(part(2))
    room.turn()
    room.ride(early)
    room.turn(changed(PRODUCTS, 1))
    room.ride(late, Rows())
    assert not late.shape.is_riding(late)
    assert (early.position, late.position) == (at(1), at(2))


def test_who_waits_for_an_answer_is_looked_at_until_it_is_given(room: Room) -> None:
    live = room.view(part(1))
    room.turn()
    room.ride(live)
    live.await_answer(Opening(SubscriptionRef(object(), 2), EVERYTHING))  # type: ignore[arg-type]
    room.routing.settle(live)
    assert [*room.routing.unsettled] == [live]
    assert live.shape.is_riding(live)
    live.take_openings()
    room.routing.settle(live)
    assert not room.routing.unsettled


def test_a_view_that_nobody_wants_rests_at_its_own_state(room: Room) -> None:
    live = room.view(part(1))
    room.turn()
    room.ride(live)
    live.release([*live.audience])
    room.routing.settle(live)
    room.turn()
    assert [*room.routing.idle] == [live]
    assert live.position == at(1)
    assert not room.routing.has_riders()


def test_the_last_view_takes_its_shape_s_tables_along(room: Room) -> None:
    lives = [room.view(part(1)), room.view(part(2)), room.view(TagBinding())]
    assert {PRODUCTS, TAGS} <= room.routing.tables()
    room.turn()
    room.ride(lives[0])
    for live in lives[:2]:
        room.routing.drop(live)
    assert PRODUCTS not in room.routing.tables()
    room.turn(changed(PRODUCTS, 1))
    assert not room.routing.held


def test_a_row_that_a_query_carries_along_holds_its_view_alone(room: Room) -> None:
    class Carrying(Binding[Product]):
        model = Product
        fields = ("id",)

        def get_queryset(self) -> Any:
            category = Category(pk=self.params["category"])
            category._state.adding = False
            category._state.db = "default"
            return category.product_set.all()

        params = part(1).__class__.params

    one, other = (room.view(Carrying(params={"category": number})) for number in (1, 2))
    room.turn()
    room.ride(one)
    room.ride(other)
    room.turn(changed(Category._meta.db_table, 1))
    assert (one.position, other.position) == (at(1), at(2))
    assert [*room.routing.unsettled] == [one]


class TestAViewWhoseFirstRowsAreLoaded:
    @pytest.fixture
    def live(self, room: Room) -> LiveView:
        live = room.view(part(1))
        live.audience.clear()
        live.await_answer(Opening(SubscriptionRef(object(), 2), EVERYTHING))  # type: ignore[arg-type]
        live.await_load()
        return live

    def test_is_in_no_turn_s_walk_and_operators_are_told_of_it(
        self, room: Room, live: LiveView
    ) -> None:
        assert not room.routing.unsettled
        assert [*room.routing.loaded_first()] == [live]
        (told,) = lagging_views(room.routing.held_back(), at(1), 0.0, room.routing.loading)
        assert (told.event, told.reason, told.count) == ("part", LagReason.LOADING, 1)
        assert told.since > 0

    def test_is_told_of_together_with_others_that_are_loaded(
        self, room: Room, live: LiveView
    ) -> None:
        other = room.view(part(2))
        other.await_load()  # it has an audience, which is behind
        assert [*room.routing.held_back()] == [other]
        (told,) = lagging_views(room.routing.held_back(), at(1), 0.0, room.routing.loading)
        assert (told.reason, told.count, told.since) == (LagReason.LOADING, 2, 0.0)

    def test_is_looked_at_once_somebody_waits_who_has_rows(
        self, room: Room, live: LiveView
    ) -> None:
        moved = Opening(SubscriptionRef(object(), 3), EVERYTHING, moved=True)  # type: ignore[arg-type]
        live.await_answer(moved)
        assert live in room.routing.unsettled
        assert not room.routing.loading

    def test_is_looked_at_when_it_has_its_rows_or_nobody_waits(
        self, room: Room, live: LiveView
    ) -> None:
        live.release_all()
        assert live in room.routing.unsettled
        live.await_answer(Opening(SubscriptionRef(object(), 4), EVERYTHING))  # type: ignore[arg-type]
        assert live not in room.routing.unsettled
        live.load(ROW, at(1), began=1.0)
        assert live in room.routing.unsettled
        assert not room.routing.loading

    def test_leaves_nothing_when_it_is_dropped(self, room: Room, live: LiveView) -> None:
        room.routing.drop(live)
        assert not room.routing.loading
