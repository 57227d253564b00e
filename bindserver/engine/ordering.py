"""Where rows stand: two ways to keep a view's order and to say what moved.

`SortedOrder` repeats the database's order in Python, for columns whose order Python can repeat
exactly. `ListedOrder` is told the order by the database, for all others (collations, NULLs,
expressions). Both answer the same questions, so that a view does not care which one it has.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

from bindserver.engine.changes import Key

Sort = tuple[Any, ...]
"""A row's values of the order columns, its key's last: unique, and ordered as in the database."""

REBUILD_SHARE = 16
"""Past one change in so many rows, sorting anew is cheaper than moving single places."""


class Order(Protocol):
    """The places of a view's rows."""

    def keys(self) -> Sequence[Key]:
        """Return the keys in order. The caller must not change the list."""

    def rank(self, key: Key) -> Any:
        """Return a value by which keys sort into their order."""

    def predecessor(self, key: Key) -> Key | None:
        """Return the key that stands just before `key`, or None when it is the first."""


class SortedOrder:
    """Places computed from the rows' own sort values."""

    def __init__(self) -> None:
        self._sorts: list[Sort] = []
        self._keys: list[Key] = []
        self._sort_of: dict[Key, Sort] = {}

    def keys(self) -> Sequence[Key]:
        return self._keys

    def rank(self, key: Key) -> Sort:
        return self._sort_of[key]

    def predecessor(self, key: Key) -> Key | None:
        index = bisect_left(self._sorts, self._sort_of[key])
        return self._keys[index - 1] if index else None

    def apply(self, gone: Collection[Key], fresh: Mapping[Key, Sort]) -> set[Key]:
        """Remove `gone`, place `fresh`, and return the old keys whose place changed.

        Args:
            gone: keys that left; unknown ones are passed over.
            fresh: the sort values of rows that were read, new and old.
        """
        leaving = [key for key in gone if key in self._sort_of]
        suspects = {
            key: sort for key, sort in fresh.items() if self._sort_of.get(key, sort) != sort
        }
        arriving = {key: sort for key, sort in fresh.items() if key not in self._sort_of}
        anchors_before = self._anchors(suspects, skipped=set(leaving))
        if len(leaving) + len(suspects) + len(arriving) > len(self._keys) // REBUILD_SHARE:
            self._rebuild(leaving, suspects, arriving)
        else:
            for key in (*leaving, *suspects):
                self._take_out(key)
            for key, sort in (*suspects.items(), *arriving.items()):
                self._put_in(key, sort)
        anchors_after = self._anchors(suspects, skipped=set(arriving))
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
        self._keys = [key for key, _ in pairs]
        self._sorts = [sort for _, sort in pairs]

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
    """Places as the database lists them."""

    def __init__(self) -> None:
        self._keys: list[Key] = []
        self._ranks: dict[Key, int] | None = None

    def keys(self) -> Sequence[Key]:
        return self._keys

    def rank(self, key: Key) -> int:
        if self._ranks is None:
            self._ranks = {key: index for index, key in enumerate(self._keys)}
        return self._ranks[key]

    def predecessor(self, key: Key) -> Key | None:
        index = self.rank(key)
        return self._keys[index - 1] if index else None

    def apply(self, listed: Sequence[Key]) -> set[Key]:
        """Take the whole new order, and return the old keys that changed places."""
        present = set(listed)
        known = set(self._keys)
        old = [key for key in self._keys if key in present]
        new = [key for key in listed if key in known]
        self._keys = list(listed)
        self._ranks = None
        return moved_between(old, new)


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
