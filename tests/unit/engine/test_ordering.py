"""Where rows stand, against lists that are sorted anew each time."""

from __future__ import annotations

from itertools import combinations, permutations
from random import Random
from typing import Any

import pytest

from bindserver.engine.changes import Key
from bindserver.engine.ordering import ListedOrder, SortedOrder, moved_between, runs_of
from tests.support.steps import Compared, calls_of, grows_like_its_work

Sorts = dict[Key, tuple[int, int]]


def kept_in_order(old: list[Key], new: list[Key], moved: set[Key]) -> bool:
    return [k for k in old if k not in moved] == [k for k in new if k not in moved]


def naive(sorts: Sorts) -> list[Key]:
    return sorted(sorts, key=lambda key: sorts[key])


def change(order: SortedOrder, sorts: Sorts, gone: set[Key], fresh: Sorts) -> set[Key]:
    """Move an order on, and see that it is right; return what moved."""
    old = naive(sorts)
    moved = order.apply(gone, fresh)
    for key in gone:
        sorts.pop(key, None)
    sorts.update(fresh)
    new = naive(sorts)
    assert order.keys() == new
    stayed = {key for key in old if key in sorts}
    assert moved <= stayed
    assert kept_in_order([k for k in old if k in stayed], [k for k in new if k in stayed], moved)
    return moved


@pytest.mark.parametrize("size", [8, 300], ids=["built anew", "in place"])
def test_a_sorted_order_is_what_sorting_says(size: int) -> None:
    for seed in range(20):
        chance = Random(seed)
        order, sorts = SortedOrder(), Sorts()
        change(order, sorts, set(), {key: (chance.randrange(9), key) for key in range(size)})
        for _ in range(5):
            gone: set[Key] = {chance.randrange(size) for _ in range(chance.randrange(4))}
            read = {chance.randrange(size + 4) for _ in range(chance.randrange(5))}
            change(order, sorts, gone, {k: (chance.randrange(9), k) for k in read - gone})


def test_an_order_names_the_row_before() -> None:
    order = SortedOrder()
    order.apply((), {"b": (1, "b"), "a": (2, "a")})
    assert order.predecessor("b") is None
    assert order.predecessor("a") == "b"


def test_an_order_ranks_its_keys() -> None:
    order, listed = SortedOrder(), ListedOrder()
    order.apply((), {"b": (1, "b"), "a": (2, "a")})
    listed.apply(["b", "a"])
    for either in (order, listed):
        assert sorted(["a", "b"], key=either.rank) == ["b", "a"]


@pytest.mark.parametrize("size", [4, 100], ids=["built anew", "in place"])
def test_a_row_that_keeps_its_place_has_not_moved(size: int) -> None:
    order, sorts = SortedOrder(), Sorts()
    change(order, sorts, set(), {key: (10 * key, key) for key in range(size)})
    assert change(order, sorts, set(), {2: (21, 2)}) == set()
    assert change(order, sorts, set(), {2: (31, 2)}) == {2}


def test_a_row_whose_neighbours_alone_come_and_go_has_not_moved() -> None:
    order, sorts = SortedOrder(), Sorts()
    change(order, sorts, set(), {key: (10 * key, key) for key in range(6)})
    assert change(order, sorts, {1, 2}, {3: (31, 3), 9: (29, 9)}) == set()


def test_rows_that_all_rise_together_have_not_moved() -> None:
    order, sorts = SortedOrder(), Sorts()
    change(order, sorts, set(), {key: (key, key) for key in range(9)})
    assert change(order, sorts, set(), {key: (100 + key, key) for key in range(9)}) == set()


def test_of_rows_that_all_change_only_those_out_of_turn_have_moved() -> None:
    order, sorts = SortedOrder(), Sorts()
    change(order, sorts, set(), {key: (key, key) for key in range(9)})
    turned: Sorts = {key: (0 if key == 4 else 100 + key, key) for key in range(9)}
    assert change(order, sorts, set(), turned) == {4}


def test_an_unknown_key_may_go() -> None:
    order = SortedOrder()
    assert order.apply(["nobody"], {1: (1, 1)}) == set()
    assert order.keys() == [1]


def test_every_row_of_a_large_view_may_change_at_once() -> None:
    def calls_for(many: int) -> int:
        order = SortedOrder()
        keys: list[Any] = [Compared(number) for number in range(many)]
        order.apply((), {key: (key, 0) for key in keys})
        fresh: dict[Any, Any] = {key: (Compared(key.number + 1), 0) for key in keys}
        return calls_of(lambda: order.apply((), fresh))

    assert grows_like_its_work(calls_for, 300)


