"""Views, their frames and a client's copy together: it always equals the rows, in order."""

from __future__ import annotations

import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bindserver.engine.changes import Key
from bindserver.engine.view import Fresh, View
from tests.unit.engine.tools import (
    State,
    advance,
    feed,
    fresh_rows,
    in_order,
    replica_of,
    rows_of,
    view_of,
)

KEYS = st.integers(0, 7)
STATES = st.dictionaries(KEYS, st.tuples(st.integers(0, 4), st.sampled_from("xyz")), max_size=7)
HISTORIES = st.lists(STATES, min_size=1, max_size=5)
FRUGAL = settings(
    max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
EITHER = pytest.mark.parametrize("sortable", [True, False], ids=["sorted", "listed"])


@EITHER
@FRUGAL
@given(history=HISTORIES, hinted=st.sets(KEYS, max_size=3))
def test_a_client_that_gets_every_frame_once_or_twice_has_the_rows(
    sortable: bool, history: list[State], hinted: set[int]
) -> None:
    view, once, twice = view_of({}, sortable=sortable), replica_of({}), replica_of({})
    before: State = {}
    for state in history:
        delta = advance(view, before, state, hinted)
        feed(once, delta)
        feed(twice, delta)
        feed(twice, delta)
        assert once.rows == twice.rows == rows_of(state)
        assert list(view.keys()) == in_order(state)
        before = state


@EITHER
@FRUGAL
@given(history=HISTORIES)
def test_a_view_knows_how_many_bytes_its_rows_take(sortable: bool, history: list[State]) -> None:
    view = view_of({}, sortable=sortable)
    before: State = {}
    empty = view.bytes
    for state in history:
        advance(view, before, state)
        before = state
    history_bytes = view.bytes - sum(sys.getsizeof(text) for text in view.rows.values())
    ring = view._ring
    assert history_bytes == (empty if ring is None else ring.bytes) >= empty


@EITHER
@FRUGAL
@given(history=HISTORIES)
def test_a_client_that_fell_behind_gets_the_net_change(
    sortable: bool, history: list[State]
) -> None:
    view = view_of({}, sortable=sortable)
    past: list[tuple[int, State]] = [(0, {})]
    for state in history:
        advance(view, past[-1][1], state)
        past.append((view.version, state))
    for version, state in past:
        replica, delta = replica_of(state), view.since(version)
        feed(replica, delta)
        assert replica.rows == rows_of(history[-1])
        feed(replica, delta)
        assert replica.rows == rows_of(history[-1])


@EITHER
@FRUGAL
@given(history=HISTORIES, repeated=st.sets(KEYS, max_size=3))
def test_a_client_that_comes_back_with_its_keys_gets_the_difference(
    sortable: bool, history: list[State], repeated: set[int]
) -> None:
    view, before = view_of({}, sortable=sortable), dict[int, tuple[int, str]]()
    for state in history:
        advance(view, before, state)
        before = dict(state)
    for old in history:
        changed = {k for k in {*old, *before} if old.get(k) != before.get(k)} | repeated
        replica = replica_of(old)
        feed(replica, view.resume(held=replica.held, changed=changed))
        assert replica.rows == rows_of(before)


def test_a_client_that_comes_back_learns_of_no_row_that_was_never_its_own() -> None:
    view = view_of({1: (1, "x")}, sortable=True)
    delta = view.resume(held=[1], changed={1, 2, 3})
    assert list(delta.keys()) == [1]


@EITHER
def test_a_step_that_changes_nothing_is_none(sortable: bool) -> None:
    state = {1: (1, "x"), 2: (2, "x")}
    view = view_of(state, sortable=sortable)
    assert advance(view, state, state, hinted=[1, 2]) is None
    assert view.step(fresh={}, gone=[7]) is None
    assert view.version == 1


@EITHER
def test_loading_again_is_a_step(sortable: bool) -> None:
    view = view_of({1: (1, "x"), 2: (2, "x")}, sortable=sortable)
    after = {2: (0, "x"), 3: (3, "x")}
    delta = view.load(fresh_rows(after, in_order(after)))
    assert delta is not None
    assert delta.deletes == (1,)
    assert [put.key for put in delta.puts] == [3]


@EITHER
def test_a_row_that_leaves_and_comes_back_is_an_update_in_the_net(sortable: bool) -> None:
    view = view_of(there := {1: (1, "x"), 2: (2, "x")}, sortable=sortable)
    advance(view, there, away := {1: (1, "x")})
    advance(view, away, there)
    delta = view.since(1)
    assert delta is not None
    assert not delta.deletes
    assert [(put.key, put.created, put.after) for put in delta.puts] == [(2, False, 1)]


@EITHER
def test_a_row_that_comes_and_leaves_is_nothing_in_the_net(sortable: bool) -> None:
    view = view_of(there := {1: (1, "x")}, sortable=sortable)
    advance(view, there, more := {1: (1, "x"), 2: (2, "x")})
    advance(view, more, there)
    assert not view.since(1)


def test_the_keys_touched_since_a_version_are_known() -> None:
    view = view_of(one := {1: (1, "x")}, sortable=True)
    advance(view, one, two := {1: (1, "y"), 2: (2, "x")})
    advance(view, two, {1: (1, "y")})
    assert view.touched_since(1) == {1, 2}
    assert view.touched_since(2) == {2}


def test_past_the_ring_there_is_no_net_change() -> None:
    view = view_of({1: (1, "x")}, sortable=True, ring_bytes=300)
    for number in range(5):
        advance(view, {1: (1, "x" * number)}, {1: (1, "x" * (number + 1))})
    assert view.since(view.version - 1)
    assert view.since(0) is None
    assert view.touched_since(0) is None
    assert view.since(view.version + 1) is None


def test_a_listed_view_must_be_told_the_order_when_rows_come_or_go() -> None:
    view = view_of({1: (1, "x")}, sortable=False)
    with pytest.raises(ValueError, match="order"):
        view.step(fresh=fresh_rows({2: (2, "x")}, [2]), gone=())
    assert view.needs_listing({}, [1])
    assert not view.needs_listing({}, [9])
    assert view.needs_listing(fresh_rows({1: (1, "x")}, [1]), ())


def test_a_sorted_view_must_be_told_sort_values_and_no_order() -> None:
    view = View(sortable=True, ring_bytes=1000)
    with pytest.raises(ValueError, match="sort"):
        view.step(fresh={1: Fresh('{"id":1}', None)}, gone=())
    assert not view.needs_listing(fresh_rows({2: (2, "x")}, [2]), [1])


def test_a_view_knows_its_rows() -> None:
    view = view_of({2: (1, "x"), 1: (2, "y")}, sortable=True)
    assert len(view) == 2
    assert 2 in view
    assert 3 not in view
    assert view.texts() == ['{"id": 2, "name": "x"}', '{"id": 1, "name": "y"}']


def test_a_view_that_is_loaded_in_another_order_is_listed_from_then_on() -> None:
    view = View(sortable=True, ring_bytes=1000)
    state: State = {1: (1, "x"), 2: (2, "y"), 3: (3, "z")}
    view.load(fresh_rows(state, [3, 1, 2]))
    assert (view.keys(), view.sortable) == ([3, 1, 2], False)
    view.step(fresh=fresh_rows({2: (2, "new")}, [2]), gone=(), listed=[2, 3, 1])
    assert view.keys() == [2, 3, 1]


def test_a_row_without_sort_values_is_placed_by_the_database_s_list() -> None:
    view = view_of({1: (1, "x"), 2: (2, "y")}, sortable=True)
    odd: dict[Key, Fresh] = {3: Fresh('{"id": 3, "name": "odd"}', None)}
    assert view.needs_listing(odd, ())
    delta = view.step(fresh=odd, gone=(), listed=[1, 3, 2])
    assert delta is not None
    assert [(put.key, put.after) for put in delta.puts] == [(3, 1)]
    assert (view.keys(), view.sortable) == ([1, 3, 2], False)
    assert view.needs_listing(fresh_rows({1: (5, "x")}, [1]), ())


def test_a_listed_view_that_is_told_neighbours_is_as_one_that_is_told_all() -> None:
    state: State = {key: (key, "x") for key in range(6)}
    told, listed = (view_of(state, sortable=False) for _ in range(2))
    fresh = fresh_rows({4: (0, "x"), 9: (0, "y"), 2: (0, "z")}, [4, 9, 2])
    after: dict[Key, Key | None] = {4: None, 9: 4, 2: 1}
    assert told.fits(after, [3])
    one = told.step(fresh=fresh, gone=[3], after=after)
    other = listed.step(fresh=fresh, gone=[3], listed=[4, 9, 0, 1, 2, 5])
    assert one == other
    assert told.keys() == listed.keys()
    assert told.step(fresh={}, gone=[5], after={}) == listed.step(
        fresh={}, gone=[5], listed=[4, 9, 0, 1, 2]
    )


@pytest.mark.parametrize(
    ("after", "gone"),
    [({1: 7}, ()), ({1: 0}, (0,)), ({1: 2, 2: 1}, ()), ({1: None}, (1,)), ({1: 0, 2: 0}, ())],
    ids=["nobody knows it", "it left", "in a circle", "left itself", "two after one"],
)
def test_neighbours_that_a_view_cannot_have_do_not_fit_it(
    after: dict[Key, Key | None], gone: tuple[Key, ...]
) -> None:
    view = view_of({0: (0, "x"), 1: (1, "x"), 2: (2, "x")}, sortable=False)
    assert not view.fits(after, gone)
