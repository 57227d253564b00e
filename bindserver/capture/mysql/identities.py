"""What is kept beside MariaDB's and MySQL's change log of each table, to tell it from one that was
built anew or emptied past the triggers."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from bindserver.capture.mysql.schema import Schema
from bindserver.capture.mysql.session import execute
from bindserver.capture.mysql.trigger_sql import LOG, META
from bindserver.database.sql import ask

PREFIX = "table:"
ALL = 2**63 - 1


class Identities:
    """The identities of tables, as they were when their triggers were put in place.

    Args:
        connection: Django's wrapper of the connection to use.
    """

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection

    def has_tables(self) -> bool:
        """Return whether the log's own tables are there."""
        found = self._rows(
            "SELECT COUNT(*) FROM information_schema.TABLES "
            "WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME IN (%s, %s)",
            (LOG, META),
        )
        return bool(found[0][0] == 2)

    def kept(self) -> dict[str, Any]:
        """Return what is kept, by table."""
        if not self.has_tables():
            return {}
        found = self._rows(
            f"SELECT name, value FROM {META} WHERE LEFT(name, {len(PREFIX)}) = %s", (PREFIX,)
        )
        return {str(name).removeprefix(PREFIX): json.loads(value) for name, value in found}

    def is_another_log(self, schema: Schema) -> bool:
        """Return whether the log is not the one of which something is kept."""
        return _is_another(self.kept().get(LOG), schema.identity(LOG))

    def others(self, schema: Schema, tables: Collection[str]) -> set[str]:
        """Return those of the tables that are not, or not surely, what they were."""
        kept = self.kept()
        pairs = {table: (kept.get(table), schema.identity(table)) for table in tables}
        return {t for t, pair in pairs.items() if _is_another(*pair) or _is_unsure(*pair)}

    def keep(self, identities: Mapping[str, Any]) -> None:
        """Keep identities, by table."""
        for table, identity in identities.items():
            self._execute(
                f"REPLACE INTO {META} VALUES (%s, %s)", (PREFIX + table, json.dumps(identity))
            )

    def forget(self, tables: Collection[str]) -> dict[str, Any]:
        """Forget what is kept of tables, and return it."""
        kept = {table: identity for table, identity in self.kept().items() if table in tables}
        for table in kept:
            self._execute(f"DELETE FROM {META} WHERE name = %s", (PREFIX + table,))
        return kept

    def forget_all(self) -> dict[str, Any]:
        """Forget all that is kept but the epoch: it is of another log, and of its numbers."""
        # Without a limit `sql_safe_updates` would not have it.
        self._execute(f"DELETE FROM {META} WHERE name <> 'epoch' LIMIT {ALL}")
        return {}

    def _rows(self, sql: str, params: Sequence[Any] | None = None) -> list[Any]:
        return ask(self._connection, sql, params)

    def _execute(self, sql: str, params: Sequence[Any] | None = None) -> int:
        return execute(self._connection, sql, params)


def _is_another(kept: Any, found: list[Any]) -> bool:
    """Return whether a table is not the one that it was, as far as its user is shown."""
    if kept is None or kept[:2] != found[:2]:
        return True
    return None not in (kept[2], found[2]) and bool(kept[2] != found[2])


def _is_unsure(kept: Any, found: list[Any]) -> bool:
    """Return whether one who was shown no tablespaces has kept what is told by them now."""
    return bool(kept[2] is None and found[2] is not None)
