"""Big loads: a view over the cycle's row budget is read by another thread, in its own snapshot.

The view then stands at that snapshot's position; the next turn of the cycle brings it to the
present by what changed since.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue

from django.db.backends.base.base import BaseDatabaseWrapper

from bindserver.capture.log import log_of
from bindserver.conf import conf
from bindserver.dependencies import Recorder
from bindserver.engine.changes import Position
from bindserver.exceptions import Overtaken
from bindserver.forks import working
from bindserver.live import LiveView
from bindserver.pace import Pacer, collector
from bindserver.queries import Rows
from bindserver.snapshot import connect, open_connection, snapshot, vouch
from bindserver.watchdog import Watchdog

LOAD_PATIENCE = 6
"""A big load may take so many times as long as a query of the cycle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What a load came to: rows at a position, or what went wrong."""

    live: LiveView
    rows: Rows | None
    position: Position
    recorder: Recorder
    problem: Exception | None = None


class Loader:
    """Loads views one after the other.

    Args:
        alias: the database.
        done: takes each result, on the loader's thread.
    """

    def __init__(self, alias: str, done: Callable[[Loaded], None]) -> None:
        self._alias = alias
        self._done = done
        self._wanted: SimpleQueue[tuple[LiveView, Position | None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def load(self, live: LiveView, position: Position | None) -> None:
        """Load a view; the result comes through `done`.

        Args:
            live: the view.
            position: what the rows are at least as new as, where the load's own snapshot cannot
                tell its position.
        """
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name=f"bindserver-loader-{self._alias}", daemon=True
            )
            self._thread.start()
        self._wanted.put((live, position))

    def stop(self) -> None:
        """End the thread when it has done what it is at."""
        if self._thread is not None:
            self._wanted.put(None)
            self._thread.join()

    def _run(self) -> None:
        connection = open_connection(self._alias)
        watchdog = Watchdog(connection)
        try:
            while (wanted := self._wanted.get()) is not None:
                loaded = None
                while loaded is None:
                    with working, watchdog.patience(_longest() + conf.STALE_SECONDS):
                        loaded = self._load(*wanted, connection)
                self._done(loaded)
        finally:
            watchdog.close()
            connection.close()

    def _load(
        self, live: LiveView, known: Position | None, connection: BaseDatabaseWrapper
    ) -> Loaded | None:
        """Load a view, unless somebody overtakes the snapshot."""
        pacer = Pacer(_longest())
        recorder = Recorder()
        position = known or Position(epoch="", mark="")
        try:
            connect(connection)
            with collector.resting(), snapshot(connection, pacer):
                if known is None:
                    position = log_of(connection).position()
                with recorder.watching(self._alias):
                    rows = live.query.load(recorder, pacer)
                vouch(self._alias, recorder.tables)
        except Overtaken:
            return None
        except Exception as problem:  # handed on: the cycle sets the view aside and logs it
            connection.close()
            return Loaded(
                live=live, rows=None, position=position, recorder=recorder, problem=problem
            )
        return Loaded(live=live, rows=rows, position=position, recorder=recorder)


def _longest() -> float:
    """Return how long a load may take, in seconds."""
    return float(conf.QUERY_SECONDS * LOAD_PATIENCE)
