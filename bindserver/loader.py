"""Big loads: a view over the cycle's row budget is read by another thread, in its own snapshot.

The view then stands at that snapshot's position; the next turn of the cycle brings it to the
present by what changed since.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue

from django.db.backends.base.base import BaseDatabaseWrapper

from bindserver.capture.log import log_of
from bindserver.conf import conf
from bindserver.dependencies import Recorder
from bindserver.engine.changes import Position
from bindserver.forks import working
from bindserver.live import LiveView
from bindserver.pace import Pacer, collector
from bindserver.queries import Rows
from bindserver.snapshot import connect, open_connection, snapshot

LOAD_PATIENCE = 6
"""A big load may take so many times as long as a query of the cycle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What a load came to: rows at a position, or what went wrong.

    Attributes:
        began: when, on the monotonic clock; what was committed before is in the rows.
    """

    live: LiveView
    rows: Rows | None
    position: Position
    recorder: Recorder
    began: float
    problem: Exception | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A view to be loaded.

    Attributes:
        since: the position of the turn that wants it.
        durable: whether the snapshot of the load can tell its position, which else is `since`.
    """

    live: LiveView
    since: Position
    durable: bool


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

    def load(self, wanted: Wanted) -> None:
        """Load a view; the result comes through `done`."""
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name=f"bindserver-loader-{self._alias}", daemon=True
            )
            self._thread.start()
        self._wanted.put(wanted)

    def stop(self) -> None:
        """End the thread when it has done what it is at."""
        if self._thread is not None:
            self._wanted.put(None)
            self._thread.join()

    def _run(self) -> None:
        connection = open_connection(self._alias)
        try:
            while (wanted := self._wanted.get()) is not None:
                with working:
                    loaded = self._load(wanted, connection)
                self._done(loaded)
        finally:
            connection.close()

    def _load(self, wanted: Wanted, connection: BaseDatabaseWrapper) -> Loaded:
        pacer = Pacer(conf.QUERY_SECONDS * LOAD_PATIENCE)
        recorder, position, began = Recorder(), wanted.since, time.monotonic()
        rows, problem = None, None
        try:
            connect(connection)
            with collector.resting(), snapshot(connection, pacer):
                if wanted.durable:
                    position = log_of(connection).position(wanted.since)
                with recorder.watching(self._alias):
                    rows = wanted.live.query.load(recorder, pacer)
        except Exception as failure:  # handed on: the cycle sets the view aside and logs it
            connection.close()
            problem = failure
        return Loaded(
            live=wanted.live,
            rows=rows,
            position=position,
            recorder=recorder,
            began=began,
            problem=problem,
        )
