"""Sessions on PostgreSQL: what they see of other transactions, and what their role may write."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from bindserver.database.sql import ask, run


@contextmanager
def abreast(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Open a transaction each of whose statements sees what others have committed by then,
    whatever isolation the project has chosen; one that is open already keeps its own."""
    opens = not connection.in_atomic_block
    with transaction.atomic(using=connection.alias):
        if opens:
            run(connection, "SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        yield


def may_write(connection: BaseDatabaseWrapper, *privileges: tuple[str, str]) -> bool:
    """Return whether the session's role has privileges on tables, and may write at all.

    Args:
        connection: whose session.
        privileges: each a table and what PostgreSQL calls the privilege.
    """
    held = "has_table_privilege(%s, %s) AND " * len(privileges)
    sql = f"SELECT {held} NOT current_setting('transaction_read_only')::bool"
    return bool(ask(connection, sql, [name for pair in privileges for name in pair])[0][0])
