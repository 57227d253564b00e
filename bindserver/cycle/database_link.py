"""A cycle's connection to its database, and what it learns of changes by."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager

from django.db.backends.base.base import BaseDatabaseWrapper

from bindserver.capture.sources import Source, source_of
from bindserver.database import database_of
from bindserver.database.row_security import RowSecurity
from bindserver.database.snapshot import connect, open_connection
from bindserver.database.watchdog import Watchdog

logger = logging.getLogger("bindserver.cycle")


class DatabaseLink:
    """The connection of one cycle, which goes with the database and comes back with it.

    Args:
        alias: the database.
        ring: called from any thread when a commit is to be looked for.

    Attributes:
        source: says what changed; None while there is no connection, or was no turn since.
    """

    def __init__(self, alias: str, ring: Callable[[], None]) -> None:
        self.alias = alias
        self.source: Source | None = None
        self._ring = ring
        self._connection: BaseDatabaseWrapper | None = None
        self._watchdog: Watchdog | None = None
        self._row_security: RowSecurity | None = None

    def connect(self) -> tuple[BaseDatabaseWrapper, Source]:
        """Return the connection, and what says what changed; both are made where there are none."""
        connection = self._open()
        if self.source is None:
            connect(connection)
            self.source = source_of(connection)
            self.source.listen(self._ring)
            self._row_security = RowSecurity(connection)
        return connection, self.source

    def _open(self) -> BaseDatabaseWrapper:
        if self._connection is None:
            self._connection = open_connection(self.alias)
        return self._connection

    def patience(self, seconds: float) -> AbstractContextManager[None]:
        """Wait so long at most for each answer of the database."""
        if self._watchdog is None:
            self._watchdog = Watchdog(self._open())
        return self._watchdog.patience(seconds)

    def ask(self) -> None:
        """Ask the database whether it is there."""
        connection = self._open()
        connect(connection)
        database_of(connection.vendor).ask(connection)

    def tables_by_row(self) -> frozenset[str] | None:
        """Return the tables of which the database shows the server's role some rows only; None
        where nothing was asked yet."""
        return None if self._row_security is None else self._row_security.tables()

    def renew(self) -> None:
        """Let go of a connection that has died while nobody used it, as when the database was
        restarted."""
        connection = self._connection
        if connection is None or connection.connection is None:
            return
        try:
            database_of(connection.vendor).ask(connection)
        except Exception as problem:  # a driver's own, too
            (first, *_) = str(problem).strip().splitlines() or [type(problem).__name__]
            logger.info("bindserver: database %r is connected to anew: %s", self.alias, first)
            self.close()

    def close(self) -> None:
        """Let go of the connection, and of the source with it."""
        if self._watchdog is not None:
            self._watchdog.close()
        if self._connection is not None:
            self._connection.close()
        self._connection = self._watchdog = None
        self.drop_source()

    def drop_source(self) -> None:
        """Let go of the source: another is to say what changed."""
        if self.source is not None:
            self.source.close()
        self.source = None
