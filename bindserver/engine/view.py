"""A view: the rows of one query, kept in memory and moved from one committed state to the next.

Rows are kept as the JSON text that is sent, so that comparing and sending them costs nothing more.
A step takes what was read again and returns a `Delta`; the ring keeps recent deltas, so that a
client that is a little behind gets the net change.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from bindserver.engine.changes import Key
from bindserver.engine.ordering import ListedOrder, Sort, SortedOrder, runs_of
from bindserver.engine.ring import Delta, Put, Ring, net_of


class Fresh(NamedTuple):
    """One row as it was just read.

    Attributes:
        text: the row as JSON text.
        sort: its sort values, for a view whose places Python can compute; None for any other, and
            where a value is of a kind that Python cannot sort.
    """

    text: str
    sort: Sort | None


_NO_ROWS: dict[Key, str] = {}
"""That of all views that have had none: there are very many of them, and it takes 64 bytes."""


class View:
    """The rows of one query, in order, with their recent history.

    Args:
        sortable: whether rows bring sort values (`Fresh.sort`); otherwise each step that may move
            rows is given the order as the database lists it, or their neighbours. It is false from
            the first row on that brings none, or that a load brings at another place than its sort
            values say.
        ring_bytes: how many bytes of recent deltas to keep.
        first_version: its version while it is empty; far from those of other views, so that a
            version of theirs is never taken for one of its own.
    """

    __slots__ = (
        "_is_new",
        "_order",
        "_ring",
        "_ring_bytes",
        "_texts",
        "rows",
        "sortable",
        "version",
    )

    def __init__(self, *, sortable: bool, ring_bytes: int, first_version: int = 0) -> None:
        self.sortable = sortable
        self.version = first_version
        self._is_new = True
        self.rows: dict[Key, str] = _NO_ROWS
        self._order: SortedOrder | ListedOrder = SortedOrder() if sortable else ListedOrder()
        self._ring: Ring | None = None
        self._ring_bytes = ring_bytes
        self._texts = 0

    @property
    def bytes(self) -> int:
        """About how many bytes its rows' texts and its recent history take in memory."""
        return self._texts if self._ring is None else self._texts + self._ring.bytes

    def __len__(self) -> int:
        return len(self.rows)

    def __contains__(self, key: Key) -> bool:
        return key in self.rows

    def keys(self) -> Sequence[Key]:
        """Return the keys in order; the list is the view's own."""
        return self._order.keys()

    def texts(self) -> list[str]:
        """Return the rows' JSON texts in order."""
        rows = self.rows
        return [rows[key] for key in self._order.keys()]

    def load(self, fresh: Mapping[Key, Fresh]) -> Delta | None:
        """Take the whole query's rows, in order, and return what differs from before.

        Args:
            fresh: every row of the query, in the database's order.
        """
        gone = [key for key in self.rows if key not in fresh]
        if self.sortable and not _rises([row.sort for row in fresh.values()]):
            self._be_listed()
        is_first = self._is_new
        delta = self.step(fresh=fresh, gone=gone, listed=list(fresh))
        if is_first:
            self._ring = None  # whoever has nothing yet is sent all rows
        return delta

    def step(
        self,
        *,
        fresh: Mapping[Key, Fresh],
        gone: Collection[Key],
        listed: Sequence[Key] | None = None,
        after: Mapping[Key, Key | None] | None = None,
    ) -> Delta | None:
        """Move to the next state and return what changed, or None when nothing did.

        Args:
            fresh: rows that were read again and are in the query.
            gone: keys that were looked for and are not in the query.
            listed: all keys in order as the database lists them after this step; needed by a view
                that is not sortable whenever a row comes, goes or may move.
            after: in place of `listed`, the row just before each of `fresh` after this step, which
                `fits` the view; None for the first.
        """
        if self.sortable and any(row.sort is None for row in fresh.values()):
            if listed is None and after is None:
                raise ValueError("without sort values a view needs the order of its keys")
            self._be_listed()
        deletes = tuple(key for key in dict.fromkeys(gone) if key in self.rows)
        created = {key for key in fresh if key not in self.rows}
        changed = {key for key in fresh if key in self.rows and fresh[key].text != self.rows[key]}
        moved = self._place(deletes, fresh, created, listed, after)
        for key in deletes:
            self._texts -= sys.getsizeof(self.rows.pop(key))
        for key in (*created, *changed):
            self._put(key, fresh[key].text)
        touched = created | changed | moved
        if not deletes and not touched:
            return None
        self.version += 1
        self._is_new = False
        delta = Delta(
            version=self.version,
            deletes=deletes,
            puts=self._puts(touched, created=created, placed=created | moved),
        )
        if self._ring is None:  # most views have no history
            self._ring = Ring(self._ring_bytes)
        self._ring.add(delta)
        return delta

    def needs_listing(self, fresh: Mapping[Key, Fresh], gone: Collection[Key]) -> bool:
        """Return whether `step` must be given the database's order for these rows.

        A row that stays in the query may have moved whatever its text says (it may be ordered by a
        column that is not served), so only a step without any row needs none.
        """
        sorts = self.sortable and all(row.sort is not None for row in fresh.values())
        return not sorts and (bool(fresh) or any(key in self.rows for key in gone))

    def fits(self, after: Mapping[Key, Key | None], gone: Collection[Key]) -> bool:
        """Return whether `step` can put rows behind those that they are said to follow: a row that
        nobody knows has come without a word.

        Args:
            after: the row just before each.
            gone: keys that leave in the same step.
        """
        leaving = set(gone)
        known = all(
            before is None or before in after or (before in self.rows and before not in leaving)
            for before in after.values()
        )
        return known and leaving.isdisjoint(after) and runs_of(after) is not None

    def since(self, version: int) -> Delta | None:
        """Return the net change since `version`, possibly empty; None when the ring has lost it."""
        history = self._history(version)
        if history is None:
            return None
        net = net_of(history)
        return Delta(
            version=self.version,
            deletes=tuple(key for key in net.deletes if key not in self.rows),
            puts=self._puts(net.touched, created=net.created, placed=net.placed),
        )

    def _history(self, version: int) -> Sequence[Delta] | None:
        """Return the deltas since `version`; None when the ring has lost some."""
        if self._ring is None:
            return () if version == self.version else None
        return self._ring.since(version, self.version)

    def touched_since(self, version: int) -> set[Key] | None:
        """Return the keys that deltas since `version` name; None when the ring has lost some."""
        history = self._history(version)
        if history is None:
            return None
        return {key for delta in history for key in delta.keys()}

    def resume(self, *, held: Iterable[Key], changed: Collection[Key]) -> Delta:
        """Return what brings a client that holds the rows `held` to the present state.

        Args:
            held: the keys of the rows that the client has.
            changed: the keys of the rows that may have changed since the client's state.
        """
        had = dict.fromkeys(held)
        created = {key for key in self.rows if key not in had}
        updated = {key for key in changed if key in had and key in self.rows}
        return Delta(
            version=self.version,
            deletes=tuple(key for key in had if key not in self.rows),
            puts=self._puts(created | updated, created=created, placed=created | updated),
        )

    def _be_listed(self) -> None:
        """Take the order from the database from now on; rows stand where they stood so far."""
        order = ListedOrder()
        order.apply(self._order.keys())
        self._order, self.sortable = order, False

    def _place(
        self,
        deletes: Collection[Key],
        fresh: Mapping[Key, Fresh],
        created: set[Key],
        listed: Sequence[Key] | None,
        after: Mapping[Key, Key | None] | None,
    ) -> set[Key]:
        """Give all rows their places and return the old rows that moved."""
        if isinstance(self._order, SortedOrder):
            sorts = {key: row.sort for key, row in fresh.items() if row.sort is not None}
            return self._order.apply(deletes, sorts)
        if listed is not None:
            return self._order.apply(listed)
        if after is not None:
            return self._order.place(deletes, after)
        if deletes or created:
            raise ValueError("a listed view needs the order of its keys when rows come or go")
        return set()

    def _put(self, key: Key, text: str) -> None:
        before = self.rows.get(key)
        self._texts += sys.getsizeof(text) - (0 if before is None else sys.getsizeof(before))
        if self.rows is _NO_ROWS:
            self.rows = {}
        self.rows[key] = text

    def _puts(
        self, keys: Collection[Key], *, created: Collection[Key], placed: Collection[Key]
    ) -> tuple[Put, ...]:
        order = self._order
        return tuple(
            Put(
                key=key,
                text=self.rows[key],
                created=key in created,
                placed=key in placed,
                after=order.predecessor(key) if key in placed else None,
            )
            for key in sorted(keys, key=order.rank)
        )


def _rises(sorts: Collection[Sort | None]) -> bool:
    """Return whether rows come in the order that their sort values say."""
    known = [sort for sort in sorts if sort is not None]
    return len(known) == len(sorts) and all(one < other for one, other in pairwise(known))
