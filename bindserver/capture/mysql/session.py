"""Sessions on MariaDB and MySQL: who works alone, what is set for a piece of work and put back, and
what is said where a statement is refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

from bindserver.capture.mysql.catalog import NO_PRIVILEGE
from bindserver.capture.mysql.trigger_sql import quote
from bindserver.database.sql import ask, run
from bindserver.exceptions import CaptureError

NOT_SHOWN = 1227
REASONS = {
    1419: (
        "the server writes a binary log, and lets nobody without SUPER make triggers. Install as "
        "an administrator, or have one run `SET GLOBAL log_bin_trust_function_creators = 1`"
    ),
    **dict.fromkeys((1044, 1142, NOT_SHOWN), "the database user lacks a privilege"),
    1290: "the server is read only",
    1836: "the server is read only",
}


@contextmanager
def alone(connection: BaseDatabaseWrapper, work: str, seconds: float) -> Iterator[bool]:
    """Return whether nobody else does this work on the database, and keep it so.

    Args:
        connection: whose database.
        work: names it.
        seconds: how long to wait for others who do it.
    """
    sql = "SELECT LEFT(SHA2(CONCAT(DATABASE(), ' ', %s), 256), 40)"
    name = ask(connection, sql, (work,))[0][0]
    mine = bool(ask(connection, "SELECT GET_LOCK(%s, %s)", (name, seconds))[0][0])
    try:
        yield mine
    finally:
        if mine:
            ask(connection, "SELECT RELEASE_LOCK(%s)", (name,))


@contextmanager
def making_triggers(connection: BaseDatabaseWrapper, lock_seconds: int) -> Iterator[None]:
    """Wait for tables shortly; and let triggers have no SQL mode, which is kept with them."""
    usual = ask(connection, "SELECT @@sql_mode, @@lock_wait_timeout")[0]
    run(connection, "SET SESSION sql_mode = '', lock_wait_timeout = %s", (lock_seconds,))
    try:
        yield
    finally:
        run(connection, "SET SESSION sql_mode = %s, lock_wait_timeout = %s", usual)


@contextmanager
def purging(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Wait a second at most for rows; and see nothing uncommitted, which one who purges would
    keep for seen."""
    wrapper: Any = connection
    usual = ask(connection, "SELECT @@innodb_lock_wait_timeout")[0]
    level = wrapper.isolation_level or "REPEATABLE READ"
    run(connection, "SET SESSION innodb_lock_wait_timeout = 1")
    run(connection, "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    try:
        yield
    finally:
        run(connection, "SET SESSION innodb_lock_wait_timeout = %s", usual)
        run(connection, f"SET SESSION TRANSACTION ISOLATION LEVEL {level}")


def execute(connection: BaseDatabaseWrapper, sql: str, params: Sequence[Any] | None = None) -> int:
    """Run a statement, and return how many rows it changed.

    Raises:
        CaptureError: it was refused; the message says what to do.
    """
    try:
        return run(connection, sql, params)
    except DatabaseError as problem:
        number = problem.args[0] if problem.args else 0
        if number not in REASONS:
            raise
        advice = f" {grant(connection)}" if number in NO_PRIVILEGE else ""
        raise CaptureError(
            f"{shown(sql)} was refused: {REASONS[number]}. ({problem.args[-1]}){advice}"
        ) from problem


def grant(connection: BaseDatabaseWrapper) -> str:
    """Return how to give the present user what log and server need."""
    database, user = ask(connection, "SELECT DATABASE(), CURRENT_USER()")[0]
    name, _, host = str(user).rpartition("@")
    return (
        "It needs `GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, TRIGGER ON "
        f"{quote(str(database))}.* TO {quote(name)}@{quote(host)}`."
    )


def shown(statement: str) -> str:
    """Return so much of a statement that people recognize it."""
    return f"`{statement[:60]} ...`"
