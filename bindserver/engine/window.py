"""A window: which of a query's first rows are shown, and where rows that were read again stand.

Rows are known from the very first one up to some behind those that are shown, the *look-ahead*. So
a row that leaves is made up for by the next one, which is known already. What is behind the last
known row is not known, so a row that was read again counts only if it stands before the *boundary*:
the last row that nobody has touched, before which no other can have come without being read.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Hashable, Mapping, Sequence
from itertools import pairwise
from typing import Generic, TypeVar

from bindserver.engine.ordering import Sort

K = TypeVar("K", bound=Hashable)


class Window(Generic[K]):
    """The first rows of a query by their keys, in order.

    Args:
        start: how many rows stand before those that are shown.
        length: how many are shown.
        ahead: how many more are kept behind them, and twice as many for a while.

    Attributes:
        known: all keys that are known; another set whenever they change.
        whole: whether there are no rows behind those that are known.
    """

    def __init__(self, *, start: int, length: int, ahead: int) -> None:
        self._start, self._stop = start, start + length
        self._ahead = ahead
        self._keys: list[K] = []
        self.known: frozenset[K] = frozenset()
        self._sorts: dict[K, Sort] | None = None
        self.whole = False

    def __contains__(self, key: object) -> bool:
        return key in self.known

    def keys(self) -> Sequence[K]:
        """Return all keys that are known, in order. The caller must not change the list."""
        return self._keys

    def shown(self) -> Sequence[K]:
        """Return the keys of the rows that are shown, in order."""
        return self._keys[self._start : self._stop]

    def is_enough(self) -> bool:
        """Return whether all rows that are to be shown are known; if not, read them again."""
        return self.whole or len(self._keys) >= self._stop

    def touches(self, keys: Collection[K]) -> bool:
        """Return whether one of some keys is known."""
        return not self.known.isdisjoint(keys)

    def stays_outside(self, keys: Collection[K], fresh: Mapping[K, Sort | None]) -> bool:
        """Return whether rows that were read again are surely none of those that are known, and
        were not before.

        Args:
            keys: the keys that were looked for.
            fresh: the sort values of those that were found.
        """
        if self.touches(keys):
            return False
        if not fresh:
            return True
        if self.whole or self._sorts is None or not self._keys:
            return False
        last = self._sorts[self._keys[-1]]
        return all(sort is not None and last < sort for sort in fresh.values())

    def load(self, sorts: Mapping[K, Sort | None], *, whole: bool) -> None:
        """Take rows as they were read from the first one on.

        Args:
            sorts: their sort values by key, in order; None where only the database can sort them.
            whole: whether there are no rows behind.
        """
        self._put(list(sorts), whole=whole)
        known = {key: sort for key, sort in sorts.items() if sort is not None}
        ordered = [known.get(key) for key in self._keys]
        rises = all(
            one is not None and other is not None and one < other
            for one, other in pairwise(ordered)
        )
        self._sorts = known if rises and len(known) == len(sorts) else None

    def boundary(self, touched: Collection[K]) -> K | None:
        """Return the last key that nobody has touched, None where there is none."""
        return next((key for key in reversed(self._keys) if key not in touched), None)

    def sorted_with(
        self, touched: Collection[K], fresh: Mapping[K, Sort | None]
    ) -> Sequence[K] | None:
        """Return keys in the order that sort values say, as `inside` takes them; None where only
        the database can tell.

        Args:
            touched: the keys that were looked for.
            fresh: the sort values of those that were found.
        """
        if self._sorts is None or any(sort is None for sort in fresh.values()):
            return None
        keys = [key for key in self._keys if key not in touched]
        sorts = [self._sorts[key] for key in keys]
        for key, sort in fresh.items():
            assert sort is not None
            at = bisect_left(sorts, sort)
            keys.insert(at, key)
            sorts.insert(at, sort)
        return keys

    def inside(self, touched: Collection[K], listed: Sequence[K]) -> Sequence[K] | None:
        """Return the keys that are known from now on.

        Args:
            touched: the keys that were looked for.
            listed: those that were known and not touched, and those that were found, in order.

        Returns:
            None where nothing can be told: read the window again.
        """
        if self.whole:
            return listed
        boundary = self.boundary(touched)
        if boundary is None or boundary not in listed:
            return None
        return listed[: listed.index(boundary) + 1]

    def move(self, inside: Sequence[K], fresh: Mapping[K, Sort | None]) -> None:
        """Take the keys that are known from now on.

        Args:
            inside: what `inside` returned.
            fresh: the sort values of rows that were read again.
        """
        kept = inside
        if len(inside) > self._stop + 2 * self._ahead:
            kept = inside[: self._stop + self._ahead]
        self._put(list(kept), whole=self.whole and len(kept) == len(inside))
        if self._sorts is not None:
            known = {**self._sorts, **fresh}
            sorts = {key: sort for key in self._keys if (sort := known[key]) is not None}
            # One that Python cannot sort has the database put all in order from now on.
            self._sorts = sorts if len(sorts) == len(self._keys) else None

    def _put(self, keys: list[K], *, whole: bool) -> None:
        self._keys, self.whole = keys, whole
        if len(keys) != len(self.known) or not self.known.issuperset(keys):
            self.known = frozenset(keys)
