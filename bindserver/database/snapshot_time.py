"""One present time for all that is read in a snapshot.

Django's `Now()` asks for the time of each statement. Rows that one turn reads by several statements
would be of several times: one would have begun, and another, which began in the same moment, not.
No moment of the database ever looked so. In a snapshot all of them get one: on PostgreSQL the
transaction's, elsewhere that of the first that asks.

The words that Django writes are replaced in the statement's text, also where raw SQL of a project's
has the very same in a quoted text.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.functions import Now
from django.db.models.sql import Query

TAKEN = {
    "mysql": ("SELECT CAST({now} AS CHAR)", "CAST('{time}' AS DATETIME(6))"),
    "sqlite": ("SELECT {now}", "'{time}'"),
}
"""How a database is asked for its present time as a text, and how that stands in a statement."""

OF_STATEMENT, OF_TRANSACTION = "STATEMENT_TIMESTAMP()", "TRANSACTION_TIMESTAMP()"
"""How PostgreSQL, and Django with it, calls the present time, and one as long as a transaction
lasts."""


class OneTime:
    """Puts the time of the first statement that asks for it into all that follow.

    Install it as an `execute_wrapper` of a connection, for a snapshot.

    Args:
        connection: the connection.
    """

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection
        self._now = _spelled(connection)
        self._time = OF_TRANSACTION if self._now == OF_STATEMENT else ""

    def __call__(
        self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any
    ) -> Any:
        """Run a statement."""
        if self._now and self._now in sql:
            sql = sql.replace(self._now, self._time or self._ask())
        return execute(sql, params, many, context)

    def _ask(self) -> str:
        asked, written = TAKEN[self._connection.vendor]
        connection: Any = self._connection  # whose own cursors nobody has wrapped
        with connection.wrap_database_errors, closing(connection.connection.cursor()) as cursor:
            # In a statement with arguments each sign of percent stands twice.
            cursor.execute(asked.format(now=self._now.replace("%%", "%")))
            [[time]] = cursor.fetchall()
        self._time = written.format(time=time)
        return self._time


def _spelled(connection: BaseDatabaseWrapper) -> str:
    """Return how a database is asked for the present time; nothing where that is not known."""
    if connection.vendor not in TAKEN:
        return OF_STATEMENT if connection.vendor == "postgresql" else ""
    model: Any = None
    sql, arguments = Query(model).get_compiler(connection=connection).compile(Now())
    return "" if arguments else str(sql)
