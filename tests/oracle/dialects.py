"""What each database says otherwise: how rows are replaced, passed over and written again."""

from __future__ import annotations

import datetime
import re
import sqlite3
from collections.abc import Collection
from typing import Any

Columns = Collection[str]


class Dialect:
    """SQLite's, which the oracle's statements are written in.

    Attributes:
        vendor: Django's name of the kind of database.
        end: the name of a column that is a word of SQL's.
        begin: begins a transaction that writes.
        begin_late: begins one that stays open while others commit.
        like: compares text without minding case, as the bindings' `icontains` does.
        list_of: a list of texts as JSON.
        new_place: the key that the last insert into `app_place` gave.
        patience: says how long to wait for others' locks.
        notices_late: whether a change of the schema is noticed a moment later, not with the next
            commit.
        leaves_holes: whether what was undone leaves numbers of the log that nobody can tell from
            those that may come yet.
        concurrent: whether several may have written and not committed at one time.
    """

    vendor = "sqlite"
    end = '"end"'
    begin = "BEGIN IMMEDIATE"
    begin_late = "BEGIN"
    patience = ""
    like = "LIKE"
    list_of = "json_group_array({})"
    new_place = "last_insert_rowid()"
    notices_late = False
    leaves_holes = False
    concurrent = False

    def adapt(self, sql: str) -> str:
        """Return a statement with places for arguments as the driver wants them."""
        return sql

    def moment(self, value: datetime.datetime) -> Any:
        """Return a moment as the driver takes it, and as Django has the database hold it."""
        return value.astimezone(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S.%f")

    def seconds(self, value: Any) -> float:
        """Return a moment, as the driver gives it, in seconds since 1970."""
        if isinstance(value, str):
            value = datetime.datetime.fromisoformat(value)
        return float(value.replace(tzinfo=value.tzinfo or datetime.UTC).timestamp())

    def ignoring(self, rest: str) -> str:
        """Return an insert that passes over rows whose unique values are taken."""
        return f"INSERT OR IGNORE INTO {rest}"

    def replacing(self, table: str, columns: Columns, values: str, unique: str) -> str:
        """Return an insert in whose favour a row with the same unique value goes."""
        return f"INSERT OR REPLACE INTO {table}({', '.join(columns)}) VALUES ({values})"

    def upserting(
        self, table: str, columns: Columns, values: str, unique: str, changed: dict[str, str]
    ) -> str:
        """Return an insert that changes a row with the same unique value instead.

        Args:
            changed: SQL by column; {new} is before a column of the row that was to be inserted.
        """
        rest = f"{table}({', '.join(columns)}) VALUES ({values})"
        sets = ", ".join(f"{name} = {sql}" for name, sql in changed.items())
        return f"INSERT INTO {rest} ON CONFLICT ({unique}) DO UPDATE SET {sets}".replace(
            "{new}", "excluded."
        )

    def rename_word(self) -> str:
        """Return what gives a word, argument 2, another text, argument 1, whoever had that."""
        return "UPDATE OR REPLACE app_word SET text = ? WHERE text = ?"

    def refuses(self, problem: BaseException | None) -> bool:
        """Return whether an error says that somebody else was there first."""
        return isinstance(problem, sqlite3.IntegrityError)

    def settings(self) -> list[str]:
        """Return what to say on each new connection of the oracle's."""
        return ["PRAGMA journal_mode=WAL", "PRAGMA synchronous=OFF", "PRAGMA foreign_keys=ON"]

    def prepare(self) -> list[str]:
        """Return what to say once, before anything is written."""
        return []

    def unchecked(self, on: bool) -> list[str]:
        """Return what lets a key be changed before those that point at it are, or no more."""
        return []


class PostgreSQL(Dialect):
    """PostgreSQL's."""

    vendor = "postgresql"
    patience = "SET lock_timeout = '60ms'"
    begin = "BEGIN"
    like = "ILIKE"
    list_of = "coalesce(json_agg({})::text, '[]')"
    new_place = "currval(pg_get_serial_sequence('app_place', 'id'))"
    concurrent = True

    STATES = frozenset({"55P03", "40P01", "40001", "23505", "23503"})
    """A lock, a deadlock, a change meanwhile, a unique value that is taken, a row that is gone."""

    def adapt(self, sql: str) -> str:
        return sql.replace("%", "%%").replace("?", "%s")

    def moment(self, value: datetime.datetime) -> Any:
        return value

    def ignoring(self, rest: str) -> str:
        return f"INSERT INTO {rest} ON CONFLICT DO NOTHING"

    def replacing(self, table: str, columns: Columns, values: str, unique: str) -> str:
        sets = ", ".join(f"{name} = excluded.{name}" for name in columns)
        return (
            f"INSERT INTO {table}({', '.join(columns)}) VALUES ({values}) "
            f"ON CONFLICT ({unique}) DO UPDATE SET {sets}"
        )

    def rename_word(self) -> str:
        # MERGE deletes or renames, whichever the row needs; a text that is taken stays taken.
        return (
            "MERGE INTO app_word AS w USING (SELECT ?::varchar AS new, ?::varchar AS old) AS n "
            "ON w.text = n.old WHEN MATCHED AND EXISTS (SELECT FROM app_word WHERE text = n.new) "
            "THEN DELETE WHEN MATCHED THEN UPDATE SET text = n.new"
        )

    def refuses(self, problem: BaseException | None) -> bool:
        return getattr(problem, "sqlstate", None) in self.STATES

    def settings(self) -> list[str]:
        return [self.patience]

    def prepare(self) -> list[str]:
        # Keys below are for rows whose key is changed.
        return ["ALTER TABLE app_product ALTER id RESTART WITH 100"]


class MySQL(Dialect):
    """MariaDB's and MySQL's."""

    vendor = "mysql"
    end = "`end`"
    patience = "SET SESSION innodb_lock_wait_timeout = 0"
    begin = "BEGIN"
    list_of = "coalesce(JSON_ARRAYAGG({}), '[]')"
    new_place = "LAST_INSERT_ID()"
    notices_late = True
    leaves_holes = True
    concurrent = True

    NUMBERS = frozenset({1205, 1213, 1020, 1062, 1451, 1452})
    """A lock, a deadlock, a change meanwhile, a unique value that is taken, a row that is gone."""

    def adapt(self, sql: str) -> str:
        return sql.replace("%", "%%").replace("?", "%s")

    def moment(self, value: datetime.datetime) -> Any:
        return value.astimezone(datetime.UTC).replace(tzinfo=None)

    def ignoring(self, rest: str) -> str:
        return f"INSERT IGNORE INTO {rest}"

    def replacing(self, table: str, columns: Columns, values: str, unique: str) -> str:
        return f"REPLACE INTO {table}({', '.join(columns)}) VALUES ({values})"

    def upserting(
        self, table: str, columns: Columns, values: str, unique: str, changed: dict[str, str]
    ) -> str:
        new = {name: re.sub(r"{new}(\w+)", r"VALUES(\1)", sql) for name, sql in changed.items()}
        sets = ", ".join(f"{name} = {sql}" for name, sql in new.items())
        rest = f"{table}({', '.join(columns)}) VALUES ({values})"
        return f"INSERT INTO {rest} ON DUPLICATE KEY UPDATE {sets}"

    def rename_word(self) -> str:
        return "UPDATE IGNORE app_word SET text = ? WHERE text = ?"

    def refuses(self, problem: BaseException | None) -> bool:
        number = problem.args[0] if problem is not None and problem.args else None
        return number in self.NUMBERS

    def settings(self) -> list[str]:
        return [
            "SET SESSION sql_mode = CONCAT(@@sql_mode, ',PIPES_AS_CONCAT')",
            self.patience,
        ]

    def prepare(self) -> list[str]:
        return ["ALTER TABLE app_product AUTO_INCREMENT = 100"]

    def unchecked(self, on: bool) -> list[str]:
        return [f"SET SESSION foreign_key_checks = {0 if on else 1}"]


DIALECTS: dict[str, Dialect] = {d.vendor: d for d in (Dialect(), PostgreSQL(), MySQL())}
"""By Django's name of the kind of database."""
