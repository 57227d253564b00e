"""Where rows stand: two ways to keep a view's order and to say what moved.

`SortedOrder` repeats the database's order in Python, for columns whose order Python can repeat
exactly. `ListedOrder` is told the order by the database, for all others (collations, NULLs,
expressions): all of it, or the neighbours of a few rows. Both answer the same questions, so that a
view does not care which one it has.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

from bindserver.engine.changes import Key

Sort = tuple[Any, ...]
"""A row's values of the order columns, its key's last: unique, and ordered as in the database."""

FEW = 16
"""Of so many rows a look through all of them finds one as soon as a dict does."""

REBUILD_SHARE = 16
"""Past one change in so many rows, sorting anew is cheaper than moving single places."""

GAP = 2**60
"""How far the numbers of a listed order are apart at first. Python's integers have no largest."""


class Order(Protocol):
    """The places of a view's rows."""

    def keys(self) -> Sequence[Key]:
        """Return the keys in order. The caller must not change the list."""

    def rank(self, key: Key) -> Any:
        """Return a value by which keys sort into their order."""

    def predecessor(self, key: Key) -> Key | None:
        """Return the key that stands just before `key`, or None when it is the first."""


_NO_SORTS: list[Sort] = []
_NO_KEYS: list[Key] = []
"""Those of all views without rows. The first rows make other lists; nothing is put into these."""


class SortedOrder:
    """Places computed from the rows' own sort values. Which row has which is kept for many rows
    alone: most views have few."""

    __slots__ = ("_kept", "_keys", "_sorts")

    def __init__(self) -> None:
        self._sorts: list[Sort] = _NO_SORTS
        self._keys: list[Key] = _NO_KEYS
        self._kept: dict[Key, Sort] | None = None

    @property
    def _sort_of(self) -> dict[Key, Sort]:
        """The sort values of each row."""
        kept = self._kept
        return dict(zip(self._keys, self._sorts, strict=True)) if kept is None else kept

    def _sort(self, key: Key) -> Sort | None:
        """Return a row's sort values; None for no row of these."""
        if self._kept is not None:
            return self._kept.get(key)
        return self._sorts[self._keys.index(key)] if key in self._keys else None

    def keys(self) -> Sequence[Key]:
        return self._keys

    def rank(self, key: Key) -> Sort:
        sort = self._sort(key)
        if sort is None:
            raise KeyError(key)
        return sort

    def predecessor(self, key: Key) -> Key | None:
        index = bisect_left(self._sorts, self.rank(key))
        return self._keys[index - 1] if index else None

    def follows(self, key: Key, before: Key | None) -> bool:
        """Return whether a row stands just behind another one, or first."""
        return self._sort(key) is not None and self.predecessor(key) == before

    def around(self, key: Key | None) -> tuple[int, int]:
        """Return a row's number and that of the row behind it, where rows are numbered; with None
        what is free before the first row, and else behind the last."""
        index = 0 if key is None else bisect_left(self._sorts, self.rank(key)) + 1
        low = self._sorts[index - 1][0] if index else None
        high = self._sorts[index][0] if index < len(self._sorts) else None
        if low is None:
            low = -GAP if high is None else high - GAP
        return low, low + GAP if high is None else high

    def apply(self, gone: Collection[Key], fresh: Mapping[Key, Sort]) -> set[Key]:
        """Remove `gone`, place `fresh`, and return the old keys whose place changed.

        Args:
            gone: keys that left; unknown ones are passed over.
            fresh: the sort values of rows that were read, new and old.
        """
        known = self._kept = self._sort_of
        leaving = [key for key in gone if key in known]
        suspects = {key: sort for key, sort in fresh.items() if known.get(key, sort) != sort}
        arriving = {key: sort for key, sort in fresh.items() if key not in known}
        anchors_before = self._anchors(suspects, skipped=set(leaving))
        if len(leaving) + len(suspects) + len(arriving) > len(self._keys) // REBUILD_SHARE:
            self._rebuild(leaving, suspects, arriving)
        else:
            for key in (*leaving, *suspects):
                self._take_out(key)
            for key, sort in (*suspects.items(), *arriving.items()):
                self._put_in(key, sort)
        anchors_after = self._anchors(suspects, skipped=set(arriving))
        if len(self._keys) <= FEW:
            self._kept = None
        return _moved(anchors_before, anchors_after)

    def _take_out(self, key: Key) -> None:
        index = bisect_left(self._sorts, self._sort_of.pop(key))
        del self._sorts[index], self._keys[index]

    def _put_in(self, key: Key, sort: Sort) -> None:
        index = bisect_left(self._sorts, sort)
        self._sorts.insert(index, sort)
        self._keys.insert(index, key)
        self._sort_of[key] = sort

    def _rebuild(
        self, leaving: Iterable[Key], suspects: Mapping[Key, Sort], arriving: Mapping[Key, Sort]
    ) -> None:
        for key in leaving:
            del self._sort_of[key]
        self._sort_of.update(suspects)
        self._sort_of.update(arriving)
        pairs = sorted(self._sort_of.items(), key=lambda pair: pair[1])
        # A list that has grown item by item is longer than what is in it; a copy is not.
        self._keys = [key for key, _ in pairs].copy()
        self._sorts = [sort for _, sort in pairs].copy()

    def _anchors(
        self, suspects: Collection[Key], skipped: Collection[Key]
    ) -> dict[Key, Key | None]:
        """Return, for each suspect in order, the nearest row before it that stays where it is."""
        anchors: dict[Key, Key | None] = {}
        for key in sorted(suspects, key=self._sort_of.__getitem__):
            index = bisect_left(self._sorts, self._sort_of[key]) - 1
            while index >= 0 and self._keys[index] in skipped:
                index -= 1
            before = self._keys[index] if index >= 0 else None
            anchors[key] = anchors.get(before, before) if before is not None else None
        return anchors


