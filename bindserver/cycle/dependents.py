"""Who is concerned by a change: from table and key to all that depend on them, by indexes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from django.core.exceptions import ValidationError
from django.db.models import Model

from bindserver.engine.changes import Change
from bindserver.queries.carried import Carried, CarriedRows
from bindserver.queries.reads import NO_READS, Chains, Reads

Who = TypeVar("Who", bound=Hashable)

LedTo = Callable[[Change, type[Model], Chains], Collection[Hashable] | None]
"""Tells the keys of the users that changed rows lead to, None for any."""

Way = tuple[type[Model], Chains]
"""How rows of a table lead to users of a model."""


class Dependents(Generic[Who]):
    """Who depends on which tables and rows. What nothing touches costs nothing to leave out."""

    def __init__(self) -> None:
        self._tables: dict[str, dict[Who, None]] = {}
        self._any_row: dict[str, dict[Who, None]] = {}
        self._rows: dict[str, dict[Hashable, dict[Who, None]]] = {}
        self._keys: dict[str, CarriedRows] = {}
        self._users: dict[str, dict[Way, dict[Hashable, dict[Who, None]]]] = {}
        self._of: dict[Who, tuple[Reads, tuple[Carried, ...]]] = {}

    def __len__(self) -> int:
        return len(self._of)

    def __contains__(self, who: Who) -> bool:
        return who in self._of

    def put(self, who: Who, reads: Reads = NO_READS, carried: Iterable[Carried] = ()) -> None:
        """Note on what somebody depends, in place of what was known of them.

        Args:
            who: whoever it is.
            reads: what was read for them.
            carried: the rows whose changes concern them.
        """
        self.drop(who)
        rows = tuple([one for one in carried if one.tables])
        if not reads and not rows:
            return
        self._of[who] = reads, rows
        for index, at in self._places(who):
            index.setdefault(at, {})[who] = None
        self._keys.update({held.table: held for one in rows for held in one.held()})

    def drop(self, who: Who) -> None:
        """Forget somebody."""
        if who not in self._of:
            return
        for index, at in self._places(who):
            found = index.get(at, {})  # it may stand there for two reasons
            found.pop(who, None)
            if not found:
                index.pop(at, None)
        reads, rows = self._of.pop(who)
        for table in {table for one in rows for table in one.tables}:
            if not self._rows.get(table):
                self._rows.pop(table, None)
        for table, way in _ways(reads):
            ways = self._users.get(table, {})
            if not ways.get(way):
                ways.pop(way, None)
            if not ways:
                self._users.pop(table, None)

    def _places(self, who: Who) -> Iterator[tuple[dict[Any, dict[Who, None]], Hashable]]:
        """Yield each index that somebody stands in, and where."""
        reads, rows = self._of[who]
        for table in reads.tables:
            yield self._tables, table
        for table, way in _ways(reads):
            assert reads.user is not None
            users = self._users.setdefault(table, {}).setdefault(way, {})
            yield users, reads.user.pk
        for held in (held for one in rows for held in one.held()):
            if held.pks is None:
                yield self._any_row, held.table
            else:
                index = self._rows.setdefault(held.table, {})
                for pk in held.pks:
                    yield index, pk

    def tables(self) -> set[str]:
        """Return every table that anybody depends on."""
        return {*self._tables, *self._any_row, *self._rows, *self._users}

    def concerned(
        self, changes: Iterable[Change] | None, led_to: LedTo = lambda *_: None
    ) -> dict[Who, None]:
        """Return whom some changes may concern, all for unknown ones.

        Args:
            changes: what was changed.
            led_to: tells which users rows lead to.
        """
        if changes is None:
            return dict.fromkeys(self._of)
        found: dict[Who, None] = {}
        for change in changes:
            found |= self._tables.get(change.table, {})
            found |= self._any_row.get(change.table, {})
            if change.table in self._rows:
                for some in self._holding(change):
                    found |= some
            for some in self._led_to(change, led_to):
                found |= some
        return found

    def _led_to(self, change: Change, led_to: LedTo) -> Iterator[dict[Who, None]]:
        """Yield those for whom rows of some users were read, that changed ones lead to."""
        for (model, chains), users in self._users.get(change.table, {}).items():
            pks = led_to(change, model, chains)
            if pks is None:
                yield from users.values()
            else:
                yield from (users[pk] for pk in pks if pk in users)

    def _holding(self, change: Change) -> Iterator[dict[Who, None]]:
        """Yield whom the change of some rows concerns."""
        index, to_python = self._rows[change.table], self._keys[change.table].key.to_python
        try:
            pks = None if change.pks is None else [to_python(raw) for raw in change.pks]
        except (ValidationError, TypeError):
            pks = None  # it cannot be told which rows are meant
        if pks is None:
            yield from index.values()
        else:
            yield from (index[pk] for pk in pks if pk in index)


def _ways(reads: Reads) -> Iterator[tuple[str, Way]]:
    """Yield how each table whose rows lead to the user leads there."""
    if reads.user is not None:
        for table, chains in reads.own.items():
            yield table, (reads.user.model, chains)
