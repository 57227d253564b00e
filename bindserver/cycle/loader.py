"""Big loads: a view over the cycle's row budget is read by another thread, in its own snapshot.

The view then stands at that snapshot's position; the next turn of the cycle brings it to the
present by what changed since.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from queue import SimpleQueue

from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from bindserver.capture.log import log_of
from bindserver.conf import conf
from bindserver.cycle.live_view import LiveView
from bindserver.database import database_of
from bindserver.database.pacing import Pacer, collector
from bindserver.database.snapshot import connect, open_connection, snapshot, vouch
from bindserver.database.watchdog import Watchdog
from bindserver.engine.changes import Position
from bindserver.exceptions import Overtaken, Unavailable
from bindserver.forks import working
from bindserver.queries.dependencies import Recorder
from bindserver.queries.learning import LearningRecorder
from bindserver.queries.query import SLOTS_PER_QUERY, Query
from bindserver.queries.rows import Rows
from bindserver.user_code import apart

LOAD_PATIENCE = 6
"""A big load may take so many times as long as a query of the cycle."""

VIEWS_AT_ONCE = SLOTS_PER_QUERY
"""Views of one shape are loaded so many at a time, so that the first need not wait for the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What a load came to: rows at a position, or what went wrong.

    Attributes:
        query: what was read; the view's own may be another by now.
        began: when, on the monotonic clock; what was committed before is in the rows.
        seconds: how long it took, of this one where several views were read together.
    """

    live: LiveView
    query: Query
    rows: Rows | None
    position: Position
    recorder: Recorder
    began: float
    seconds: float = 0.0
    problem: Exception | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Views to be loaded together: some of one shape, or one of any.

    Attributes:
        since: the position of the turn that wants them.
        durable: whether the snapshot of the load can tell its position, which else is `since`.
        queries: what the views read when they were wanted.
    """

    lives: Sequence[LiveView]
    since: Position
    durable: bool
    queries: Sequence[Query] = ()

    def __post_init__(self) -> None:
        if not self.queries:
            object.__setattr__(self, "queries", [live.query for live in self.lives])

    def some(self, start: int, stop: int) -> Wanted:
        """Return what is wanted of some of the views."""
        lives, queries = self.lives[start:stop], self.queries[start:stop]
        return replace(self, lives=lives, queries=queries)


class Loader:
    """Loads views one after the other.

    Args:
        alias: the database.
        done: takes each result, on the loader's thread.
    """

    def __init__(self, alias: str, done: Callable[[Loaded], None]) -> None:
        self._alias = alias
        self._done = done
        self._wanted: SimpleQueue[Wanted | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._watchdog: Watchdog | None = None
        self._pacer = Pacer(0)
        self._stopping = False

    def load(self, wanted: Wanted) -> None:
        """Load views; the results come through `done`."""
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name=f"bindserver-loader-{self._alias}", daemon=True
            )
            self._thread.start()
        for start in range(0, len(wanted.lives), VIEWS_AT_ONCE):
            self._wanted.put(wanted.some(start, start + VIEWS_AT_ONCE))

    def give_up(self) -> None:
        """Let what is being loaded fail now: the database has been lost, to others too."""
        if self._watchdog is not None:
            self._watchdog.give_up()

    def stop(self) -> None:
        """End the thread, and what it is at."""
        if self._thread is not None:
            self._stopping = True
            self._pacer.expire()
            self.give_up()
            self._wanted.put(None)
            self._thread.join()

    def _run(self) -> None:
        connection = open_connection(self._alias)
        watchdog = self._watchdog = Watchdog(connection)
        try:
            while (wanted := self._wanted.get()) is not None and not self._stopping:
                with working, watchdog.patience(_longest() + conf.STALE_SECONDS):
                    results = self._load_all(wanted, connection)
                for loaded in results:
                    self._done(loaded)
        finally:
            watchdog.close()
            connections.close_all()  # this thread's: serializers may have read from others

    def _load_all(self, wanted: Wanted, connection: BaseDatabaseWrapper) -> list[Loaded]:
        """Load views together; one by one if that fails, so that it fails one of them alone."""
        results = self._load_patiently(wanted, connection)
        if len(results) == 1 or results[0].problem is None:
            return results
        if self._stopping or not _is_there(connection):
            return results
        alone = [wanted.some(at, at + 1) for at in range(len(wanted.lives))]
        return [loaded for one in alone for loaded in self._load_patiently(one, connection)]

    def _load_patiently(self, wanted: Wanted, connection: BaseDatabaseWrapper) -> list[Loaded]:
        """Load views in another snapshot as often as somebody overtakes it."""
        while True:
            results = self._load(wanted, connection)
            if self._stopping or not isinstance(results[0].problem, Overtaken):
                return results

    def _load(self, wanted: Wanted, connection: BaseDatabaseWrapper) -> list[Loaded]:
        pacer = self._pacer = Pacer(_longest())
        if self._stopping:
            pacer.expire()
        recorder, position, began = LearningRecorder(), wanted.since, time.monotonic()
        rows_by_slot: list[Rows | None] = [None] * len(wanted.lives)
        problem: Exception | None = None
        try:
            connect(connection)
            with collector.resting(), snapshot(connection, pacer):
                if wanted.durable:
                    position = log_of(connection).position(wanted.since)
                with recorder.watching(self._alias):
                    rows_by_slot[:] = apart(lambda: read_whole(wanted.queries, recorder, pacer))
                vouch(self._alias, recorder.tables)
        except Exception as raised:  # handed on: the cycle sets the view aside and logs it
            problem = _told(raised, connection)
            connection.close()
        seconds = (time.monotonic() - began) / len(wanted.lives)
        return [
            Loaded(
                live=live,
                query=query,
                rows=rows,
                position=position,
                recorder=recorder,
                began=began,
                seconds=seconds,
                problem=problem,
            )
            for live, query, rows in zip(wanted.lives, wanted.queries, rows_by_slot, strict=True)
        ]


def _told(raised: Exception, connection: BaseDatabaseWrapper) -> Exception:
    """Return what went wrong with a load: nothing that is a binding's fault, if the connection that
    it was read by is gone."""
    if database_of(connection.vendor).lost(connection, raised):
        lost = Unavailable()
        lost.__cause__ = raised
        return lost
    return raised


def _is_there(connection: BaseDatabaseWrapper) -> bool:
    """Return whether the database can be reached; if not, that is what went wrong for all."""
    try:
        connect(connection)
    except DatabaseError:
        return False
    return True


def read_whole(queries: Sequence[Query], recorder: Recorder, pacer: Pacer) -> list[Rows]:
    """Read all rows of one view, or of several of one shape in as few queries as that takes."""
    if len(queries) == 1 or queries[0].window is not None:
        return [query.load_held(recorder, pacer) for query in queries]
    rows_by_slot = queries[0].load_together({query.slot for query in queries}, recorder, pacer)
    return [rows_by_slot[query.slot] for query in queries]


def _longest() -> float:
    """Return how long a load may take, in seconds."""
    return float(conf.QUERY_SECONDS * LOAD_PATIENCE)
