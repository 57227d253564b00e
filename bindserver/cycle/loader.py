"""Big loads: a view over the cycle's row budget is read by another thread, in its own snapshot.

A view then stands at that snapshot's position; the next turn of the cycle brings it to the
present by what changed since.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from bindserver.conf import conf
from bindserver.cycle.claims import Claim
from bindserver.cycle.figures import LoadFigures
from bindserver.cycle.load_messages import Audited, Loaded, Result, Unneeded, Wanted
from bindserver.cycle.load_queue import LoadQueue
from bindserver.cycle.loading import audit, is_there, load
from bindserver.database.pacing import Pacer
from bindserver.database.snapshot import open_connection
from bindserver.database.watchdog import Watchdog
from bindserver.exceptions import Interrupted, Overtaken
from bindserver.forks import working
from bindserver.queries.reading import SLOTS_PER_QUERY
from bindserver.queries.rows import OverBudget
from bindserver.supervision import Supervised
from bindserver.tracing import Span, Value, span

LOAD_PATIENCE = 6
"""A big load may take so many times as long as a query of the cycle."""

VIEWS_AT_ONCE = SLOTS_PER_QUERY
"""Views of one shape are loaded so many at a time, so that the first need not wait for the last."""


class Loader:
    """Loads views one after the other.

    Args:
        alias: the database.
        done: takes each result, on the loader's thread, those of audits too.

    Attributes:
        figures: its work in numbers.
    """

    def __init__(self, alias: str, done: Callable[[Result], None]) -> None:
        self.figures = LoadFigures()
        self._alias = alias
        self._done = done
        self._wanted: LoadQueue[Wanted, Claim] = LoadQueue()
        self._thread: Supervised | None = None
        self._at_hand: tuple[Wanted, float] | None = None
        self._watchdog: Watchdog | None = None
        self._pacer = Pacer(0)
        self._way = threading.Lock()
        self._auditing: tuple[Claim, Pacer] | None = None
        self._stopping = False

    def load(self, wanted: Wanted) -> None:
        """Load views; the results come through `done`. An audit makes way."""
        self._begin()
        for start in range(0, len(wanted.lives), VIEWS_AT_ONCE):
            some = wanted.some(start, start + VIEWS_AT_ONCE)
            self._wanted.put(some, some.client())
        self._have_way_made()

    def audit(self, claim: Claim) -> None:
        """Compare what a view says with the database when there is nothing to load; the result
        comes through `done`."""
        self._begin()
        self._wanted.put_last(claim)

    def _have_way_made(self) -> None:
        """Have an audit give up now, though it waits for the database: nobody waits for it."""
        with self._way:
            if self._auditing is not None:
                self._auditing[1].expire()
                if self._watchdog is not None:
                    self._watchdog.give_up()

    def _begin(self) -> None:
        if self._thread is None:
            self._thread = Supervised(
                f"bindserver-loader-{self._alias}",
                f"loader {self._alias}",
                self._run,
                recover=self._recover,
            )
            self._thread.start()

    @property
    def waiting(self) -> int:
        """How many loads wait."""
        return len(self._wanted)

    def give_up(self) -> None:
        """Let what is being loaded fail now: the database has been lost, to others too."""
        if self._watchdog is not None:
            self._watchdog.give_up()

    def stop(self) -> None:
        """End the thread, and what it is at."""
        if self._thread is not None:
            self._stopping = True
            self._thread.stop()
            self._pacer.expire()
            self.give_up()
            self._wanted.close()
            self._thread.join()

    def overdue(self) -> float:
        """Return for how many seconds the present load has been at it, if that is longer than any
        may take; else 0. From any thread."""
        at_hand = self._at_hand
        seconds = 0.0 if at_hand is None else time.monotonic() - at_hand[1]
        return seconds if seconds > _longest() + conf.STALE_SECONDS else 0.0

    def _run(self) -> None:
        connection = open_connection(self._alias)
        watchdog = self._watchdog = Watchdog(connection)
        try:
            while (wanted := self._wanted.get()) is not None and not self._stopping:
                if isinstance(wanted, Claim):
                    with working, watchdog.patience(_longest() + conf.STALE_SECONDS):
                        self._done(self._audit(wanted, connection))
                    self._end_audit(connection)
                else:
                    self._load_some(wanted, connection, watchdog)
        finally:
            watchdog.close()
            connections.close_all()  # this thread's: serializers may have read from others

    def _load_some(
        self, wanted: Wanted, connection: BaseDatabaseWrapper, watchdog: Watchdog
    ) -> None:
        """Load what is still needed of some views."""
        self._at_hand = wanted, time.monotonic()
        needed, results = _parted(wanted)
        for loaded in results:
            self._done(loaded)
        if needed.lives:
            patience = watchdog.patience(_longest() + conf.STALE_SECONDS)
            with working, patience, self.figures.measured(), self._span(needed):
                for loaded in self._load_all(needed, connection):
                    self._done(loaded)
        self._at_hand = None

    def _span(self, wanted: Wanted) -> AbstractContextManager[Span]:
        """Return a span around a load."""
        first = wanted.lives[0]
        about: dict[str, Value] = {
            "bindserver.database": self._alias,
            "bindserver.event": first.event or first.binding.__name__,
            "bindserver.views": len(wanted.lives),
        }
        return span("bindserver.load", about)

    def _recover(self) -> None:
        """Give up what was being loaded when the thread failed: those views are tried again."""
        if self._auditing is not None:
            (claim, _), self._auditing = self._auditing, None
            self._done(Audited.in_vain(claim, claim.since, time.monotonic()))
        if self._at_hand is None:
            return
        (wanted, began), self._at_hand = self._at_hand, None
        for loaded in wanted.unread(began, Interrupted()):
            self._done(loaded)

    def _load_all(self, wanted: Wanted, connection: BaseDatabaseWrapper) -> Iterator[Loaded]:
        """Load views together, and yield what each came to; half of them after the other if they
        have too many rows; one by one if that fails, so that it fails one of them alone."""
        results = self._load_patiently(wanted, connection)
        if len(results) == 1 or results[0].problem is None:
            yield from results
        elif isinstance(results[0].problem, OverBudget):
            half = len(wanted.lives) // 2
            for some in (wanted.some(0, half), wanted.some(half, len(wanted.lives))):
                yield from self._load_all(some, connection)
        elif self._stopping or not is_there(connection):
            yield from results
        else:
            for at in range(len(wanted.lives)):
                yield from self._load_patiently(wanted.some(at, at + 1), connection)

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
        return load(self._alias, wanted, connection, pacer)

    def _end_audit(self, connection: BaseDatabaseWrapper) -> None:
        """Let nobody end the connection for the audit's sake any more."""
        with self._way:
            was_told = self._auditing is not None and self._auditing[1].expired()
            self._auditing = None
        if was_told:  # perhaps a moment after it had been done
            connection.close()

    def _audit(self, claim: Claim, connection: BaseDatabaseWrapper) -> Audited:
        pacer = Pacer(_longest())
        self._auditing, self._pacer = (claim, pacer), pacer
        if self._stopping or self.waiting:  # what came before it could be told to make way
            pacer.expire()
        return audit(self._alias, claim, connection, pacer, lambda: self.waiting > 0)


def _parted(wanted: Wanted) -> tuple[Wanted, list[Loaded]]:
    """Return what is wanted still, and what has become of the rest: nothing was read.

    A view's followers belong to another thread. Whether there are any is one look that may be old
    by a moment: who comes after it has the view loaded again.
    """
    needed, gone = list[int](), list[int]()
    for at, live in enumerate(wanted.lives):
        (needed if live.wanted else gone).append(at)
    if not gone:
        return wanted, []
    return wanted.those(needed), wanted.those(gone).unread(time.monotonic(), Unneeded())


def _longest() -> float:
    """Return how long a load may take, in seconds."""
    return float(conf.QUERY_SECONDS * LOAD_PATIENCE)
