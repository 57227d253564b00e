"""A cycle without threads: it turns when it is told to, on the caller's own connection.

The store of views, the turn and the views are the server's own. Only three things differ:
the snapshot is the test's open transaction, what changed is found by looking at the tables (so
that raw SQL and bulk writes count too), and big views are loaded at once.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from django.core.exceptions import SynchronousOnlyOperation
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from bindserver.bindings.permissions import PermissionFailed
from bindserver.conf import cursor_secrets
from bindserver.cycle.context import TurnContext
from bindserver.cycle.delivery import Outbound
from bindserver.cycle.failure_log import FailureLog
from bindserver.cycle.inbox import Request
from bindserver.cycle.lanes import Lanes
from bindserver.cycle.load_messages import Result, Wanted
from bindserver.cycle.loader import Loader
from bindserver.cycle.loading import read_whole
from bindserver.cycle.resolver import Resolver
from bindserver.cycle.turn import Turn
from bindserver.cycle.view_store import ViewStore
from bindserver.database.pacing import Pacer
from bindserver.database.snapshot import guarded, reading_from
from bindserver.queries.dependencies import Recorder
from bindserver.queries.rows import Rows
from bindserver.testing.tables import TableSource
from bindserver.user_code import apart

logger = logging.getLogger("bindserver.cycle")


class InlineCycle:
    """Keeps the views of one database, as a server's cycle does.

    Args:
        alias: the database.

    Attributes:
        problems: what bindings and serializers have raised.
    """

    def __init__(self, alias: str) -> None:
        self.problems: list[Exception] = []
        self._alias = alias
        self._inbox: list[Request | Result] = []
        self._source = TableSource(connections[alias])
        self._pacer = Pacer(math.inf)  # a debugger may take its time
        self._store = ViewStore(alias, *cursor_secrets())
        self._store.lanes = Lanes(endless=True)  # a commit brings all there is
        self._resolver = Resolver(self._store)
        self._failure_log = FailureLog()
        self._loader = InlineLoader(alias, self._inbox.append)

    def ask(self, request: Request) -> None:
        """Hand in a request; the next commit serves it."""
        self._inbox.append(request)

    def commit(self) -> None:
        """Bring every view to what the database holds now, and serve all requests.

        Raises:
            SynchronousOnlyOperation: there is a running event loop in this thread.
        """
        self._source.begin()
        for live in self._store.views():
            live.retry_at = 0.0  # a view that failed is tried again at every commit
            self._store.alarms.refresh_soon(live)  # what is refreshed has been waited for
        again = True
        while again or self._inbox:
            items = self._inbox.copy()
            self._inbox.clear()
            context = TurnContext(
                store=self._store,
                resolver=self._resolver,
                loader=self._loader,
                failure_log=self._failure_log,
                source=self._source,
                pacer=self._pacer,
                note=self._note,
            )
            turn = Turn(context)
            with _reading(self._alias), _quiet(self.problems):
                self._source.prepare(self._store.tables(), self._store.columns)
                turn.run(items)
                self._loader.work()
            self._inbox[:0] = turn.postponed
            again = turn.unanswered
            _deliver(context.outbound)

    def _note(self, problem: Exception) -> None:
        self.problems.append(_cause(problem))


def _deliver(outbound: Outbound) -> None:
    for refs, event in outbound:
        for listener, number, _ in refs:
            listener.hear(number, event)


def _cause(problem: Exception) -> Exception:
    """Return what the project's own code has raised."""
    cause = problem.__cause__
    return (
        cause if isinstance(problem, PermissionFailed) and isinstance(cause, Exception) else problem
    )


class InlineLoader(Loader):
    """Loads big views right after the turn that found them big."""

    def __init__(self, alias: str, done: Callable[[Result], None]) -> None:
        super().__init__(alias, done)
        self._asked: list[Wanted] = []

    def load(self, wanted: Wanted) -> None:
        """Remember views to load."""
        self._asked.append(wanted)

    def work(self) -> None:
        """Load what was asked for; the results go to the next turn."""
        asked, self._asked = self._asked, []
        for wanted in asked:
            for place in range(len(wanted.lives)):
                self._read(wanted.those([place]))

    def _read(self, wanted: Wanted) -> None:
        recorder, began = Recorder(), time.monotonic()
        problem: Exception | None = None
        rows: list[Rows | None] = [None]
        try:
            with guarded(self._alias), recorder.watching(self._alias):
                rows[:] = apart(lambda: read_whole(wanted.queries, recorder, Pacer(math.inf)))
        except Exception as raised:  # handed on: the turn sets the view aside and keeps it
            problem = raised
        for loaded in wanted.came_to(
            rows, position=wanted.since, recorder=recorder, began=began, problem=problem
        ):
            self._done(loaded)


@contextmanager
def _reading(alias: str) -> Iterator[None]:
    """Read on this thread's connection, in its transaction if there is one; write nothing."""
    connection = connections[alias]
    try:
        read_only = _READ_ONLY.get(connection.vendor, nullcontext)
        with reading_from(alias), transaction.atomic(using=alias), read_only(connection):
            yield
    except SynchronousOnlyOperation as problem:
        problem.add_note("In an async test: `await live.asubscribe(...)`, `await live.asettle()`.")
        raise


@contextmanager
def _read_only_sqlite(connection: BaseDatabaseWrapper) -> Iterator[None]:
    raw: Any = connection.connection
    raw.execute("PRAGMA query_only = ON")
    try:
        yield
    finally:
        raw.execute("PRAGMA query_only = OFF")


@contextmanager
def _read_only_postgresql(connection: BaseDatabaseWrapper) -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL transaction_read_only = on")
    try:
        yield
    finally:
        # Back to the savepoint before that, or else the test could not write any more.
        transaction.set_rollback(True, using=connection.alias)


_READ_ONLY: dict[str, Callable[[Any], AbstractContextManager[None]]] = {
    "postgresql": _read_only_postgresql,
    "sqlite": _read_only_sqlite,
}
"""How a transaction is kept from writing for a while; MariaDB and MySQL know of nothing."""


@contextmanager
def _quiet(problems: list[Exception]) -> Iterator[None]:
    """Log nothing of problems that the test gets itself."""

    def wanted(record: logging.LogRecord) -> bool:
        raised = record.exc_info[1] if record.exc_info else None
        if not isinstance(raised, Exception):
            return True
        return not any(_cause(raised) is problem for problem in problems)

    logger.addFilter(wanted)
    try:
        yield
    finally:
        logger.removeFilter(wanted)
