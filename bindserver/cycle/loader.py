"""Big loads: a view over the cycle's row budget is read by another thread, in its own snapshot.

The view then stands at that snapshot's position; the next turn of the cycle brings it to the
present by what changed since.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from bindserver.capture.log import log_of
from bindserver.conf import conf
from bindserver.cycle.claims import Claim, Comparison, compare
from bindserver.cycle.figures import LoadFigures
from bindserver.cycle.live_view import LiveView
from bindserver.cycle.load_queue import LoadQueue
from bindserver.database import database_of
from bindserver.database.pacing import Pacer, collector
from bindserver.database.snapshot import connect, open_connection, snapshot, vouch
from bindserver.database.watchdog import Watchdog
from bindserver.engine.changes import Position
from bindserver.exceptions import Interrupted, Overtaken, Unavailable
from bindserver.forks import working
from bindserver.queries import reading
from bindserver.queries.dependencies import Recorder
from bindserver.queries.learning import LearningRecorder
from bindserver.queries.query import Query
from bindserver.queries.reading import SLOTS_PER_QUERY
from bindserver.queries.rows import OverBudget, Rows
from bindserver.supervision import Supervised
from bindserver.tracing import Span, Value, span
from bindserver.user_code import apart

logger = logging.getLogger("bindserver.cycle")

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
class Audited:
    """What the audit of a view came to.

    Attributes:
        claim: what the view has said.
        comparison: how that differs from the database; None where it could not be read.
        position: the state that was read.
        recorder: the tables that were read.
        seconds: how long it took.
        made_way: whether it was given up for a load.
    """

    claim: Claim
    comparison: Comparison | None
    position: Position
    recorder: Recorder
    seconds: float
    made_way: bool = False


Result = Loaded | Audited


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
        if len(self.queries) != len(self.lives):
            object.__setattr__(self, "queries", [live.query for live in self.lives])

    def some(self, start: int, stop: int) -> Wanted:
        """Return what is wanted of some of the views."""
        return self.those(range(len(self.lives))[start:stop])

    def those(self, places: Sequence[int]) -> Wanted:
        """Return what is wanted of the views in these places."""
        lives, queries = [self.lives[at] for at in places], [self.queries[at] for at in places]
        return replace(self, lives=lives, queries=queries)

    def client(self) -> object | None:
        """Return who waits for first rows of one of the views; None where one has rows already, or
        nobody waits for any."""
        if any(live.loaded for live in self.lives):
            return None
        return next((live.first_client() for live in self.lives if live.wanted), None)


class Unneeded(Exception):
    """Nobody waits for a view any more, so that it was not read."""


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
            self._done(_unread(claim, claim.since, time.monotonic()))
        if self._at_hand is None:
            return
        (wanted, began), self._at_hand = self._at_hand, None
        for live, query in zip(wanted.lives, wanted.queries, strict=True):
            self._done(
                Loaded(
                    live=live,
                    query=query,
                    rows=None,
                    position=wanted.since,
                    recorder=LearningRecorder(),
                    began=began,
                    problem=Interrupted(),
                )
            )

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
        elif self._stopping or not _is_there(connection):
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

    def _end_audit(self, connection: BaseDatabaseWrapper) -> None:
        """Let nobody end the connection for the audit's sake any more."""
        with self._way:
            was_told = self._auditing is not None and self._auditing[1].expired()
            self._auditing = None
        if was_told:  # perhaps a moment after it had been done
            connection.close()

    def _audit(self, claim: Claim, connection: BaseDatabaseWrapper) -> Audited:
        pacer, began = Pacer(_longest()), time.monotonic()
        self._auditing, self._pacer = (claim, pacer), pacer
        recorder, position = LearningRecorder(), claim.since
        if self._stopping or len(self._wanted):  # what came before it could be told to make way
            pacer.expire()

        def read() -> Rows:
            (rows,) = read_whole([claim.query], recorder, pacer)
            return rows

        try:
            connect(connection)
            with collector.resting(), snapshot(connection, pacer):
                position = log_of(connection).position(claim.since)
                with recorder.watching(self._alias):
                    comparison = apart(lambda: compare(claim, read))
                vouch(self._alias, recorder.tables)
        except Exception as problem:
            connection.close()
            made_way = bool(len(self._wanted)) or isinstance(problem, Overtaken)
            if not made_way:
                logger.debug("bindserver: a view cannot be audited", exc_info=problem)
            return _unread(claim, position, began, made_way=made_way)
        return Audited(
            claim=claim,
            comparison=comparison,
            position=position,
            recorder=recorder,
            seconds=time.monotonic() - began,
        )


def _unread(claim: Claim, position: Position, began: float, *, made_way: bool = False) -> Audited:
    """Return that the audit of a view has come to nothing."""
    return Audited(
        claim=claim,
        comparison=None,
        position=position,
        recorder=LearningRecorder(),
        seconds=time.monotonic() - began,
        made_way=made_way,
    )


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
    dropped, now = wanted.those(gone), time.monotonic()
    return wanted.those(needed), [
        Loaded(
            live=live,
            query=query,
            rows=None,
            position=wanted.since,
            recorder=LearningRecorder(),
            began=now,
            problem=Unneeded(),
        )
        for live, query in zip(dropped.lives, dropped.queries, strict=True)
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
    """Read all rows of one view, or of several of one shape in as few queries as that takes.

    Raises:
        OverBudget: several views have more rows together than one may have: until the turn has
            taken them, no budget knows of them.
    """
    if len(queries) == 1 or queries[0].window is not None:
        return [reading.load_held(query, recorder, pacer) for query in queries]
    slots, most = {query.slot for query in queries}, queries[0].max_rows
    rows_by_slot = reading.load_together(queries[0], slots, recorder, pacer, budget=most)
    return [rows_by_slot[query.slot] for query in queries]


def _longest() -> float:
    """Return how long a load may take, in seconds."""
    return float(conf.QUERY_SECONDS * LOAD_PATIENCE)
