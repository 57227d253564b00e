"""Which triggers tables of an SQLite database need, and which are there.

A write to columns that nobody reads fires no trigger at all: `UPDATE OF` names those that are
read. It goes by which columns a statement sets, so it sees what foreign keys' actions do, but not
what is computed from other columns: a table that has such columns is watched whole.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from django.db.backends.base.base import BaseDatabaseWrapper

from bindserver.capture.tables import Columns, Tracked, entry_name
from bindserver.database.sql import ask

LOG = "bindserver_log"
PREFIX = "bindserver__"
INTO = f"INSERT INTO {LOG}(tbl, pk)"
ROWID = ("rowid", "oid", "_rowid_")
"""Other names of a key that is a whole number."""

OF = re.compile(r'AFTER UPDATE OF ((?:"(?:[^"]|"")+"(?:, )?)+), rowid')
"""How a trigger begins that watches some columns."""
QUOTED = re.compile(r'"((?:[^"]|"")+)"')


@dataclass(frozen=True, slots=True)
class PresentTrigger:
    """A trigger that is there.

    Attributes:
        table: the one it is on, whatever that is named by now.
        sql: its text.
    """

    table: str
    sql: str


class Triggers:
    """The triggers of one database.

    Args:
        connection: Django's wrapper of the connection to use.
    """

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection

    def present(self) -> dict[str, PresentTrigger]:
        """Return our triggers that are there, by name."""
        found = ask(
            self._connection,
            "SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger' "
            f"AND substr(name, 1, {len(PREFIX)}) = '{PREFIX}' ORDER BY name",
        )
        return {
            str(name): PresentTrigger(table=str(table), sql=str(sql)) for name, table, sql in found
        }

    def missing(self, tables: Collection[Tracked]) -> list[Tracked]:
        """Return the tables some of whose triggers are not, or not rightly, in place."""
        present = self.present()
        texts = {name: trigger.sql for name, trigger in present.items()}
        wider = {tracked: _widened(tracked, present) for tracked in tables}
        return [t for t in tables if any(texts.get(n) != sql for n, sql in self.wanted(wider[t]))]

    def columns(self, tables: Collection[Tracked]) -> dict[str, frozenset[str]]:
        """Return the columns that are watched of the tables that are not watched whole."""
        present = self.present()
        found = {t.table: _watched(present.get(_name(t.table, "upd"))) for t in tables}
        return {table: columns for table, columns in found.items() if columns is not None}

    def statements(self, tables: Collection[Tracked]) -> list[str]:
        """Return the statements that put the triggers of tables in place, and take away what the
        tables kept of other names, or others of theirs."""
        present = self.present()
        wider = [_widened(tracked, present) for tracked in tables]
        wanted = {name: sql for tracked in wider for name, sql in self.wanted(tracked)}
        named = {tracked.table.lower() for tracked in tables}
        stale = [
            name
            for name, trigger in present.items()
            if name in wanted or trigger.table.lower() in named
        ]
        return [*(f"DROP TRIGGER {quote(name)}" for name in stale), *wanted.values()]

    def wanted(self, tracked: Tracked) -> Iterator[tuple[str, str]]:
        """Yield the name and text of each trigger that a table needs."""
        table, pk = tracked.table, quote(tracked.pk)
        named = _literal(table)
        keys = self.foreign_keys(tracked)
        old = {quote(name): _literal(entry_name(table, name)) for name in keys}
        another = f"OLD.{pk} IS NOT NEW.{pk} COLLATE BINARY"  # 'a' and 'A' are two rows to clients
        changed_key = f"{INTO} SELECT {named}, OLD.{pk} WHERE {another};"
        bodies = {
            "ins": ("AFTER INSERT", f"{INTO} VALUES ({named}, NEW.{pk});"),
            "upd": (
                f"AFTER UPDATE{self._of(tracked)}",
                f"{INTO} VALUES ({named}, NEW.{pk}); {changed_key}",
            ),
            "del": ("AFTER DELETE", f"{INTO} VALUES ({named}, OLD.{pk});"),
        }
        for column, name in old.items():
            told = f" {INTO} SELECT {name}, OLD.{column} WHERE OLD.{column} IS NOT NULL"
            changed = f"OLD.{column} IS NOT NEW.{column} COLLATE BINARY"
            bodies["upd"] = (bodies["upd"][0], f"{bodies['upd'][1]}{told} AND {changed};")
            bodies["del"] = (bodies["del"][0], f"{bodies['del'][1]}{told};")
        bodies |= self._evictions(tracked, old)
        for suffix, (when, body) in bodies.items():
            name = _name(table, suffix)
            yield (
                name,
                f"CREATE TRIGGER {quote(name)} {when} ON {quote(table)} BEGIN {body} END",
            )

    def _of(self, tracked: Tracked) -> str:
        """Return what names the columns that are watched; nothing where all are."""
        columns = tracked.columns
        if columns is None or self._computes(tracked.table):
            return ""
        return f" OF {', '.join([*map(quote, sorted({*columns, tracked.pk})), *ROWID])}"

    def _computes(self, table: str) -> bool:
        """Return whether a table has columns that are computed from others."""
        found = ask(self._connection, f"PRAGMA table_xinfo({quote(table)})")
        return any(row[6] in (2, 3) for row in found)

    def _evictions(
        self, tracked: Tracked, old: Mapping[str, str]
    ) -> Iterator[tuple[str, tuple[str, str]]]:
        """Yield, by suffix, what logs the rows that REPLACE evicts, which fires no delete trigger.

        Args:
            tracked: the table.
            old: its columns whose old values are told, and what an entry of each is named.
        """
        table, pk = quote(tracked.table), quote(tracked.pk)
        tables = f"FROM {table} WHERE"
        rows = [
            f"{INTO} SELECT {name}, {column} {tables} {column} IS NOT NULL AND"
            for column, name in old.items()
        ]
        for number, columns in enumerate(self._unique_columns(tracked.table, tracked.pk)):
            evicted = " AND ".join(
                f"{quote(name)} = NEW.{quote(name)} COLLATE {quote(collation)}"
                for name, collation in columns
            )
            finds = [f"{INTO} SELECT {_literal(tracked.table)}, {pk} {tables}", *rows]
            others = f"AND {pk} IS NOT OLD.{pk}"
            yield f"evi{number}", ("BEFORE INSERT", " ".join(f"{f} {evicted};" for f in finds))
            yield (
                f"evu{number}",
                ("BEFORE UPDATE", " ".join(f"{f} {evicted} {others};" for f in finds)),
            )
        if rows:  # the key of what is evicted by its key is told as that of the new row
            evicted = f"{pk} = NEW.{pk}"
            moved = f"NEW.{pk} IS NOT OLD.{pk} AND {evicted}"
            yield "evik", ("BEFORE INSERT", " ".join(f"{row} {evicted};" for row in rows))
            yield "evuk", ("BEFORE UPDATE", " ".join(f"{row} {moved};" for row in rows))

    def foreign_keys(self, tracked: Tracked) -> list[str]:
        """Return the columns by which a table refers to others, its own key apart.

        Those of a constraint alone: SQLite drops no other columns that a trigger names.
        """
        found = ask(self._connection, f"PRAGMA foreign_key_list({quote(tracked.table)})")
        return sorted({str(row[3]) for row in found} - {tracked.pk})

    def _unique_columns(self, table: str, pk: str) -> list[tuple[tuple[str, str], ...]]:
        """Return (column, collation) of each UNIQUE index: not of expressions, and of the key's own
        only where two keys that are equal to it are two to clients."""
        found = []
        for row in ask(self._connection, f"PRAGMA index_list({quote(table)})"):
            name, unique = row[1], row[2]
            infos = ask(self._connection, f"PRAGMA index_xinfo({quote(name)})")
            columns = tuple((info[2], info[4]) for info in infos if info[5])
            names = [column for column, _ in columns]
            is_key = columns == ((pk, "BINARY"),)
            if unique and not is_key and None not in names:
                found.append(columns)
        return sorted(found)


def _name(table: str, suffix: str) -> str:
    return f"{PREFIX}{table}__{suffix}"


def _widened(tracked: Tracked, present: Mapping[str, PresentTrigger]) -> Tracked:
    """Return a table to watch so that what is there watches no more than that."""
    trigger = present.get(_name(tracked.table, "upd"))
    return tracked if trigger is None else tracked.widened(_watched(trigger))


def _watched(trigger: PresentTrigger | None) -> Columns:
    """Return the columns that a trigger names; None where it names none."""
    found = None if trigger is None else OF.search(trigger.sql)
    if found is None:
        return None
    return frozenset(name.replace('""', '"') for name in QUOTED.findall(found[1]))


def quote(name: str) -> str:
    """Return a name as SQL takes it."""
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
