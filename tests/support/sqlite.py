"""Another program that writes to a file of SQLite."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from tests.support.program import Program


class SQLiteProgram(Program):
    """Another program on SQLite.

    Args:
        path: the database's file.
    """

    BEGIN = "BEGIN IMMEDIATE"

    def __init__(self, path: Path) -> None:
        self.path = path
        connection = sqlite3.connect(
            path, timeout=20, isolation_level=None, check_same_thread=False
        )
        super().__init__(f"sqlite:///{path}", connection)
        self.run("PRAGMA foreign_keys = ON")
        self.run("PRAGMA synchronous = OFF")  # nothing is lost unless the machine fails

    def run(self, sql: str, *args: Any) -> list[tuple[Any, ...]]:
        return list(self._connection.execute(sql, args).fetchall())

    def numbers(self, first: int, last: int) -> str:
        more = f"VALUES ({first}) UNION ALL SELECT i + 1 FROM n WHERE i < {last}"
        return f"(WITH RECURSIVE n(i) AS ({more}) SELECT i FROM n)"

    def age(self, seconds: int) -> None:
        self.run("UPDATE bindserver_log SET at = at - ?", seconds)
