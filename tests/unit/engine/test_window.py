"""A window holds what cutting the whole list gives, however its rows change."""

from __future__ import annotations

from random import Random

import pytest

from bindserver.engine.ordering import Sort
from bindserver.engine.window import Window

Rows = dict[int, Sort]


def in_order(rows: Rows) -> list[int]:
    return sorted(rows, key=rows.__getitem__)


def read(window: Window[int], rows: Rows, most: int, *, sortable: bool) -> None:
    keys = in_order(rows)[:most]
    window.load({k: rows[k] if sortable else None for k in keys}, whole=len(keys) < most)


def step(window: Window[int], rows: Rows, touched: set[int]) -> bool:
    """Move a window on by rows that were read again; return whether it did without more."""
    fresh: dict[int, Sort | None] = {key: rows[key] for key in touched if key in rows}
    listed = window.sorted_with(touched, fresh)
    if listed is None:
        fresh = dict.fromkeys(fresh)
        known = {key for key in window.keys() if key in rows} | fresh.keys()
        listed = [key for key in in_order(rows) if key in known]
    inside = window.inside(touched, listed)
    if inside is None:
        return False
    window.move(inside, fresh)
    return window.is_enough()


@pytest.mark.parametrize("sortable", [True, False], ids=["sorted", "listed"])
@pytest.mark.parametrize("ahead", [0, 3])
@pytest.mark.parametrize("start", [0, 2])
def test_a_window_is_what_cutting_the_whole_list_gives(
    sortable: bool, ahead: int, start: int
) -> None:
    reads = 0
    for seed in range(40):
        chance = Random(seed)
        rows: Rows = {key: (chance.randrange(6), key) for key in range(chance.randrange(30))}
        window = Window[int](start=start, length=4, ahead=ahead)
        read(window, rows, start + 4 + ahead, sortable=sortable)
        for _ in range(60):
            touched = {chance.randrange(34) for _ in range(chance.randrange(4))}
            for key in touched:
                if chance.random() < 0.4:
                    rows.pop(key, None)
                else:
                    rows[key] = (chance.randrange(6), key)
            if not step(window, rows, touched):
                reads += 1
                read(window, rows, start + 4 + ahead, sortable=sortable)
            assert list(window.shown()) == in_order(rows)[start : start + 4]
            assert list(window.keys()) == in_order(rows)[: len(window.keys())]
    assert reads < (400 if ahead else 1600)


def test_a_delete_inside_is_made_up_for_by_what_was_read_ahead() -> None:
    rows: Rows = {key: (key,) for key in range(100)}
    window = Window[int](start=0, length=5, ahead=10)
    read(window, rows, 15, sortable=True)
    for key in range(10):
        del rows[key]
        assert step(window, rows, {key})
        assert list(window.shown()) == in_order(rows)[:5]
    del rows[10]
    assert not step(window, rows, {10})


def test_a_row_behind_the_boundary_is_not_taken_in() -> None:
    window = Window[int](start=0, length=2, ahead=1)
    window.load({1: (1,), 2: (2,), 3: (3,)}, whole=False)
    # Row 3 moves behind others that nobody knows: it is not the next one.
    assert window.inside({3}, [1, 2, 3]) == [1, 2]
    assert window.inside({1, 2, 3}, [1, 2, 3]) is None


def test_the_last_rows_are_known_where_none_are_behind() -> None:
    window = Window[int](start=1, length=2, ahead=1)
    window.load({1: (1,)}, whole=True)
    fresh: dict[int, Sort | None] = {2: (2,), 3: (0,)}
    listed = window.sorted_with({2, 3}, fresh)
    assert listed == [3, 1, 2]
    window.move(window.inside({2, 3}, listed) or (), fresh)
    assert list(window.shown()) == [1, 2]
    assert window.whole
    assert 3 in window
    assert window.touches([3, 9])
    assert not window.touches([9])


def test_a_window_that_grows_is_cut_and_does_not_know_what_is_behind() -> None:
    window = Window[int](start=0, length=1, ahead=1)
    window.load({}, whole=True)
    fresh: dict[int, Sort | None] = {key: (key,) for key in range(9)}
    listed = window.sorted_with(set(fresh), fresh)
    assert listed is not None
    window.move(window.inside(set(fresh), listed) or (), fresh)
    assert list(window.keys()) == [0, 1]
    assert not window.whole


def test_a_row_that_python_cannot_sort_leaves_all_to_the_database_from_then_on() -> None:
    window = Window[int](start=0, length=2, ahead=2)
    window.load({1: (1,), 2: (2,), 3: (3,), 4: (4,)}, whole=False)
    assert window.sorted_with({9}, {9: None}) is None
    inside = window.inside({9}, [1, 9, 2, 3, 4])
    assert inside is not None
    window.move(inside, {9: None})
    assert window.shown() == [1, 9]
    assert window.sorted_with({1}, {1: (5,)}) is None


def test_rows_that_do_not_come_as_their_values_say_are_left_to_the_database() -> None:
    window = Window[int](start=0, length=2, ahead=0)
    window.load({2: (2,), 1: (1,)}, whole=False)
    assert window.sorted_with({3}, {3: (0,)}) is None
