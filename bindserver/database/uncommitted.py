"""Which connections have written in a transaction that is still open.

Such a transaction's own reads must show what it wrote, and only its own connection can: others see
committed states.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from bindserver.database.sessions import stands_elsewhere
from bindserver.database.sql import ask

READS = ("SELECT", "PRAGMA", "EXPLAIN", "SAVEPOINT", "RELEASE", "ROLLBACK", "SHOW", "SET ", "BEGIN")
"""How statements begin that write nothing, as a rule; any other is taken for a write."""

IN_TRANSACTION = 2
"""How libpq calls a transaction that is open, idle, and has not failed (`PQTRANS_INTRANS`)."""


class WriteWatch:
    """Notes whether one connection has written since its transaction began.

    Taking a read for a write costs a query; so after a rollback, of which nobody is told, the
    note may stand until the connection's next statement outside of a transaction.
    """

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection
        self.written = False

    def __call__(
        self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any
    ) -> Any:
        if not self._connection.in_atomic_block:
            self.written = False
        elif not self.written and not str(sql).lstrip(" \n\t(").upper().startswith(READS):
            self.written = True
            # A later transaction of this connection begins anew.
            self._connection.on_commit(self._forget)
        return execute(sql, params, many, context)

    def _forget(self) -> None:
        self.written = False


def watch_writes() -> None:
    """Watch every connection of the application's."""
    connection_created.connect(_watch, dispatch_uid="bindserver.database.uncommitted")
    for connection in connections.all(initialized_only=True):
        _watch(connection=connection)


def _watch(connection: BaseDatabaseWrapper, **_: Any) -> None:
    if _watch_of(connection) is None:
        connection.execute_wrappers.insert(0, WriteWatch(connection))


def _watch_of(connection: BaseDatabaseWrapper) -> WriteWatch | None:
    for wrapper in connection.execute_wrappers:
        if isinstance(wrapper, WriteWatch):
            return wrapper
    return None


def asks_itself(alias: str) -> bool:
    """Return whether only this thread's own connection has the answer to what its caller asks: it
    may see rows that no other does, or mean something else by the same query."""
    return _may_see_more(alias) or stands_elsewhere(alias)


def sees_uncommitted(alias: str) -> bool:
    """Return whether this thread's own connection may see rows that no other connection does.

    So it is inside a transaction that has written, in a `TestCase`, whose data nobody else sees,
    and with an SQLite database in memory, which is one connection's own.
    """
    connection = connections[alias]
    return _may_see_more(alias) or (connection.in_atomic_block and _has_written_unseen(connection))


def _may_see_more(alias: str) -> bool:
    """Tell the same, as far as it can be told without a question."""
    connection: Any = connections[alias]
    if connection.vendor == "sqlite" and connection.is_in_memory_db():
        return True
    if not connection.in_atomic_block:
        return connection.connection is not None and not connection.autocommit
    watch = _watch_of(connection)
    return (
        watch is None
        or watch.written
        or any(getattr(block, "_from_testcase", False) for block in connection.atomic_blocks)
    )


def _has_written_unseen(connection: BaseDatabaseWrapper) -> bool:
    """Return whether the open transaction has written past the watch: by a function that a SELECT
    calls, `callproc`, the driver's own COPY.

    Only PostgreSQL tells: a transaction has an id from its first write on.
    """
    if connection.vendor != "postgresql" or connection.connection is None:
        return False
    # In one that has not begun nothing was written, and one that failed answers no question.
    if connection.connection.info.transaction_status != IN_TRANSACTION:
        return False
    return bool(ask(connection, "SELECT pg_current_xact_id_if_assigned() IS NOT NULL")[0][0])