def _moved(before: Mapping[Key, Key | None], after: Mapping[Key, Key | None]) -> set[Key]:
    """Return the suspects that changed places, given the anchors of each, both in order."""
    moved = {key for key, anchor in before.items() if after[key] != anchor}
    old = [key for key in before if key not in moved]
    new = [key for key in after if key not in moved]
    return moved | moved_between(old, new)


class ListedOrder:
    """Places as the database lists them all, or as it names the row before each of a few.

    Every row has a number, and the numbers rise. A row that comes between two others gets a number
    between theirs, so that nobody else's changes (after Dietz, "Maintaining order in a linked
    list", 1982). They are given when they are first asked for, and anew where no number is left.
    """

    def __init__(self) -> None:
        self._keys: list[Key] = []
        self._numbered: SortedOrder | None = None

    def keys(self) -> Sequence[Key]:
        return self._keys if self._numbered is None else self._numbered.keys()

    def rank(self, key: Key) -> Sort:
        return self._numbers().rank(key)

    def predecessor(self, key: Key) -> Key | None:
        return self._numbers().predecessor(key)

    def apply(self, listed: Sequence[Key]) -> set[Key]:
        """Take the whole new order, and return the old keys that changed places."""
        present, keys = set(listed), self.keys()
        known = set(keys)
        old = [key for key in keys if key in present]
        new = [key for key in listed if key in known]
        self._keys, self._numbered = list(listed), None
        return moved_between(old, new)

    def place(self, gone: Collection[Key], after: Mapping[Key, Key | None]) -> set[Key]:
        """Remove `gone`, put rows behind those that they follow, and return the old keys whose
        place changed.

        Args:
            gone: keys that left.
            after: for each row that came or may have moved, the row just before it in the new
                order, which may be another one of them; None for the first.

        Raises:
            ValueError: no order is like that.
        """
        runs = runs_of(after)
        if runs is None:
            raise ValueError("no order has two rows after one, or rows that follow each other")
        numbers = self._numbers()
        fresh = self._between(numbers, runs)
        if fresh is None:
            self._keys, self._numbered = list(numbers.keys()), None
            numbers = self._numbers()
            fresh = self._between(numbers, runs)
            assert fresh is not None
        return numbers.apply(gone, fresh)

    def _numbers(self) -> SortedOrder:
        if self._numbered is None:
            self._numbered = SortedOrder()
            self._numbered.apply((), {key: (at * GAP,) for at, key in enumerate(self._keys)})
            self._keys = []
        return self._numbered

    @staticmethod
    def _between(numbers: SortedOrder, runs: Sequence[Run]) -> dict[Key, Sort] | None:
        """Return numbers for the rows of runs; None where there are not enough."""
        fresh: dict[Key, Sort] = {}
        for before, keys in runs:
            keys = list(keys)
            while keys and numbers.follows(keys[0], before):
                before = keys.pop(0)  # it stays where it is
            low, high = numbers.around(before)
            step = (high - low) // (len(keys) + 1)
            if step == 0:
                return None
            fresh.update({key: (low + step * at,) for at, key in enumerate(keys, start=1)})
        return fresh


Run = tuple[Key | None, Sequence[Key]]
"""Rows that follow one another, and the one before them; None where they begin the order."""


def runs_of(after: Mapping[Key, Key | None]) -> list[Run] | None:
    """Return rows in the runs that they stand in, None where no order is like that.

    Args:
        after: the row just before each.
    """
    following = {before: key for key, before in after.items()}
    if len(following) < len(after):
        return None
    runs: list[Run] = []
    for key, before in after.items():
        if before is None or before not in after:
            run = [key]
            while (key_after := following.get(run[-1])) is not None:
                run.append(key_after)
            runs.append((before, run))
    return runs if sum(len(run) for _, run in runs) == len(after) else None


def moved_between(old: Sequence[Key], new: Sequence[Key]) -> set[Key]:
    """Return a smallest set of keys whose moving turns `old` into `new`.

    Args:
        old: keys in their old order.
        new: the same keys in their new order.

    The keys that stay are a longest increasing subsequence of old places, found by patience
    sorting (Fredman, "On computing the length of longest increasing subsequences", 1975).
    """
    start, end = 0, len(old)
    while start < end and old[start] == new[start]:
        start += 1
    while end > start and old[end - 1] == new[end - 1]:
        end -= 1
    if start == end:
        return set()
    place = {key: index for index, key in enumerate(old[start:end])}
    return set(place) - _longest_rising([(place[key], key) for key in new[start:end]])


def _longest_rising(items: Sequence[tuple[int, Key]]) -> set[Key]:
    """Return the keys of a longest subsequence of `items` whose numbers rise."""
    tails: list[int] = []
    tail_at: list[int] = []
    before: list[int] = []
    for index, (place, _) in enumerate(items):
        length = bisect_left(tails, place)
        before.append(tail_at[length - 1] if length else -1)
        if length == len(tails):
            tails.append(place)
            tail_at.append(index)
        else:
            tails[length] = place
            tail_at[length] = index
    kept: set[Key] = set()
    index = tail_at[-1] if tail_at else -1
    while index >= 0:
        kept.add(items[index][1])
        index = before[index]
    return kept
