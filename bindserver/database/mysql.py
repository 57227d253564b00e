"""MariaDB and MySQL: InnoDB shows a snapshot to a REPEATABLE READ transaction that asks for one."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from django.db import InterfaceError, OperationalError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import DateField, Field

from bindserver.conf import conf
from bindserver.database.base import LOCK_SECONDS, Usual, kind_of
from bindserver.database.pacing import Pacer
from bindserver.exceptions import Overtaken

READ_SECONDS = 5
"""How much longer than the longest statement a silent server is waited for."""

TABLE_CHANGED = 1412
"""What InnoDB says of a table that was emptied or built anew after the snapshot was taken."""

LOCK_WAIT_TIMEOUT = 1205
"""How the server says that a lock was not to be had in time."""

GONE = frozenset({2006, 2013, 2055})
"""How the client says that its connection to the server is gone."""

LONGEST = 6
"""The longest statement may take so many times QUERY_SECONDS: that of a big load."""


class MySQL(Usual):
    """A MariaDB or MySQL database."""

    def __init__(self) -> None:
        super().__init__()
        self._writing: WeakKeyDictionary[BaseDatabaseWrapper, Any] = WeakKeyDictionary()
        self._limits: WeakKeyDictionary[BaseDatabaseWrapper, tuple[Any, float]] = (
            WeakKeyDictionary()
        )

    def adapt(self, settings: dict[str, Any]) -> None:
        options = settings.setdefault("OPTIONS", {})
        options["isolation_level"] = "repeatable read"  # a snapshot is to be had in no other
        options.setdefault("connect_timeout", math.ceil(conf.STALE_SECONDS))
        options.setdefault("read_timeout", int(conf.QUERY_SECONDS * LONGEST) + READ_SECONDS)

    def connect(self, connection: BaseDatabaseWrapper) -> None:
        super().connect(connection)
        if self._writing.get(connection) is not connection.connection:
            # Purging and triggers are ours to write, whatever is usual: privileges set the limits.
            with connection.cursor() as cursor:
                cursor.execute("SET SESSION TRANSACTION READ WRITE")
            self._writing[connection] = connection.connection

    @contextmanager
    def reading(self, connection: BaseDatabaseWrapper, pacer: Pacer) -> Iterator[None]:
        self._limit(connection, pacer.seconds)
        with transaction.atomic(using=connection.alias):
            with connection.cursor() as cursor:
                cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
            with connection.execute_wrapper(_overtaking):
                yield

    def socket_of(self, connection: BaseDatabaseWrapper) -> int | None:
        raw: Any = connection.connection
        return None if raw is None else int(raw.fileno())

    def locked(self, problem: Exception) -> bool:
        return isinstance(problem, OperationalError) and problem.args[0] == LOCK_WAIT_TIMEOUT

    def lost(self, connection: BaseDatabaseWrapper, problem: Exception) -> bool:
        gone = isinstance(problem, OperationalError) and problem.args[0] in GONE
        return gone or isinstance(problem, InterfaceError)

    def equated(self, field: Field[Any, Any]) -> type | None:
        if kind_of(field) is DateField:
            return datetime.date
        return super().equated(field)  # UUIDs may stand in columns of text

    def _limit(self, connection: BaseDatabaseWrapper, seconds: float) -> None:
        """Have the server end a statement that takes longer, or waits for a locked table."""
        if self._limits.get(connection) == (connection.connection, seconds):
            return
        wrapper: Any = connection
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION lock_wait_timeout = %s", (math.ceil(LOCK_SECONDS),))
            if wrapper.mysql_is_mariadb:
                cursor.execute("SET SESSION max_statement_time = %s", (seconds,))
            else:
                cursor.execute("SET SESSION max_execution_time = %s", (int(seconds * 1000),))
        self._limits[connection] = (connection.connection, seconds)


def _overtaking(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
    """Run a statement, and tell by an error of ours that another snapshot would show the table."""
    try:
        return execute(sql, params, many, context)
    except OperationalError as problem:
        if problem.args[0] == TABLE_CHANGED:
            raise Overtaken(str(problem)) from problem
        raise
