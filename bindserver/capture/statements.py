"""Statements on Django's connections."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper


def ask(
    connection: BaseDatabaseWrapper, sql: str, params: Sequence[Any] | None = None
) -> list[Any]:
    """Run a query and return its rows."""
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall())


def run(connection: BaseDatabaseWrapper, sql: str, params: Sequence[Any] | None = None) -> int:
    """Run a statement and return how many rows it changed."""
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return int(cursor.rowcount)


@contextmanager
def abreast(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Open a transaction on PostgreSQL each of whose statements sees what others have committed by
    then, whatever isolation the project has chosen; one that is open already keeps its own."""
    opens = not connection.in_atomic_block
    with transaction.atomic(using=connection.alias):
        if opens:
            run(connection, "SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        yield
