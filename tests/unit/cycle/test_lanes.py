"""What a turn reads first, and in which order it reads what is dear."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

import pytest
from django.test import override_settings

from bindserver.cycle.lanes import Lanes

TURN = {"TURN_SECONDS": 0.01}


@dataclass(eq=False)
class Some:
    """Something to do."""

    family: str
    expected: float = 0.0
    moved_at: float = 0.0


@pytest.fixture(autouse=True)
def settings() -> object:
    with override_settings(BINDSERVER=TURN):
        yield


def test_what_was_never_measured_is_cheap() -> None:
    works = [Some("a"), Some("b")]
    assert Lanes().part(works) == (works, [])


def test_a_dear_one_is_left_and_the_cheap_ones_are_not() -> None:
    cheap, dear = Some("a", 0.001), Some("b", 0.5)
    assert Lanes().part([dear, cheap]) == ([cheap], [dear])


def test_many_of_one_binding_are_dear_together() -> None:
    many, cheap = [Some("many", 0.001) for _ in range(1000)], Some("a", 0.002)
    assert Lanes().part([*many, cheap]) == ([cheap], many)


def test_many_bindings_are_cheap_only_as_far_as_a_turn_has_time() -> None:
    works = [Some(str(number), 0.004) for number in range(10)]
    cheap, dear = Lanes().part(works)
    assert (len(cheap), len(dear)) == (2, 8)


def test_nothing_is_dear_where_nobody_else_waits() -> None:
    works = [Some("a", 1e9), Some("b", 1e9)]
    assert Lanes(endless=True).part(works) == (works, [])


def test_cheap_ones_come_in_the_order_in_which_they_were_read() -> None:
    works = [Some("a", moved_at=3), Some("b", moved_at=1), Some("c", moved_at=2)]
    cheap, _ = Lanes().part(works)
    assert [work.family for work in cheap] == ["b", "c", "a"]


def test_dear_ones_of_each_binding_take_turns() -> None:
    many = [Some("many", moved_at=number) for number in range(5)]
    other = [Some("other", moved_at=number + 0.5) for number in range(2)]
    order = [work.family for work in Lanes.by_turns([*many, *other])]
    assert order == ["many", "other", "many", "other", "many", "many", "many"]


def test_every_dear_one_is_read_after_as_many_turns_as_there_are() -> None:
    rng = Random(1)
    works = [Some(rng.choice("abc"), moved_at=rng.random()) for _ in range(40)]
    read = set()
    for number in range(40):
        first = next(iter(Lanes.by_turns(works)))
        first.moved_at = 1.0 + number  # a turn reads one at least, and it may be touched again
        read.add(id(first))
    assert len(read) == 40


def test_nothing_is_due_where_nothing_is_left_for_a_while() -> None:
    assert Lanes().due() == math.inf


@pytest.mark.parametrize(("rest", "slice_"), [(0.0, 0.02), (0.05, 0.05), (3.0, 0.1)])
def test_newcomers_have_as_long_as_the_rest_of_a_turn_within_bounds(
    rest: float, slice_: float
) -> None:
    lanes = Lanes()
    lanes.turn_seconds = rest
    assert lanes.slice_seconds == pytest.approx(slice_)


def test_newcomers_have_as_long_as_a_query_where_nobody_else_waits() -> None:
    with override_settings(BINDSERVER={**TURN, "QUERY_SECONDS": 7}):
        assert Lanes(endless=True).slice_seconds == 7
