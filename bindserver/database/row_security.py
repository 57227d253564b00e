"""Tables of which PostgreSQL shows the server's role some rows only.

Which rows, a session says of itself, and the server's says nothing. What is read of such a table is
not for every subscriber.
"""

from __future__ import annotations

import time
from collections.abc import Collection

from django.db.backends.base.base import BaseDatabaseWrapper

from bindserver.database.sql import ask, spellings

SECURED = (
    "SELECT nspname, relname, pg_table_is_visible(c.oid) FROM pg_class c "
    "JOIN pg_namespace n ON n.oid = relnamespace "
    "WHERE relrowsecurity AND row_security_active(c.oid)"
)

LOOK_SECONDS = 1.0
"""How long an answer is taken for the present one, at most: roles change without a trace."""

HINT = (
    "Name in `using` an alias of DATABASES whose role has BYPASSRLS, and say in get_queryset() who "
    "may see which rows; or take the event away: in Python `.all()` asks the connection of whoever "
    "calls."
)


def tables_by_row(connection: BaseDatabaseWrapper) -> frozenset[str]:
    """Return the tables whose row-level security holds for a connection's role, by all names that a
    model may have for them."""
    if connection.vendor != "postgresql":
        return frozenset()
    found = ask(connection, SECURED)
    return frozenset(name for row in found for name in spellings(*row))


def refusal_for(binding: str, tables: Collection[str], alias: str) -> str:
    """Return why a binding is not served that reads such tables."""
    return (
        f"{binding} is served from {', '.join(sorted(tables))} on database {alias!r}, of which "
        "row-level security shows the server's role some rows only, the same ones for every "
        "subscriber."
    )


class RowSecurity:
    """The tables that a connection's role is shown some rows of, as far as is known now.

    Asked again after a second, and not for each read: whoever reads looks here.

    Args:
        connection: the server's own.
    """

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection
        self._known: frozenset[str] = frozenset()
        self._until = float("-inf")

    def tables(self) -> frozenset[str]:
        """Return their names; the database is asked if it was not a moment ago."""
        if time.monotonic() >= self._until:
            self._known = tables_by_row(self._connection)
            self._until = time.monotonic() + LOOK_SECONDS
        return self._known
