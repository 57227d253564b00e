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


def spellings(schema: str, table: str, visible: object) -> set[str]:
    """Return all names that a model may have for a table.

    Args:
        schema: where it is; empty where the database has no schemas.
        table: its own name.
        visible: whether that alone means it.
    """
    names = {table} if visible else set()
    if schema:
        names |= {f"{schema}.{table}", f'{schema}"."{table}', f'"{schema}"."{table}"'}
    return names
