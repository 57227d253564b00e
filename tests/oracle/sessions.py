"""The oracle's own connections, which know nothing of Django."""

from __future__ import annotations

import sqlite3
from typing import Any
from urllib.parse import urlsplit

from tests.oracle.dialects import DIALECTS, Dialect


class Refused(Exception):
    """Somebody else was there first: nothing of the transaction may stay."""


class Session:
    """One connection, in autocommit mode.

    Args:
        url: the database's address.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.dialect: Dialect = DIALECTS[urlsplit(url).scheme]
        self.raw: Any = _connect(url)
        for statement in self.dialect.settings():
            self.run(statement)

    def run(self, sql: str, *arguments: Any) -> None:
        """Run one statement, with ? where arguments go.

        Raises:
            Refused: somebody else holds a lock, or has taken what it needs.
        """
        self._execute(sql, arguments).close()

    def rows(self, sql: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a statement, with ? where arguments go."""
        cursor = self._execute(sql, arguments)
        try:
            return list(cursor.fetchall())
        finally:
            cursor.close()

    def _execute(self, sql: str, arguments: tuple[Any, ...]) -> Any:
        cursor = self.raw.cursor()
        try:
            if arguments:
                cursor.execute(self.dialect.adapt(sql), arguments)
            else:
                cursor.execute(sql)
        except Exception as problem:
            if self.dialect.concurrent and self.dialect.refuses(problem):
                raise Refused(str(problem)) from problem
            raise
        return cursor

    def close(self) -> None:
        """Close it; what was not committed is lost. MySQL's driver minds a second time."""
        raw, self.raw = self.raw, None
        if raw is not None:
            raw.close()


def _connect(url: str) -> Any:
    address = urlsplit(url)
    if address.scheme == "sqlite":
        return sqlite3.connect(address.path.removeprefix("/"), isolation_level=None, timeout=20)
    if address.scheme == "postgresql":
        import psycopg  # each driver where its database is asked for

        return psycopg.connect(url, autocommit=True, cursor_factory=psycopg.ClientCursor)
    import MySQLdb

    return MySQLdb.connect(
        host=address.hostname,
        port=address.port or 3306,
        user=address.username,
        db=address.path.removeprefix("/"),
        charset="utf8mb4",
        autocommit=True,
    )
