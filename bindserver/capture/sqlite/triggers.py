"""Which triggers tables of an SQLite database need, and which are there."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.backends.base.base import BaseDatabaseWrapper

from bindserver.capture.statements import ask
from bindserver.capture.tables import Tracked

LOG = "bindserver_log"
PREFIX = "bindserver__"


class Triggers:
    """The triggers of one database.

    Args:
        connection: Django's wrapper of the connection to use.
    """

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection

    def present(self, table: str | None = None) -> dict[str, str]:
        """Return the text of each of our triggers that is there, by name: all, or a table's (those
        of an earlier name of it too)."""
        found = ask(
            self._connection,
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' "
            f"AND substr(name, 1, {len(PREFIX)}) = '{PREFIX}' "
            "AND (%s IS NULL OR tbl_name = %s COLLATE NOCASE) ORDER BY name",
            (table, table),
        )
        return {str(name): str(sql) for name, sql in found}

    def wanted(self, tracked: Tracked) -> Iterator[tuple[str, str]]:
        """Yield the name and text of each trigger that a table needs."""
        table, pk = tracked.table, quote(tracked.pk)
        log = f"INSERT INTO {LOG}(tbl, pk)"
        named = _literal(table)
        changed_key = f"{log} SELECT {named}, OLD.{pk} WHERE OLD.{pk} IS NOT NEW.{pk};"
        bodies = {
            "ins": ("AFTER INSERT", f"{log} VALUES ({named}, NEW.{pk});"),
            "upd": ("AFTER UPDATE", f"{log} VALUES ({named}, NEW.{pk}); {changed_key}"),
            "del": ("AFTER DELETE", f"{log} VALUES ({named}, OLD.{pk});"),
        }
        # REPLACE that evicts a row by a UNIQUE index fires no delete trigger.
        for number, columns in enumerate(self._unique_columns(table, tracked.pk)):
            evicted = " AND ".join(
                f"{quote(name)} = NEW.{quote(name)} COLLATE {quote(collation)}"
                for name, collation in columns
            )
            find = f"{log} SELECT {named}, {pk} FROM {quote(table)} WHERE {evicted}"
            bodies[f"evi{number}"] = ("BEFORE INSERT", f"{find};")
            bodies[f"evu{number}"] = ("BEFORE UPDATE", f"{find} AND {pk} IS NOT OLD.{pk};")
        for suffix, (when, body) in bodies.items():
            name = f"{PREFIX}{table}__{suffix}"
            yield (
                name,
                f"CREATE TRIGGER {quote(name)} {when} ON {quote(table)} BEGIN {body} END",
            )

    def _unique_columns(self, table: str, pk: str) -> list[tuple[tuple[str, str], ...]]:
        """Return (column, collation) of each UNIQUE index, the key's own and expressions apart."""
        found = []
        for row in ask(self._connection, f"PRAGMA index_list({quote(table)})"):
            name, unique = row[1], row[2]
            infos = ask(self._connection, f"PRAGMA index_xinfo({quote(name)})")
            columns = tuple((info[2], info[4]) for info in infos if info[5])
            names = [column for column, _ in columns]
            if unique and names != [pk] and None not in names:
                found.append(columns)
        return sorted(found)


def quote(name: str) -> str:
    """Return a name as SQL takes it."""
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
