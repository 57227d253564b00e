"""Statements on Django's connections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
