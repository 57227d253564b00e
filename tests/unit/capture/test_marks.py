"""Marks: what was seen of a log whose numbers are not in commit order."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bindserver.capture.mysql.marks import BRIEF_LENGTH, Mark, cut, merged, parse

AT_LEISURE = settings(deadline=None)  # while all cores are busy, too
NUMBERS = st.lists(st.integers(1, 300), unique=True).map(sorted)


def test_numbers_that_are_missing_are_holes() -> None:
    mark = Mark().seen([2, 3, 7], nonce=9)
    assert mark == Mark(high=7, nonce=9, holes=((1, 1), (4, 6)))
    assert mark.low == 1
    assert [n for n in range(10) if mark.lacks(n)] == [1, 4, 5, 6, 8, 9]


def test_what_comes_late_fills_its_hole_and_the_nonce_stays_the_newest_one_s() -> None:
    mark = Mark(high=7, nonce=9, holes=((1, 1), (4, 6))).seen([1, 5], nonce=3)
    assert mark == Mark(high=7, nonce=9, holes=((4, 4), (6, 6)))


def test_a_mark_without_holes_is_lowest_after_its_newest() -> None:
    assert Mark(high=7).low == 8


def test_holes_that_are_given_up_are_gone() -> None:
    mark = Mark(high=9, holes=((2, 3), (5, 5), (8, 8)))
    assert mark.without({(5, 5), (6, 6)}).holes == ((2, 3), (8, 8))


@AT_LEISURE
@given(NUMBERS, NUMBERS)
def test_two_steps_come_to_what_one_does(some: list[int], more: list[int]) -> None:
    mark = Mark().seen(some, nonce=1)
    late = [n for n in more if mark.lacks(n)]
    both = mark.seen(late, nonce=2)
    assert both.holes == Mark().seen(sorted({*some, *more}), nonce=2).holes
    assert not any(both.lacks(n) for n in {*some, *more})


@AT_LEISURE
@given(NUMBERS)
def test_what_a_mark_lacks_is_what_it_has_not_seen(some: list[int]) -> None:
    mark = Mark().seen(some, nonce=1)
    assert {n for n in range(1, 302) if mark.lacks(n)} == set(range(1, 302)) - set(some)


@AT_LEISURE
@given(NUMBERS)
def test_a_text_says_all(some: list[int]) -> None:
    mark = Mark().seen(some, nonce=12345)
    assert parse(mark.text()) == mark
    assert mark.brief(10_000) == mark.text()


@AT_LEISURE
@given(NUMBERS, NUMBERS)
def test_who_has_seen_more_is_ahead(some: list[int], more: list[int]) -> None:
    mark = Mark().seen(some, nonce=1)
    ahead = mark.seen([n for n in more if mark.lacks(n)], nonce=2)
    assert ahead.is_ahead_of(mark) == (ahead != mark)
    assert not mark.is_ahead_of(ahead)


def test_who_has_given_up_a_hole_is_ahead() -> None:
    mark = Mark(high=9, nonce=1, holes=((2, 3), (5, 5)))
    assert mark.without([(5, 5)]).is_ahead_of(mark)
    assert not mark.is_ahead_of(mark.without([(5, 5)]))


@pytest.mark.slow
@AT_LEISURE
@given(st.sets(st.integers(1, 100_000), min_size=60, max_size=400).map(sorted))
def test_a_text_that_is_too_long_is_cut_to_an_earlier_mark(some: list[int]) -> None:
    mark = Mark().seen(some, nonce=2**53)
    text = mark.brief()
    assert len(text) <= BRIEF_LENGTH
    earlier = parse(text)
    assert (earlier.high, earlier.nonce, earlier.low) == (mark.high, mark.nonce, mark.low)
    assert all(earlier.lacks(n) for start, end in mark.holes for n in (start, end))


@AT_LEISURE
@given(NUMBERS, st.integers(1, 20))
def test_merged_spans_hold_all_that_the_spans_did(some: list[int], most: int) -> None:
    spans = cut([(1, 300)], some)
    few = merged(spans, most)
    assert len(few) <= max(most, 1)
    assert all(any(a <= start and end <= b for a, b in few) for start, end in spans)
    assert few == sorted(few)
