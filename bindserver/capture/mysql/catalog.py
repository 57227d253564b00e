"""What a MariaDB or MySQL database says of its own tables: keys, columns, references, triggers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from django.db import OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper

from bindserver.capture.mysql.trigger_sql import LOG, PREFIX, Cascades, Trigger
from bindserver.database.sql import ask

ACTIVE = {"CASCADE", "SET NULL", "SET DEFAULT"}
NO_PRIVILEGE = {1044, 1142, 1227}


class Catalog:
    """A database's own description as it is now. What is asked once is kept: make another to look
    again.

    Args:
        connection: Django's wrapper of the connection to use.
    """

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection

    @cached_property
    def triggers(self) -> dict[str, Trigger]:
        """Our triggers by name, as far as the user may see them."""
        return {
            str(name): Trigger(table=str(table), event=str(event), body=str(body))
            for name, table, event, body, _ in self._trigger_rows
        }

    @cached_property
    def _trigger_rows(self) -> list[Any]:
        return self._rows(
            "SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE, EVENT_MANIPULATION, ACTION_STATEMENT, "
            "UNIX_TIMESTAMP(CREATED) FROM information_schema.TRIGGERS "
            # By this column MariaDB looks at one schema; by TRIGGER_SCHEMA it opens all tables.
            "WHERE TRIGGER_SCHEMA = DATABASE() AND EVENT_OBJECT_SCHEMA = DATABASE() "
            f"AND LEFT(TRIGGER_NAME, {len(PREFIX)}) = %s "
            "ORDER BY TRIGGER_NAME",
            (PREFIX,),
        )

    @property
    def _trigger_times(self) -> list[tuple[str, float]]:
        return [(str(row[1]), float(row[4] or 0)) for row in self._trigger_rows]

    @cached_property
    def _folds(self) -> bool:
        """Whether the server keeps table names in lower case."""
        return bool(self._rows("SELECT @@lower_case_table_names")[0][0])

    def _named(self, table: str) -> str:
        return table.lower() if self._folds else table

    @cached_property
    def _kinds(self) -> dict[str, tuple[str, str]]:
        found = self._rows(
            "SELECT TABLE_NAME, TABLE_TYPE, ENGINE FROM information_schema.TABLES "
            "WHERE TABLE_SCHEMA = DATABASE()"
        )
        return {self._named(name): (str(kind), str(engine)) for name, kind, engine in found}

    @cached_property
    def _made(self) -> dict[str, tuple[Any, str]]:
        """When our tables were made, and their files' names: those have but letters and digits."""
        names = sorted({table for table, _ in self._trigger_times} | {LOG})
        found = self._rows(
            f"SELECT TABLE_NAME, UNIX_TIMESTAMP(CREATE_TIME), {_file_of('TABLE_NAME')} "
            "FROM information_schema.TABLES "
            f"WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME IN ({_marks(names)})",
            names,
        )
        return {self._named(name): (made, self._named(file)) for name, made, file in found}

    @cached_property
    def spaces(self) -> dict[str, list[int]]:
        """The tablespaces of tables and their partitions, by the files' names: TRUNCATE gives new
        ones.

        Nothing for a user without the PROCESS privilege.
        """
        wrapper: Any = self._connection
        catalogue = "INNODB_SYS_TABLES" if wrapper.mysql_is_mariadb else "INNODB_TABLES"
        try:
            folder = self._rows(f"SELECT CONCAT({_file_of('DATABASE()')}, '/')")[0][0]
            found = self._rows(
                f"SELECT NAME, SPACE FROM information_schema.{catalogue} "
                "WHERE LEFT(NAME, CHAR_LENGTH(%s)) = %s ORDER BY NAME",
                (folder, folder),
            )
        except OperationalError as problem:
            if problem.args[0] not in NO_PRIVILEGE:
                raise
            return {}
        spaces: dict[str, list[int]] = {}
        for name, space in found:
            file = str(name).partition("/")[2].partition("#")[0]
            spaces.setdefault(self._named(file), []).append(int(space))
        return spaces

    @cached_property
    def _keys(self) -> dict[str, str]:
        """The first column of each table's key, which `tracked` takes too: whoever asks for a table
        wants the same triggers, or one would put them right for the other without end."""
        found = self._rows(
            "SELECT TABLE_NAME, COLUMN_NAME FROM information_schema.STATISTICS "
            "WHERE TABLE_SCHEMA = DATABASE() AND INDEX_NAME = 'PRIMARY' AND SEQ_IN_INDEX = 1"
        )
        return {self._named(table): str(column) for table, column in found}

    @cached_property
    def _types(self) -> dict[tuple[str, str], str]:
        found = self._rows(
            "SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE FROM information_schema.COLUMNS "
            "WHERE TABLE_SCHEMA = DATABASE()"
        )
        return {
            (self._named(table), str(column)): str(kind).lower() for table, column, kind in found
        }

    @cached_property
    def _computing(self) -> set[str]:
        """The tables that have columns which are computed from others."""
        found = self._rows(
            "SELECT DISTINCT TABLE_NAME FROM information_schema.COLUMNS "
            "WHERE TABLE_SCHEMA = DATABASE() AND COALESCE(GENERATION_EXPRESSION, '') <> ''"
        )
        return {self._named(table) for (table,) in found}

    @cached_property
    def _all_references(self) -> list[Any]:
        return self._rows(
            "SELECT r.UNIQUE_CONSTRAINT_SCHEMA = DATABASE(), r.REFERENCED_TABLE_NAME, "
            "r.TABLE_NAME, r.DELETE_RULE, r.UPDATE_RULE, GROUP_CONCAT(k.REFERENCED_COLUMN_NAME) "
            "FROM information_schema.REFERENTIAL_CONSTRAINTS r "
            "JOIN information_schema.KEY_COLUMN_USAGE k ON k.CONSTRAINT_SCHEMA = "
            "r.CONSTRAINT_SCHEMA AND k.CONSTRAINT_NAME = r.CONSTRAINT_NAME "
            # The constraint's schema is its table's; by this column MariaDB opens no other's.
            "AND k.TABLE_SCHEMA = DATABASE() AND k.TABLE_NAME = r.TABLE_NAME "
            "WHERE r.CONSTRAINT_SCHEMA = DATABASE() GROUP BY 1, 2, 3, 4, 5, r.CONSTRAINT_NAME "
            "ORDER BY 1, 2, 3, 4, 5, 6"
        )

    @cached_property
    def _foreign_keys(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for table, column in self._rows(
            "SELECT TABLE_NAME, COLUMN_NAME FROM information_schema.KEY_COLUMN_USAGE "
            "WHERE TABLE_SCHEMA = DATABASE() AND REFERENCED_TABLE_NAME IS NOT NULL"
        ):
            found.setdefault(self._named(table), set()).add(str(column))
        return found

    @property
    def _foreign(self) -> set[str]:
        """The tables that rows of another database cascade to."""
        return {
            self._named(child)
            for ours, _, child, delete, update, _ in self._all_references
            if not ours and {delete, update} & ACTIVE
        }

    @cached_property
    def _references(self) -> list[tuple[str, str, bool, set[str]]]:
        """(parent, child, whether deletes are carried on, the columns whose changes are)."""
        return [
            (
                self._named(parent),
                self._named(child),
                delete in ACTIVE,
                set(str(columns).split(",")) if update in ACTIVE else set(),
            )
            for ours, parent, child, delete, update, columns in self._all_references
            if ours and {delete, update} & ACTIVE
        ]

    @property
    def _own_parents(self) -> set[str]:
        return {parent for parent, child, _, _ in self._references if parent == child}

    def parents(self, table: str) -> set[str]:
        """Return the tables whose changes the database carries on to a table's rows by itself."""
        found: set[str] = set()
        fresh = {table}
        while fresh:
            fresh = {p for p, c, _, _ in self._references if c in fresh and p not in found}
            found |= fresh
        return found - {table} if table not in self._own_parents else found

    def cascades(self, table: str) -> Cascades:
        """Return what changes of a table the database carries on to which others."""
        found = Cascades()
        for parent, child, delete, columns in self._references:
            if parent != table:
                continue
            reached = {child, *self._descendants(child)}
            if delete:
                found.delete |= reached
            for column in columns:
                found.update.setdefault(column, set()).update(reached)
        return found

    def _descendants(self, table: str) -> set[str]:
        found: set[str] = set()
        fresh = {table}
        while fresh:
            fresh = {c for p, c, _, _ in self._references if p in fresh and c not in found}
            found |= fresh
        return found

    def _rows(self, sql: str, params: Sequence[Any] | None = None) -> list[Any]:
        return ask(self._connection, sql, params)


def _file_of(name: str) -> str:
    """Return the SQL of how a name is written in names of files."""
    return f"CONVERT(CAST(CONVERT({name} USING filename) AS BINARY) USING ascii)"


def _marks(items: Sequence[Any]) -> str:
    return ", ".join(["%s"] * len(items))
