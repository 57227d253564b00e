"""Which triggers the tables of a MariaDB or MySQL database need, and which are there.

There are row triggers only, and they are not fired by what a foreign key's CASCADE or SET NULL does
to the rows of another table. So the triggers of the table that is referred to say that any row of
the others may have changed. TRUNCATE fires none either: a table that was emptied so, or built anew,
is told by its *identity*.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from bindserver.capture.mysql.catalog import Catalog
from bindserver.capture.mysql.trigger_sql import (
    COMPARED,
    EVENTS,
    NUMBERS,
    TEXTS,
    Trigger,
    lines,
    name_of,
    quote,
    watched_in,
)
from bindserver.capture.tables import Columns, Tracked, no_such
from bindserver.exceptions import CaptureError

TABLE_KINDS = {"BASE TABLE", "SYSTEM VERSIONED"}


class Schema(Catalog):
    """A database's schema as it is now, and what the log needs of it. What is asked once is kept:
    make another to look again.

    Args:
        connection: Django's wrapper of the connection to use.
    """

    def demand(self, tables: Collection[Tracked]) -> None:
        """See that tables can be watched.

        Raises:
            CaptureError: one cannot; the message says why.
        """
        kinds = self._kinds
        absent = sorted({t.table for t in tables if self._named(t.table) not in kinds})
        if absent:
            raise CaptureError(f"{no_such(absent, self._connection)}.")
        for item in tables:
            kind, engine = kinds[self._named(item.table)]
            if kind not in TABLE_KINDS:
                raise CaptureError(
                    f"{item.table} is a database view, which cannot be watched; watch the tables "
                    "behind it."
                )
            if engine != "InnoDB":
                raise CaptureError(
                    f"{item.table} is in the storage engine {engine}, which has no transactions: "
                    f"it cannot be read in one snapshot with others. "
                    f"`ALTER TABLE {quote(item.table)} ENGINE=InnoDB` moves it."
                )
        for parent in sorted(self._foreign & {self._named(t.table) for t in tables}):
            raise CaptureError(
                f"{parent} has a foreign key with CASCADE or SET NULL to a table in another "
                "database, whose changes cannot be watched from here."
            )

    def wanted(self, tables: Collection[Tracked]) -> dict[str, Trigger]:
        """Return the triggers by name that tables need, those that cascade to them among them."""
        keys = {self._named(item.table): item for item in tables}
        needed = {*keys, *(parent for name in keys for parent in self.parents(name))}
        found = {}
        for name in sorted(needed):
            item = self._widened(keys.get(name), name)
            watched = {item.pk, *(item.columns or ())}
            kinds = {column: self._types.get((name, column), "") for column in watched}
            for suffix, event in EVENTS:
                told = lines(item, kinds, event, self.cascades(name), self._told(name, item.pk))
                body = "; ".join(told)
                trigger = Trigger(table=name, event=event, body=f"BEGIN {body}; END")
                found[name_of(item.table, suffix)] = trigger
        return found

    def _widened(self, asked: Tracked | None, name: str) -> Tracked:
        """Return a table to watch so that what is there watches no more than that; one whose rows
        only take others along as it is, and so as whoever reads it has it."""
        item = asked or Tracked(table=name, pk=self._keys.get(name, ""), columns=frozenset())
        trigger = self.triggers.get(name_of(item.table, "upd"))
        if trigger is not None:
            item = item.widened(watched_in(trigger.body))
        elif asked is None:
            item = replace(item, columns=None)
        return item if self._tells_all(item) else replace(item, columns=None)

    def _tells_all(self, item: Tracked) -> bool:
        """Return whether each change of the columns to watch can be told from their bytes."""
        table = self._named(item.table)
        kinds = {self._types.get((table, column), "") for column in item.columns or ()}
        return kinds <= COMPARED and table not in self._computing

    def columns(self, tables: Collection[Tracked]) -> dict[str, frozenset[str]]:
        """Return the columns that are watched of the tables that are not watched whole."""
        found: dict[str, frozenset[str]] = {}
        for item in tables:
            trigger = self.triggers.get(name_of(item.table, "upd"))
            columns: Columns = None if trigger is None else watched_in(trigger.body)
            if columns is not None:
                found[item.table] = columns
        return found

    def old_columns(self, tables: Collection[Tracked]) -> dict[str, frozenset[str]]:
        """Return the columns whose old values the triggers of tables tell."""
        return {t.table: frozenset(self._told(self._named(t.table), t.pk)) for t in tables}

    def _told(self, table: str, pk: str) -> list[str]:
        """Return the columns by which a table refers to others, its own key apart, and those that
        are no numbers or texts."""
        columns = self._foreign_keys.get(table, set()) - {pk}
        kinds = {column: self._types.get((table, column), "") for column in columns}
        return sorted(column for column, kind in kinds.items() if kind in NUMBERS | TEXTS)

    def strays(self, wanted: dict[str, Trigger]) -> list[str]:
        """Return the triggers that the tables of those wanted kept when they were renamed: they
        name columns of old, and may refuse every write."""
        tables = {trigger.table for trigger in wanted.values()}
        names = {name.lower() for name in wanted}
        return [
            name
            for name, trigger in self.triggers.items()
            if self._named(trigger.table) in tables and name.lower() not in names
        ]

    def missing(self, tables: Collection[Tracked]) -> list[Tracked]:
        """Return the tables some of whose triggers are not, or not rightly, in place."""
        return [item for item in tables if not self._complete(self.wanted([item]))]

    def _complete(self, wanted: dict[str, Trigger]) -> bool:
        return not self.lacking(wanted)

    def lacking(self, wanted: dict[str, Trigger]) -> list[Trigger]:
        """Return those of the triggers that are not, or not rightly, in place."""
        return [t for name, t in wanted.items() if self.triggers.get(name) != t]

    def told_by(self, triggers: Collection[Trigger]) -> set[str]:
        """Return the tables of whose rows triggers tell: their own, and those cascaded to."""
        found = set()
        for table in {trigger.table for trigger in triggers}:
            cascades = self.cascades(table)
            found |= {table, *cascades.delete}.union(*cascades.update.values())
        return found

    def identity(self, table: str) -> list[Any]:
        """Return what tells a table from one that was built anew or emptied by TRUNCATE."""
        name = self._named(table)
        created, file = self._made.get(name, (0, name))
        mine = [at for owner, at in self._trigger_times if owner == name]
        return [float(created or 0), mine, self.spaces.get(file)]

    def mark(self, tables: Collection[str]) -> str:
        """Return a text that differs when one of these tables was changed."""
        return json.dumps([sorted(self.triggers), *[self.identity(t) for t in sorted(tables)]])
