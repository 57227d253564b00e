"""Which tables of a database are views of others: no trigger can watch them."""

from __future__ import annotations

import time

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from bindserver.database.sql import ask, spellings

LISTED = {
    "mysql": "SELECT '', table_name, 1 FROM information_schema.views "
    "WHERE table_schema = DATABASE()",
    "postgresql": "SELECT nspname, relname, pg_table_is_visible(c.oid) FROM pg_class c "
    "JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind IN ('v', 'm') "
    "AND nspname NOT IN ('pg_catalog', 'information_schema')",
    "sqlite": "SELECT '', name, 1 FROM sqlite_master WHERE type = 'view'",
}
"""Schema, name, and whether the name alone means it. Materialized views are among them."""

LOOK_SECONDS = 1.0
"""How long an answer is taken for the present one, at most."""


def database_views(connection: BaseDatabaseWrapper) -> frozenset[str]:
    """Return a database's views, by all names that a model may have for them."""
    if connection.vendor not in LISTED:
        return frozenset()
    found = ask(connection, LISTED[connection.vendor])
    return frozenset(name for row in found for name in spellings(*row))


class DatabaseViews:
    """A database's views, as far as is known now.

    Asked again after a second, and not for each binding.

    Args:
        alias: the database; the connection is that of the thread that asks.
    """

    def __init__(self, alias: str) -> None:
        self._alias = alias
        self._known: frozenset[str] = frozenset()
        self._until = float("-inf")

    def names(self) -> frozenset[str]:
        """Return their names; the database is asked if it was not a moment ago."""
        if time.monotonic() >= self._until:
            self._known = database_views(connections[self._alias])
            self._until = time.monotonic() + LOOK_SECONDS
        return self._known
