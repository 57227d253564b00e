"""What a capture tells the engine: which rows may have changed, and where in history we are."""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Iterable
from dataclasses import dataclass, field

Key = int | str
"""A primary key as the wire carries it: a string, or an integer within ±(2**53 − 1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """A committed state of one database, as its change log can name it.

    Attributes:
        epoch: names one unbroken history of the log; a new one means that nothing can be proved
            about older positions.
        mark: the state within that history, in the words of the capture that made it.
        brief: where `mark` is long, an earlier one that fits into a cursor: to be told again of
            what one knows is harmless.
    """

    epoch: str
    mark: str
    brief: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A hint that rows of one table were written.

    Attributes:
        table: the database table's name.
        pks: the primary keys, as the database holds them; None when any row may have changed.
        old: (column, value) of what these rows held before, in columns whose old values are told.
    """

    table: str
    pks: frozenset[Hashable] | None
    old: frozenset[tuple[str, Hashable]] = frozenset()


class Gathered:
    """Changes put together: for each table the keys that were named, or any row.

    Args:
        most: how many keys of one table are remembered; past it any row may have changed.
    """

    def __init__(self, most: float = math.inf) -> None:
        self._most = most
        self._keys: dict[str, set[Hashable] | None] = {}
        self._old: dict[str, set[tuple[str, Hashable]]] = {}

    def __bool__(self) -> bool:
        return bool(self._keys)

    def add(self, changes: Iterable[Change]) -> None:
        """Put changes to what is there."""
        for change in changes:
            self.note(change.table, change.pks)
            for column, value in change.old:
                self.note_old(change.table, column, (value,))

    def note(self, table: str, pks: Collection[Hashable] | None) -> None:
        """Put keys of a table to what is there; None stands for any row."""
        known = self._keys.setdefault(table, set())
        if known is None:
            return
        if pks is None or len(known) + len(pks) > 2 * self._most:
            self._keys[table] = None
            return
        known.update(pks)
        if len(known) > self._most:
            self._keys[table] = None

    def note_old(self, table: str, column: str, values: Collection[Hashable] | None) -> None:
        """Put what rows of a table held before to what is there; None stands for any row."""
        if values is None:
            self.note(table, None)
            return
        self.note(table, ())
        old = self._old.setdefault(table, set())
        old.update([(column, value) for value in values])
        if len(old) > self._most:
            self.note(table, None)

    def take(self) -> tuple[Change, ...]:
        """Return all changes, one for each table, and forget them."""
        taken = tuple([self._taken(table, keys) for table, keys in self._keys.items()])
        self._keys.clear()
        self._old.clear()
        return taken

    def _taken(self, table: str, keys: set[Hashable] | None) -> Change:
        if keys is None:
            return Change(table=table, pks=None)
        old = frozenset(self._old.get(table, ()))
        return Change(table=table, pks=frozenset(keys), old=old)


Entry = tuple[str, str, Collection[Hashable] | None]
"""What a log says: a table, "" and the keys of some rows; or the table, one of its columns, and
what rows held there before. None stands for any row."""


def gathered(entries: Iterable[Entry]) -> list[Change]:
    """Return one change for each table of a log's entries: all that they name, or any row."""
    found = Gathered()
    for table, column, values in entries:
        if column:
            found.note_old(table, column, values)
        else:
            found.note(table, values)
    return list(found.take())
