"""Marks: which entries of a log a snapshot has seen, where numbers are not in commit order.

Numbers are given out when an entry is written, and entries are seen when they are committed. So a
mark is the highest number that is seen, and the *holes* below it: numbers that are not, and may
still be. A hole that was rolled back stays one until somebody proves that nothing will come.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

BRIEF_LENGTH = 220
"""How long a mark's text may be, so that a cursor with it is not longer than clients are sent."""

Span = tuple[int, int]
"""The first and the last number of a hole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What a snapshot has seen of a log.

    Attributes:
        high: the highest number seen, 0 for none.
        nonce: the random number of that entry.
        holes: the spans below `high` that were not seen, in order.
    """

    high: int = 0
    nonce: int = 0
    holes: tuple[Span, ...] = ()

    @property
    def low(self) -> int:
        """The first number that was not seen and may be."""
        return self.holes[0][0] if self.holes else self.high + 1

    def lacks(self, number: int) -> bool:
        """Return whether an entry that is seen now was not seen then."""
        if number > self.high:
            return True
        at = bisect_right(self.holes, (number, number))
        return any(start <= number <= end for start, end in self.holes[max(0, at - 1) : at + 1])

    def seen(self, numbers: Sequence[int], nonce: int) -> Mark:
        """Return the mark after entries were seen.

        Args:
            numbers: those that this mark lacks, in order.
            nonce: that of the last one.
        """
        if not numbers:
            return self
        if numbers[-1] <= self.high:
            return replace(self, holes=cut(self.holes, numbers))
        spans = (*self.holes, (self.high + 1, numbers[-1]))
        return Mark(high=numbers[-1], nonce=nonce, holes=cut(spans, numbers))

    def above(self, number: int) -> Mark:
        """Return the mark without holes up to a number."""
        return replace(
            self,
            holes=tuple((max(start, number + 1), end) for start, end in self.holes if end > number),
        )

    def without(self, dead: Collection[Span]) -> Mark:
        """Return the mark without holes in which nothing will come any more."""
        return replace(self, holes=tuple(span for span in self.holes if span not in dead))

    def ranges(self, most: int) -> list[Span]:
        """Return at most so many spans that hold all holes, and perhaps more."""
        return merged(self.holes, most)

    def is_ahead_of(self, other: Mark) -> bool:
        """Return whether it has seen, or given up, more than another mark of the same log."""
        return (self.high, -_missing(self.holes)) > (other.high, -_missing(other.holes))

    def text(self) -> str:
        """Return the mark as text."""
        return self._text(self.holes)

    def brief(self, length: int = BRIEF_LENGTH) -> str:
        """Return it as a text of at most so many characters: one with fewer, larger holes, and so
        an earlier mark, where its own is longer. To be told again of what one knows is harmless."""
        text, most = self.text(), length // 4
        while len(text) > length:
            text = self._text(merged(self.holes, most))
            most -= 1 + most // 10
        return text

    def _text(self, holes: Iterable[Span]) -> str:
        parts = [f"{self.high - start:x}-{end - start:x}" for start, end in holes]
        return ".".join([f"{self.high:x}", f"{self.nonce:x}", *parts])


def parse(text: str) -> Mark:
    """Return the mark that a text is of."""
    high, nonce, *parts = text.split(".")
    number = int(high, 16)
    holes = []
    for part in parts:
        below, length = (int(value, 16) for value in part.split("-"))
        holes.append((number - below, number - below + length))
    return Mark(high=number, nonce=int(nonce, 16), holes=tuple(holes))


def _missing(spans: Iterable[Span]) -> int:
    return sum(end - start + 1 for start, end in spans)


def cut(spans: Iterable[Span], numbers: Sequence[int]) -> tuple[Span, ...]:
    """Return what is left of spans without these numbers, which are in order."""
    left: list[Span] = []
    for start, end in spans:
        at, first = bisect_left(numbers, start), start
        while at < len(numbers) and numbers[at] <= end:
            if numbers[at] > first:
                left.append((first, numbers[at] - 1))
            first = numbers[at] + 1
            at += 1
        if first <= end:
            left.append((first, end))
    return tuple(left)


def merged(spans: Sequence[Span], most: int) -> list[Span]:
    """Return at most so many spans that hold all of these: those closest together become one."""
    if len(spans) <= most:
        return list(spans)
    distances = [(spans[i + 1][0] - spans[i][1], i) for i in range(len(spans) - 1)]
    apart = {i for _, i in sorted(distances, reverse=True)[: most - 1]}
    found: list[Span] = []
    start = spans[0][0]
    for i, (_, end) in enumerate(spans):
        if i in apart or i == len(spans) - 1:
            found.append((start, end))
            if i + 1 < len(spans):
                start = spans[i + 1][0]
    return found
