"""PostgreSQL: a transaction that reads one snapshot, and a savepoint before whatever may fail."""

from __future__ import annotations

import datetime
import math
import uuid
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Any
from weakref import WeakKeyDictionary

from django.db import InterfaceError, OperationalError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import DateField, DateTimeField, DecimalField, Field, UUIDField

from bindserver.conf import conf
from bindserver.database.base import LOCK_SECONDS, NotSorted, Sorting, Usual, expect, kind_of
from bindserver.database.overtaken import overtaken
from bindserver.database.pacing import Pacer

NOT_AVAILABLE = "55P03"
"""How PostgreSQL says that a lock was not to be had in time."""

GONE = ("08", "57P")
"""How the states begin by which the server says that a connection is lost, or that it ends it."""

PATIENCE: dict[str, Any] = {
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "application_name": "bindserver",
}
"""Connections to a host that is gone end in seconds, not hours. A project's own options win."""

SAVEPOINT = "bindserver_guard"


class PostgreSQL(Usual):
    """A PostgreSQL database. All that is set is set for one transaction, as PgBouncer wants it."""

    def __init__(self) -> None:
        super().__init__()
        self._guarded: WeakKeyDictionary[BaseDatabaseWrapper, bool] = WeakKeyDictionary()

    def adapt(self, settings: dict[str, Any]) -> None:
        soon = math.ceil(conf.STALE_SECONDS)
        options = {"connect_timeout": soon, **PATIENCE, **settings.get("OPTIONS", {})}
        options.pop("pool", None)
        settings["OPTIONS"] = options
        settings["DISABLE_SERVER_SIDE_CURSORS"] = True  # three questions where one would do
        settings["CONN_HEALTH_CHECKS"] = False

    @contextmanager
    def reading(self, connection: BaseDatabaseWrapper, pacer: Pacer) -> Iterator[None]:
        with transaction.atomic(using=connection.alias):
            with connection.cursor() as cursor:
                cursor.execute(_beginning(connection, pacer.seconds))
            self._guarded[connection] = False
            try:
                yield
            finally:
                del self._guarded[connection]

    def socket_of(self, connection: BaseDatabaseWrapper) -> int | None:
        raw: Any = connection.connection
        return None if raw is None else int(raw.fileno())

    def locked(self, problem: Exception) -> bool:
        return getattr(problem.__cause__, "sqlstate", None) == NOT_AVAILABLE

    def lost(self, connection: BaseDatabaseWrapper, problem: Exception) -> bool:
        if not isinstance(problem, OperationalError | InterfaceError):
            return False
        # What the server refuses has a state; what the driver alone says is of the connection.
        state = getattr(problem.__cause__, "sqlstate", None)
        return state is None or state.startswith(GONE)

    def overtaken(self, connection: BaseDatabaseWrapper, tables: Collection[str]) -> bool:
        return overtaken(connection, tables)

    def sorting(self, field: Field[Any, Any]) -> Sorting | None:
        kind = kind_of(field)
        return SORTINGS[kind] if kind in SORTINGS else super().sorting(field)

    def equated(self, field: Field[Any, Any]) -> type | None:
        kind = kind_of(field)
        return EQUATED[kind] if kind in EQUATED else super().equated(field)

    @contextmanager
    def guard(self, connection: BaseDatabaseWrapper) -> Iterator[None]:
        guard = _Guard(connection, stands=self._guarded.get(connection))
        with connection.execute_wrapper(guard):
            try:
                yield
            except BaseException:
                guard.roll_back()
                raise
            else:
                guard.release()
            finally:
                if connection in self._guarded:
                    self._guarded[connection] = guard.stands


def _decimal(value: Decimal, sign: int) -> tuple[int, Decimal]:
    expect(value, Decimal)
    if value.is_nan():  # greater than any other to PostgreSQL, and not comparable to Python
        return sign, Decimal(0)
    return 0, value if sign > 0 else value.copy_negate()  # a minus would round long ones


def _date(value: datetime.date, sign: int) -> int:
    expect(value, datetime.date)
    return value.toordinal() * sign


def _datetime(value: datetime.datetime, sign: int) -> int:
    expect(value, datetime.datetime)
    if value.tzinfo is None:  # an hour comes twice when clocks are put back
        raise NotSorted("a moment says nothing of its time zone")
    since = value - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * sign


def _uuid(value: uuid.UUID, sign: int) -> int:
    expect(value, uuid.UUID)
    return value.int * sign


SORTINGS: Mapping[type, Sorting] = {
    DateField: _date,
    DateTimeField: _datetime,
    DecimalField: _decimal,
    UUIDField: _uuid,
}
"""By Django's own classes of fields. A column's values are of its type here, and not just text that
looks so; texts stay out, as Python cannot repeat a collation."""

EQUATED: Mapping[type, type] = {DateField: datetime.date, UUIDField: uuid.UUID}
"""By the same classes, what the types of other columns than numbers are in Python."""


def _beginning(connection: Any, seconds: float) -> str:
    """Return the first statement of a transaction that reads."""
    timeouts = {
        "statement_timeout": seconds,
        "lock_timeout": min(LOCK_SECONDS, seconds),
        "idle_in_transaction_session_timeout": 3 * seconds,
    }
    if connection.pg_version >= 170_000:
        timeouts["transaction_timeout"] = 0
    return "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY" + "".join(
        f"; SET LOCAL {name} = {max(1, int(value * 1000)) if value else 0}"
        for name, value in timeouts.items()
    )


class _Guard:
    """A savepoint that is made when the first statement is about to be sent.

    One is enough for a transaction that reads a snapshot: nothing is lost by going back to it.

    Args:
        connection: whose statements to guard.
        stands: whether the transaction has a savepoint of ours already; None in a transaction
            that is not ours, where nothing is left behind.

    Attributes:
        stands: whether the savepoint is there.
    """

    def __init__(self, connection: Any, *, stands: bool | None) -> None:
        self.stands = bool(stands)
        self._connection = connection
        self._leaves_nothing = stands is None

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if not self.stands and self._connection.in_atomic_block:
            self._run("SAVEPOINT")
            self.stands = True
        return execute(sql, params, many, context)

    def roll_back(self) -> None:
        """Undo a statement that failed."""
        if self.stands:
            self._run("ROLLBACK TO SAVEPOINT")
            self.release()

    def release(self) -> None:
        """Leave nothing behind in a transaction of somebody else."""
        if self.stands and self._leaves_nothing:
            self._run("RELEASE SAVEPOINT")

    def _run(self, what: str) -> None:
        # Past Django's cursor, or recorders of statements would take this for a view's query.
        connection = self._connection
        with connection.wrap_database_errors, connection.connection.cursor() as cursor:
            cursor.execute(f"{what} {SAVEPOINT}")