def test_moved_between_is_right_and_smallest() -> None:
    old: list[Key] = [0, 1, 2, 3, 4]
    for new in permutations(old):
        moved = moved_between(old, list(new))
        assert kept_in_order(old, list(new), moved)
        for fewer in combinations(old, max(0, len(moved) - 1)):
            assert not moved or not kept_in_order(old, list(new), set(fewer))


def test_nothing_moves_between_equal_orders() -> None:
    assert moved_between([], []) == set()
    assert moved_between([1, 2], [1, 2]) == set()


def test_a_listed_order_is_the_list() -> None:
    chance, order = Random(7), ListedOrder()
    old: list[Key] = []
    for _ in range(40):
        new: list[Key] = chance.sample(range(12), chance.randrange(12))
        moved = order.apply(new)
        assert order.keys() == new
        assert [order.predecessor(key) for key in new] == [None, *new][: len(new)]
        assert moved <= set(old) & set(new)
        both = set(old) & set(new)
        assert kept_in_order([k for k in old if k in both], [k for k in new if k in both], moved)
        old = new


def test_a_listed_order_takes_the_list_for_its_own() -> None:
    order, listed = ListedOrder(), list[Key]([1, 2])
    order.apply(listed)
    listed.append(3)
    assert order.keys() == [1, 2]


def after_of(order: list[Key], keys: set[Key]) -> dict[Key, Key | None]:
    """Return the row before each of some keys."""
    before: dict[Key, Key | None] = dict(zip(order, [None, *order], strict=False))
    return {key: before[key] for key in keys}


@pytest.mark.parametrize("size", [8, 300], ids=["few rows", "many"])
def test_an_order_of_which_neighbours_are_told_is_what_listing_gives(size: int) -> None:
    for seed in range(30):
        chance, order = Random(seed), ListedOrder()
        old: list[Key] = chance.sample(range(size), size)
        order.apply(old)
        for _ in range(12):
            gone: set[Key] = set(chance.sample(old, min(len(old), chance.randrange(4))))
            placed: set[Key] = {chance.randrange(size + 9) for _ in range(chance.randrange(6))}
            placed -= gone
            new = [key for key in old if key not in gone | placed]
            for key in placed:
                new.insert(chance.randrange(len(new) + 1), key)
            moved = order.place(gone, after_of(new, placed))
            assert order.keys() == new
            assert [order.predecessor(key) for key in new] == [None, *new][: len(new)]
            assert sorted(new, key=order.rank) == new
            both = set(old) & set(new)
            assert moved <= both & placed
            before, now = ([k for k in keys if k in both] for keys in (old, new))
            assert kept_in_order(before, now, moved)
            old = new


def test_a_row_that_is_told_the_neighbour_that_it_has_has_not_moved() -> None:
    order = ListedOrder()
    order.apply([1, 2, 3])
    for _ in range(200):
        assert order.place((), {2: 1}) == set()
        assert order.place((), {3: 2, 2: 1, 1: None}) == set()
    assert order.place([2], {3: 1}) == set()
    assert order.place([], {3: None}) == {3}


def test_places_do_not_run_out_between_two_rows() -> None:
    order, rows = ListedOrder(), list[Key]([0, 1])
    order.apply(rows)
    for key in range(2, 400):
        order.place((), {key: 0})
        rows.insert(1, key)
    assert order.keys() == rows


def test_rows_that_follow_each_other_have_no_order() -> None:
    assert runs_of({1: 2, 2: 1}) is None
    assert runs_of({1: 3, 2: 3}) is None
    assert runs_of({1: 1}) is None
    assert runs_of({1: None, 2: 1, 5: 4, 3: 2}) == [(None, [1, 2, 3]), (4, [5])]
    with pytest.raises(ValueError, match="no order"):
        ListedOrder().place((), {1: 2, 2: 1})


def test_rows_of_one_order_are_in_no_other() -> None:
    one, other = SortedOrder(), SortedOrder()
    one.apply((), {1: (1,)})
    one.apply((1,), {})
    one.apply((7,), {})
    one.apply((), {2: (2,), 3: (3,)})
    assert list(one.keys()) == [2, 3]
    assert list(other.keys()) == list(SortedOrder().keys()) == []
