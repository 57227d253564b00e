"""A connection as the cycle's thread has it, to the database that a module's `url` names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections

from bindserver.database.snapshot import open_connection


@pytest.fixture
def own(url: str) -> Iterator[Any]:
    """A connection as the cycle's thread has it."""
    usual = connections["default"]
    connection = open_connection("default")
    yield connection
    connection.close()
    connections["default"] = usual


def ask(connection: Any, sql: str) -> list[Any]:
    """Ask on a connection, and return the rows."""
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())
