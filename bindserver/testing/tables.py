"""What a test has written, as a change log would tell it: tables are looked at, and compared."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from contextlib import closing
from typing import Any

from django.apps import apps
from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import CompositePrimaryKey

from bindserver.capture.read_columns import ReadColumns
from bindserver.capture.sources import HintSource
from bindserver.capture.tables import untold
from bindserver.engine.changes import Change

MOST_ROWS = 10_000
"""A table with more rows is not compared: any of its rows may have changed at each commit."""

SAVEPOINT = "bindserver_look"

Seen = Mapping[tuple[Any, ...], str]
"""The rows of a table by key, as text that differs when a row does."""


class TableSource(HintSource):
    """Changes as the difference of what tables hold at one commit and at the next.

    So raw SQL and bulk writes are seen, in an open transaction too, and no more is told than a
    change log tells a server: a table, and the old and the new keys of the rows.

    Args:
        connection: the test's own.
    """

    name = "test"

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        super().__init__(connection)
        self._compare_at = math.inf
        self._untold = untold(connection)
        self._seen: dict[str, Seen | None] = {}
        self._looked_at: set[str] = set()

    def begin(self) -> None:
        """Begin a new commit: every table may have been written to."""
        self._looked_at.clear()

    def prepare(self, tables: Collection[str], columns: ReadColumns | None = None) -> None:
        """Look at what the tables hold, those that no look of this commit has shown yet."""
        for table in sorted({*tables, *self._seen} - self._looked_at):
            self._looked_at.add(table)
            self._compare(table)
        super().prepare(tables)

    def watches(self, tables: Collection[str]) -> bool:
        return self._seen.keys() >= set(tables)

    def _compare(self, table: str) -> None:
        """Note how a table differs from what it was when it was looked at before."""
        is_new = table not in self._seen
        before = self._seen.get(table)
        # A big one is not looked at again: it would take long, and tell nothing.
        now = None if before is None and not is_new else self._look_at(table)
        self._seen[table] = now
        if is_new:
            return
        if before is None or now is None:
            self.hint([Change(table=table, pks=None)])
            return
        changed = {key for key in before.keys() | now.keys() if before.get(key) != now.get(key)}
        if changed:
            told = table not in self._untold
            pks = frozenset(key[0] for key in changed) if told else None
            self.hint([Change(table=table, pks=pks)])

    def _look_at(self, table: str) -> Seen | None:
        """Return what a table holds; None if that is too much, or its keys do not tell its rows."""
        columns = _key_columns(table)
        try:
            rows = self._ask(table, columns)
        except DatabaseError:
            return {}  # there is no such table in this database, or not yet
        # The drivers' values are numbers, texts and bytes: `repr` says all of them.
        seen = {tuple(row[: len(columns)]): repr(row) for row in rows}
        return seen if columns and len(rows) == len(seen) <= MOST_ROWS else None

    def _ask(self, table: str, columns: Collection[str]) -> list[tuple[Any, ...]]:
        """Read past Django, whose cursors count and record what the test's own code asks, and leave
        the transaction as it is, whatever becomes of the question."""
        connection = self._connection
        connection.ensure_connection()
        raw: Any = connection.connection
        with connection.wrap_database_errors, closing(raw.cursor()) as cursor:
            cursor.execute(f"SAVEPOINT {SAVEPOINT}")
            try:
                cursor.execute(_question(connection, table, columns, cursor))
                return list(cursor.fetchall())
            except BaseException:
                cursor.execute(f"ROLLBACK TO SAVEPOINT {SAVEPOINT}")
                raise
            finally:
                cursor.execute(f"RELEASE SAVEPOINT {SAVEPOINT}")

    def _look(self) -> object:
        return None  # a test commits nothing


def _key_columns(table: str) -> list[str]:
    """Return the columns of a table's primary key, none where no installed model has it."""
    for model in apps.get_models(include_auto_created=True):
        if model._meta.db_table == table and not model._meta.proxy:
            pk: Any = model._meta.pk
            return list(pk.columns) if isinstance(pk, CompositePrimaryKey) else [pk.column]
    return []


def _question(connection: Any, table: str, keys: Collection[str], cursor: Any) -> str:
    """Return the statement that asks for keys and all columns of a table, as the database holds
    them: what makes Python's values of them may fail at a value that no view asks for."""
    quote = connection.ops.quote_name
    names, everything = [quote(name) for name in keys], "looked_at.*"
    source = f"FROM {quote(table)} looked_at LIMIT"
    if connection.vendor == "postgresql":
        names = [f"CAST(looked_at.{name} AS text)" for name in names]
        everything = "CAST(looked_at AS text)"
    elif connection.vendor == "sqlite":
        cursor.execute(f"SELECT * {source} 0")
        everything = ", ".join(f"+{quote(column[0])}" for column in cursor.description)
        names = [f"+{name}" for name in names]
    return f"SELECT {', '.join([*names, everything])} {source} {MOST_ROWS + 1}"
