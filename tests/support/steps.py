"""What something costs, counted: the same on a fast machine and on a busy one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import total_ordering


@total_ordering
class Compared:
    """A key whose comparisons are calls, so that a search through a list is counted too."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Compared) and self.number == other.number

    def __lt__(self, other: Compared) -> bool:
        return self.number < other.number

    def __hash__(self) -> int:
        return hash(self.number)


def calls_of(work: Callable[[], object]) -> int:
    """Return how many functions are called by something, those in C among them."""
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    usual = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(usual)
    return calls


def grows_like_its_work(calls_for: Callable[[int], int], size: int) -> bool:
    """Return whether what something costs grows about as its work does, and not as its square.

    Args:
        calls_for: does the work of a size, and returns how many calls it took.
        size: of the smaller one that is tried.
    """
    return calls_for(size * 8) < calls_for(size) * 8 * 2
