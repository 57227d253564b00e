"""Big loads: a view over the cycle's row budget is read by another thread, in its own snapshot.

The view then stands at that snapshot's position; the next turn of the cycle brings it to the
present by what changed since.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

from bindserver.capture.log import log_of
from bindserver.conf import conf
from bindserver.dependencies import Recorder
from bindserver.engine.changes import Position
from bindserver.forks import working
from bindserver.live import LiveView
from bindserver.pace import Pacer, collector
from bindserver.queries import SLOTS_PER_QUERY, Rows
from bindserver.snapshot import connect, open_connection, snapshot

LOAD_PATIENCE = 6
"""A big load may take so many times as long as a query of the cycle."""

VIEWS_AT_ONCE = SLOTS_PER_QUERY
"""Views of one shape are loaded so many at a time, so that the first need not wait for the last."""


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
        self._wanted: SimpleQueue[tuple[Sequence[LiveView], Position | None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def load(self, lives: Sequence[LiveView], position: Position | None) -> None:
        """Load views of one shape, or one view of any; the results come through `done`.

        Args:
            lives: the views.
            position: what the rows are at least as new as, where the load's own snapshot cannot
                tell its position.
        """
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name=f"bindserver-loader-{self._alias}", daemon=True
            )
            self._thread.start()
        for start in range(0, len(lives), VIEWS_AT_ONCE):
            self._wanted.put((lives[start : start + VIEWS_AT_ONCE], position))

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
                    results = self._load_all(*wanted, connection)
                for loaded in results:
                    self._done(loaded)
        finally:
            connection.close()

    def _load_all(
        self, lives: Sequence[LiveView], known: Position | None, connection: BaseDatabaseWrapper
    ) -> list[Loaded]:
        """Load views together; one by one if that fails, so that it fails one of them alone."""
        results = self._load(lives, known, connection)
        if len(lives) == 1 or results[0].problem is None or not _is_there(connection):
            return results
        return [loaded for live in lives for loaded in self._load([live], known, connection)]

    def _load(
        self, lives: Sequence[LiveView], known: Position | None, connection: BaseDatabaseWrapper
    ) -> list[Loaded]:
        pacer = Pacer(conf.QUERY_SECONDS * LOAD_PATIENCE)
        recorder = Recorder()
        position = known or Position(epoch="", mark="")
        dealt: list[Rows | None] = [None] * len(lives)
        problem: Exception | None = None
        try:
            connect(connection)
            with collector.resting(), snapshot(connection, pacer):
                if known is None:
                    position = log_of(connection).position()
                with recorder.watching(self._alias):
                    dealt[:] = read_whole(lives, recorder, pacer)
        except Exception as raised:  # handed on: the cycle sets the view aside and logs it
            connection.close()
            problem = raised
        return [
            Loaded(live=live, rows=rows, position=position, recorder=recorder, problem=problem)
            for live, rows in zip(lives, dealt, strict=True)
        ]


def _is_there(connection: BaseDatabaseWrapper) -> bool:
    """Tell whether the database can be reached; if not, that is what went wrong for all."""
    try:
        connect(connection)
    except DatabaseError:
        return False
    return True


def read_whole(lives: Sequence[LiveView], recorder: Recorder, pacer: Pacer) -> list[Rows]:
    """Read all rows of one view, or of several of one shape in as few queries as that takes."""
    query = lives[0].query
    if len(lives) == 1:
        return [query.load(recorder, pacer)]
    dealt = query.load_together({live.query.slot for live in lives}, recorder, pacer)
    return [dealt[live.query.slot] for live in lives]
