"""What every kind of database is asked, and what those do that need nothing special."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import (
    AutoField,
    BigAutoField,
    BigIntegerField,
    BooleanField,
    Field,
    IntegerField,
    PositiveBigIntegerField,
    PositiveIntegerField,
    PositiveSmallIntegerField,
    SmallAutoField,
    SmallIntegerField,
)

from bindserver.database.pacing import Pacer
from bindserver.exceptions import BindserverError

Sorting = Callable[[Any, int], Any]
"""Makes of a column's value, and 1 or -1 for the direction, a value that Python sorts as the
database sorts the column; raises `NotSorted` where the value is not of the column's type."""

NUMBERS: frozenset[type] = frozenset(
    {
        AutoField,
        BigAutoField,
        BigIntegerField,
        IntegerField,
        PositiveBigIntegerField,
        PositiveIntegerField,
        PositiveSmallIntegerField,
        SmallAutoField,
        SmallIntegerField,
    }
)
"""Django's own fields of whole numbers. A subclass may make anything of what the database holds,
and a generated column may be null."""


class NotSorted(BindserverError):
    """A value has another type than its column's: only the database knows where it stands."""


LOCK_SECONDS = 1.0
"""How long a read waits for a table that somebody has locked against readers."""


IDLE_SECONDS = 20.0
"""A connection that was not used for so long is tried out before it is trusted."""


class Database(Protocol):
    """How one kind of database is read in one snapshot, on a connection of a thread's own."""

    def adapt(self, settings: dict[str, Any]) -> None:
        """Change a copy of a database's settings to what our own connections need."""

    def connect(self, connection: BaseDatabaseWrapper) -> None:
        """Connect, and make sure that what the connection is open on is still the database.

        Raises:
            OperationalError: the database is out of reach, or it is another one by now.
        """

    def ask(self, connection: BaseDatabaseWrapper) -> None:
        """Ask, on an open connection and outside of a snapshot, what only the database itself can
        answer.

        Raises:
            DatabaseError: it does not.
        """

    def reading(
        self, connection: BaseDatabaseWrapper, pacer: Pacer
    ) -> AbstractContextManager[None]:
        """Read in one snapshot; nothing can be written, and nothing outlives the pacer's time."""

    def socket_of(self, connection: BaseDatabaseWrapper) -> int | None:
        """Return the descriptor of an open connection's socket; None where there is none."""

    def guard(self, connection: BaseDatabaseWrapper) -> AbstractContextManager[None]:
        """Keep the snapshot whole when a statement inside fails."""

    def locked(self, problem: Exception) -> bool:
        """Return whether a read failed because somebody has locked a table against readers."""

    def lost(self, connection: BaseDatabaseWrapper, problem: Exception) -> bool:
        """Return whether a read failed because its connection is gone, without asking the database:
        one that hangs would not answer."""

    def overtaken(self, connection: BaseDatabaseWrapper, tables: Collection[str]) -> bool:
        """Tell, in a snapshot, whether what was read of these tables may be newer than it: where
        tables are emptied, rewritten or replaced, some databases show that to older snapshots."""

    def sorting(self, field: Field[Any, Any]) -> Sorting | None:
        """Return how Python sorts a column's values as the database does; None where it cannot."""

    def equated(self, field: Field[Any, Any]) -> type | None:
        """Return the type of a column's values in Python, if the database takes two of them for
        equal exactly when Python does; else None."""


class Usual:
    """A database that is read in a transaction, and no more can be said."""

    def __init__(self) -> None:
        self._used: WeakKeyDictionary[BaseDatabaseWrapper, float] = WeakKeyDictionary()

    def adapt(self, settings: dict[str, Any]) -> None:
        pass

    def connect(self, connection: BaseDatabaseWrapper) -> None:
        now = time.monotonic()
        idle = now - self._used.get(connection, now)
        self._used[connection] = now
        # Servers end connections that nobody uses for a while, without a word.
        if idle > IDLE_SECONDS and connection.connection and not connection.is_usable():
            connection.close()
        connection.ensure_connection()

    def ask(self, connection: BaseDatabaseWrapper) -> None:
        self._ask(connection, "SELECT 1")

    @staticmethod
    def _ask(connection: BaseDatabaseWrapper, sql: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            cursor.fetchone()

    @contextmanager
    def reading(self, connection: BaseDatabaseWrapper, pacer: Pacer) -> Iterator[None]:
        with transaction.atomic(using=connection.alias):
            yield

    def socket_of(self, connection: BaseDatabaseWrapper) -> int | None:
        return None

    def guard(self, connection: BaseDatabaseWrapper) -> AbstractContextManager[None]:
        return nullcontext()

    def locked(self, problem: Exception) -> bool:
        return False

    def lost(self, connection: BaseDatabaseWrapper, problem: Exception) -> bool:
        return False

    def overtaken(self, connection: BaseDatabaseWrapper, tables: Collection[str]) -> bool:
        return False

    def sorting(self, field: Field[Any, Any]) -> Sorting | None:
        kind = kind_of(field)
        return _number if kind in NUMBERS or kind is BooleanField else None

    def equated(self, field: Field[Any, Any]) -> type | None:
        return int if kind_of(field) in NUMBERS else None


def kind_of(field: Field[Any, Any]) -> type:
    """Return a field's class; that of nothing where it makes other values than its class does."""
    return type(None) if hasattr(field, "from_db_value") else type(field)


def expect(value: Any, kind: type) -> None:
    """Make sure that a value is of its column's type, and not of one derived from it.

    Raises:
        NotSorted: it is not; None among others, where a column that must not be null is.
    """
    if type(value) is not kind:
        raise NotSorted(f"a column has {type(value).__name__}, and not {kind.__name__}")


def _number(value: Any, sign: int) -> Any:
    if type(value) is not bool:
        expect(value, int)
    return value * sign
