"""Whether the role that servers connect as may do what they do: `bindings doctor` asks it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core import checks
from django.core.checks import CheckMessage
from django.db import DatabaseError, connections

from bindserver.bindings.registry import registry
from bindserver.capture.log import LOGS, has_log
from bindserver.checks.looks import Irrelevant, option_of
from bindserver.database.sql import run
from bindserver.queries.tables import reads_of

DENIED = {"42501", 1142, 1143, 1227}
"""How databases say that a right is lacking: PostgreSQL's state, MariaDB's and MySQL's numbers."""

ABSENT = {"42P01", 1146}
"""How they say that there is no such table. SQLite says it in words alone."""


def tables_are_there(alias: str) -> Iterator[CheckMessage]:
    """Look for tables that bindings read and nobody has made yet."""
    connection = connections[alias]
    if has_log(connection):
        raise Irrelevant  # `triggers_are_in_place` tells it
    read = sorted(reads_of(registry.all(), alias))
    if missing := [table for table in read if _is_absent(alias, table)]:
        yield checks.Warning(
            f"Tables that bindings read are not there: {', '.join(missing)}.",
            hint=f"Run `manage.py migrate{option_of(alias)}` first.",
            id="bindserver.W212",
        )


def role_may(alias: str) -> Iterator[CheckMessage]:
    """Look at the rights of the role that servers connect as."""
    connection = connections[alias]
    if connection.vendor == "sqlite":
        yield from _file_may_be_written(alias)
        return
    lacks = [
        f"SELECT on {table}"
        for table in sorted(reads_of(registry.all(), alias))
        if _is_denied(alias, _nothing_of(connection.ops.quote_name(table)))
    ]
    if connection.vendor in LOGS and has_log(connection):
        lacks += [
            f"{right} on bindserver_log"
            for right, sql in (
                ("SELECT", _nothing_of("bindserver_log")),
                ("DELETE", "DELETE FROM bindserver_log WHERE 1 = 0"),
            )
            if _is_denied(alias, sql)
        ]
    if lacks:
        yield checks.Warning(
            f"The role {connection.settings_dict['USER']!r} lacks {', '.join(lacks)}.",
            hint="Have the owner grant it: without SELECT bindings fail, without DELETE nothing "
            "purges the log.",
            id="bindserver.W207",
        )


def _file_may_be_written(alias: str) -> Iterator[CheckMessage]:
    """Look at the rights on SQLite's file: in WAL mode a reader writes beside it, too."""
    connection: Any = connections[alias]
    if connection.is_in_memory_db():
        return
    path = Path(str(connection.settings_dict["NAME"]))
    for what in (path.parent, path):
        if not os.access(what, os.W_OK):
            yield checks.Warning(
                f"This user may not write to {what}: in WAL mode a reader writes there, too.",
                hint="Give the server's user the right to write to the file and to its folder.",
                id="bindserver.W207",
            )


def _nothing_of(quoted: str) -> str:
    return f"SELECT 1 FROM {quoted} WHERE 1 = 0"  # noqa: S608  (a name that Django has quoted)


def _is_denied(alias: str, sql: str) -> bool:
    """Return whether a statement that does nothing is refused for want of a right."""
    try:
        run(connections[alias], sql)
    except DatabaseError as problem:
        if not (says_denied(problem) or _says_absent(problem)):
            raise
        return says_denied(problem)
    return False


def _is_absent(alias: str, table: str) -> bool:
    """Return whether there is no such table, or view."""
    connection = connections[alias]
    try:
        run(connection, _nothing_of(connection.ops.quote_name(table)))
    except DatabaseError as problem:
        if not (says_denied(problem) or _says_absent(problem)):
            raise
        return _says_absent(problem)
    return False


def says_denied(problem: DatabaseError) -> bool:
    """Return whether a database's error is that a right is lacking."""
    return bool(DENIED & _codes(problem))


def _says_absent(problem: DatabaseError) -> bool:
    """Return whether a database's error is that there is no such table."""
    return bool(ABSENT & _codes(problem)) or str(problem).startswith("no such table")


def _codes(problem: DatabaseError) -> set[Any]:
    return {getattr(problem.__cause__, "sqlstate", None), *problem.args[:1]}
