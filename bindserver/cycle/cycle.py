"""The cycle: one thread for each database, which alone touches views.

    woken (hint, poll, request)
      -> open one snapshot transaction
      -> what changed since each view's position?
      -> which views can that touch?
      -> read those rows again, diff, publish
      -> serve requests in the same snapshot: resolve, load what is small, answer
      -> close the transaction; hand the frames to the loops

Big loads are the loader's. A view that fails is set aside, and read whole when it is tried again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import AbstractContextManager

from django.db import DatabaseError, InterfaceError, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from bindserver.capture.sources import Source, source_of
from bindserver.conf import conf
from bindserver.cycle.budget import BudgetFacts
from bindserver.cycle.context import TurnContext
from bindserver.cycle.delivery import Fanout, Outbound
from bindserver.cycle.failure_log import FailureLog
from bindserver.cycle.figures import CycleFigures, LoadFigures
from bindserver.cycle.inbox import (
    CommandKind,
    Hint,
    ReadRequest,
    Request,
    SnapshotRequest,
    ViewCommand,
)
from bindserver.cycle.lag import LaggingViews, LagReason, lagging_views
from bindserver.cycle.live_view import LiveView
from bindserver.cycle.loader import Audited, Loader, Result
from bindserver.cycle.outage import out_of_reach, refuse, refuse_at_once
from bindserver.cycle.pulse import DATABASE_ERRORS, Pulse
from bindserver.cycle.turn import Turn
from bindserver.cycle.view_store import ViewStore
from bindserver.database import database_of
from bindserver.database.pacing import Pacer, collector
from bindserver.database.row_security import RowSecurity
from bindserver.database.snapshot import connect, open_connection, snapshot
from bindserver.database.watchdog import Watchdog
from bindserver.engine.changes import Position
from bindserver.exceptions import BindserverError, CaptureError, LogInstalled, LogRemoved
from bindserver.forks import working
from bindserver.logs import Repeats
from bindserver.supervision import Supervised
from bindserver.tracing import Span, Value, span

logger = logging.getLogger("bindserver.cycle")
_repeats = Repeats(logger)

RECONNECT_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
CHORES_SECONDS = 10.0
BUSY_CHORES_SECONDS = 0.2

NEVER = float("inf")

BEAT_SECONDS = 2.0
"""How often probes want to know whether the database is there, where nobody asks it otherwise."""

QUIET_SECONDS = 2.0
"""When nothing was written for so long, it counts as quiet."""


class Cycle:
    """The thread that keeps the views of one database.

    Args:
        alias: the database.
        secret: seals cursors.
        fallbacks: what they were sealed with before.
    """

    def __init__(self, alias: str, secret: bytes, fallbacks: Sequence[bytes] = ()) -> None:
        self.alias = alias
        self._inbox: deque[Request | Result] = deque()
        self._at_hand: list[Request | Result] = []
        self._asking: dict[int, SnapshotRequest | ReadRequest] = {}
        self._bell = threading.Condition()
        self._stopping = False
        self._fanout = Fanout()
        self._pacer = Pacer(conf.QUERY_SECONDS)
        self._store = ViewStore(alias, secret, fallbacks)
        self._loader = Loader(alias, self._put)
        self._failure_log = FailureLog(figures=self.figures)
        self._connection: BaseDatabaseWrapper | None = None
        self._watchdog: Watchdog | None = None
        self._source: Source | None = None
        self._row_security: RowSecurity | None = None
        self._losses = 0
        self._told: type[Exception] | None = None
        self._retry_at = 0.0
        self._chores_at = 0.0
        self._turned_at = 0.0
        self._behind_since: float | None = None
        self._lagging: tuple[LaggingViews, ...] = ()
        self._rung = False
        self._pulse = Pulse()
        self._beat_at = NEVER
        self._thread = Supervised(
            f"bindserver-cycle-{alias}",
            f"cycle {alias}",
            self._run,
            recover=self._recover,
            end=self._end,
        )

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and wait until it has."""
        with self._bell:
            self._stopping = True
            self._bell.notify()
        self._thread.stop()
        self._thread.join()

    def ask(self, request: Request) -> None:
        """Hand in a request, from any thread."""
        if isinstance(request, SnapshotRequest | ReadRequest):
            self._asking[id(request)] = request
            request.answer.add_done_callback(lambda _: self._asking.pop(id(request), None))
        self._put(request)
        if self._thread.is_down:
            left = refuse_at_once(self._take_items())
            if not self._thread.is_gone:  # nobody would ever take them
                self._put_back(left)

    def watch(self) -> Pulse:
        """Keep what probes ask for known, though nobody asks for rows; return it."""
        if self._beat_at == NEVER:
            self._beat_at = 0.0
            self._put(Hint())
        return self._pulse

    def troubles(self) -> dict[str, str]:
        """Return what is wrong, in words for probes, by part."""
        told = {f"{part} {self.alias}": how for part, how in self._pulse.troubles().items()}
        if seconds := self._loader.overdue():
            told[f"loader {self.alias}"] = f"one load has not ended for {seconds:.0f} s"
        return told

    @property
    def needs_hints(self) -> bool:
        """Whether writes of other processes are learned from the channel layer: no change log is
        followed."""
        source = self._source
        return conf.CAPTURE == "signals" if source is None else not source.durable

    def lag(self) -> float:
        """Return for how many seconds the view furthest behind has not been known to be as the
        database is, of those that are neither set aside nor being loaded."""
        behind = [s.since for s in self._lagging if s.reason is LagReason.BEHIND]
        since, now = self._behind_since, time.monotonic()
        return now - min([now if since is None else since, *behind])

    def budget(self) -> BudgetFacts:
        """Return what the views take, and who has most of them, as it was some seconds ago."""
        return self._store.room.facts

    def by_row(self) -> frozenset[str] | None:
        """Return the tables of which the database shows the server's role some rows only; None
        where it was not asked yet."""
        return self._store.by_row

    def lagging_views(self) -> tuple[LaggingViews, ...]:
        """Return the views that the last turn has not brought to what the database holds."""
        return self._lagging

    def views(self) -> list[LiveView]:
        """Return the views there are, for a thread that looks at them by `view_facts`."""
        return self._store.views()

    @property
    def capture(self) -> str:
        """What its changes are learned from; nothing while the database is out of reach."""
        source = self._source
        return "" if source is None else source.name

    @property
    def figures(self) -> CycleFigures:
        """What it holds and does, in numbers."""
        return self._store.figures

    @property
    def load_figures(self) -> tuple[LoadFigures, int]:
        """What its loader does, in numbers, and how many loads wait for it."""
        return self._loader.figures, self._loader.waiting

    def _put(self, item: Request | Result) -> None:
        with self._bell:
            self._inbox.append(item)
            self._bell.notify()

    def _put_back(self, items: Sequence[Request | Result]) -> None:
        with self._bell:
            self._inbox.extendleft(reversed(items))

    def _ring(self) -> None:
        """Have a waiting thread look at once, or the present look followed by another."""
        with self._bell:
            self._rung = True
            self._bell.notify()

    # The thread.

    def _run(self) -> None:
        while not self._stopping:
            items = self._at_hand = self._wait()
            if self._stopping:
                break
            self._fall_behind()
            patience = conf.QUERY_SECONDS + conf.STALE_SECONDS
            self._pulse.turns(patience)
            with working:
                try:
                    with (
                        self._patience(patience),
                        self.figures.turns.measured(),
                        self._span(len(items)),
                    ):
                        self._turn(items)
                except Exception as problem:
                    if not self._is_outage(problem):
                        raise  # a fault of ours: nobody knows what state views are in
                    self._lost(problem, items)
                else:
                    self._behind_since = None
                    self._answered()
            self._at_hand = []

    def _end(self) -> None:
        refuse(self._at_hand)
        self._loader.stop()
        self._disconnect()
        connections.close_all()  # this thread's: bindings may have read from other databases

    def _recover(self) -> None:
        """Put in order what a turn has left that failed by a fault of ours: who waits is told, and
        everything is read afresh."""
        items, self._at_hand = self._at_hand, []
        if self._thread.is_down:
            items += self._take_items()
        self._disconnect()
        connections.close_all()
        self._loader.give_up()
        self._tell_outage(items)
        self._store.apply_command(ViewCommand(command=CommandKind.BUMP))
        self._put(Hint())

    def _answered(self) -> None:
        """Called when the database has answered."""
        self._pulse.answered()
        if self._beat_at < NEVER:
            self._beat_at = time.monotonic() + BEAT_SECONDS

    def _span(self, requests: int) -> AbstractContextManager[Span]:
        """Return a span around a turn."""
        about: dict[str, Value] = {"bindserver.database": self.alias}
        return span("bindserver.turn", about | {"bindserver.requests": requests})

    def _wait(self) -> list[Request | Result]:
        """Sleep until there is something to do, and return what was handed in."""
        # Asked once and not at each look: only a turn changes what is watched, and until when.
        until, source = self._until(), self._looked_at()
        # Not with the bell in hand: an event loop that rings would wait for a silent database.
        while not (self._inbox or self._stopping or self._has_moved(source)):
            with self._bell:
                now = time.monotonic()
                if self._inbox or self._stopping or until <= now:
                    break
                quiet = now >= self._turned_at + QUIET_SECONDS
                pause = NEVER if source is None else source.pause(quiet=quiet)
                timeout = min(until, now + pause, max(now, self._beats_at())) - now
                if not self._rung:
                    self._bell.wait(timeout if timeout < NEVER else None)
                self._rung = False
        return self._take_items()

    def _take_items(self) -> list[Request | Result]:
        with self._bell:
            items = list(self._inbox)
            self._inbox.clear()
            return items

    def _beats_at(self) -> float:
        """Return when the database is to be asked for probes' sake."""
        return NEVER if self._source is None else self._beat_at

    def _looked_at(self) -> Source | None:
        """Return the source, if commits are to be looked for in it."""
        if self._source is None or not self._source.polls or not self._store.watched():
            return None
        return self._source

    def _has_moved(self, source: Source | None) -> bool:
        if source is None and time.monotonic() < self._beats_at():
            return False
        self._fall_behind()
        self._pulse.looks()
        try:
            with working, self._patience(conf.STALE_SECONDS):
                moved = self._beat() if source is None else source.moved()
        except Exception:
            return True  # the turn will meet the same error, and deal with it
        self._answered()
        if not moved:
            self._behind_since = None
        return moved

    def _beat(self) -> bool:
        """Ask the database whether it is there."""
        connection = self._open()
        connect(connection)
        database_of(connection.vendor).ask(connection)
        return False

    def _fall_behind(self) -> None:
        """Take views for old until the database says that they are not."""
        if self._behind_since is None:
            self._behind_since = time.monotonic()

    def _until(self) -> float:
        """Return when a turn is due by the monotonic clock, whether or not anybody rings."""
        if self._source is None:
            return self._retry_at if self._losses or self._beat_at < NEVER else NEVER
        if not self._store.watched():  # a log grows whether or not anybody looks at views
            keeps = self._source.polls or self._store.views()
            return self._chores_at if keeps else NEVER
        compare_at = self._source.due()
        audit_at = self._store.auditor.due() if self._source.durable else NEVER
        due = min(self._chores_at, self._store.due(), audit_at)
        return due if compare_at is None else min(due, compare_at)

    def _turn(self, items: list[Request | Result]) -> None:
        """Take a turn, by another source if the change log has come or gone."""
        try:
            self._take_turn(items)
        except (LogRemoved, LogInstalled) as change:
            logger.warning("bindserver: database %r: %s", self.alias, change)
            self._drop_source()
            self._take_turn(items)

    def _take_turn(self, items: list[Request | Result]) -> None:
        began = time.monotonic()
        self._renew_connection()
        connection, source = self._connect()
        for item in items:
            if isinstance(item, Hint):
                self.figures.hints += 1
                source.compare() if item.changes is None else source.hint(item.changes)
        context = TurnContext(
            store=self._store,
            loader=self._loader,
            failure_log=self._failure_log,
            source=source,
            pacer=self._pacer,
            publish=lambda: self._publish(context, turn, source),
        )
        turn, whole = Turn(context), False
        try:
            while not self._run_in_snapshot(turn, items, connection, source):
                pass  # the schema was changed just before the snapshot
            whole = True
            self._note_lagging(context.position)
        finally:
            # What views have come to is theirs, whatever happened to the rest of the turn; but
            # nobody has all of a state then, and so nobody is told that they have.
            if whole:
                self._publish(context, turn, source)
            elif context.outbound:
                self._fanout.send(context.outbound, turn.state(), self._store.listeners())
        if self._losses:
            logger.warning("bindserver: database %r is followed again", self.alias)
        self._losses = 0
        self.figures.is_lost = False
        self._turned_at = time.monotonic()
        self._store.lanes.turn_seconds = self._turned_at - began - turn.newcomers_seconds
        if turn.postponed:
            self._put_back(turn.postponed)
        elif turn.unanswered:
            self._put(Hint())
        self._do_chores(source)

    def _publish(self, context: TurnContext, turn: Turn, source: Source) -> None:
        """Hand over what a turn has come to, and tell those that they have all of its state who
        do."""
        if context.outbound or self._fanout.behind:
            behind = self._store.lagging(context.position, source.unseen())
            self._fanout.send(context.outbound, turn.state(), behind)
            context.outbound = Outbound()

    def _note_lagging(self, position: Position) -> None:
        """Note how views stand, for threads that may not look at them."""
        since = time.monotonic() if self._behind_since is None else self._behind_since
        routing = self._store.routing
        self._lagging = lagging_views(routing.held_back(), position, since, routing.loading)

    def _run_in_snapshot(
        self,
        turn: Turn,
        items: list[Request | Result],
        connection: BaseDatabaseWrapper,
        source: Source,
    ) -> bool:
        """Run a turn, unless its snapshot shows a schema that was not prepared for."""
        source.prepare(self._store.tables(), self._store.columns)
        if self._row_security is not None:
            self._store.show(self._row_security.tables())
        self._pacer.restart()
        with collector.resting(), snapshot(connection, self._pacer):
            if source.prepared():
                turn.run(items)
                return True
        return False

    def _do_chores(self, source: Source) -> None:
        if time.monotonic() < self._chores_at:
            return
        self._chores_at = time.monotonic() + CHORES_SECONDS
        self._store.evict()
        try:
            if source.purge():
                self._chores_at = time.monotonic() + BUSY_CHORES_SECONDS
            self.figures.log = source.size()
        except (DatabaseError, CaptureError) as problem:
            what = f"the change log on {self.alias!r} cannot be purged"
            _repeats.note(what, problem, logging.WARNING, traceback=False)

    def _patience(self, seconds: float) -> AbstractContextManager[None]:
        """Wait so long at most for each answer of the database."""
        if self._watchdog is None:
            self._watchdog = Watchdog(self._open())
        return self._watchdog.patience(seconds)

    def _open(self) -> BaseDatabaseWrapper:
        if self._connection is None:
            self._connection = open_connection(self.alias)
        return self._connection

    def _connect(self) -> tuple[BaseDatabaseWrapper, Source]:
        connection = self._open()
        if self._source is None:
            connect(connection)
            self._source = source_of(connection)
            self._source.listen(self._ring)
            self._row_security = RowSecurity(connection)
        return connection, self._source

    def _renew_connection(self) -> None:
        """Let go of a connection that has died while nobody used it, as when the database was
        restarted: that alone is no outage, and who asks now need not be refused. Where there are
        views it is one, and they are told."""
        connection = self._connection
        is_open = connection is not None and connection.connection is not None
        if connection is None or not is_open or self._store.views():
            return
        try:
            database_of(connection.vendor).ask(connection)
        except Exception as problem:  # a driver's own, too
            (first, *_) = str(problem).strip().splitlines() or [type(problem).__name__]
            logger.info("bindserver: database %r is connected to anew: %s", self.alias, first)
            self._disconnect()

    def _disconnect(self) -> None:
        if self._watchdog is not None:
            self._watchdog.close()
        if self._connection is not None:
            self._connection.close()
        self._connection = self._watchdog = None
        self._drop_source()

    def _drop_source(self) -> None:
        if self._source is not None:
            self._source.close()
        self._source = None

    def _is_outage(self, problem: Exception) -> bool:
        """Return whether a turn failed because of the database, or of what was installed there:
        that is ridden out."""
        if isinstance(problem, DATABASE_ERRORS):
            return True
        self._disconnect()
        try:
            with self._patience(conf.STALE_SECONDS):
                self._beat()
        except Exception:
            return True
        return False

    def _lost(self, problem: Exception, items: list[Request | Result]) -> None:
        """Ride out a lost database: subscribers keep what they have, and hear that it is old."""
        delay = RECONNECT_SECONDS[min(self._losses, len(RECONNECT_SECONDS) - 1)]
        self._retry_at = time.monotonic() + delay
        self._losses += 1
        self.figures.is_lost = True
        if self._losses == 1 or type(problem) is not self._told:  # it may have come back a standby
            self._told = type(problem)
            self._tell_loss(problem)
        self._pulse.failed(problem)
        self._disconnect()
        self._loader.give_up()
        self._tell_outage(items)

    def _tell_outage(self, items: Sequence[Request | Result]) -> None:
        """Tell all who have rows that these may be old, and all who wait for an answer that there
        is none now."""
        outbound = out_of_reach(self._store, items)
        if any(isinstance(item, Audited) for item in items):
            self._store.auditor.forget()
        with self._bell:
            waiting = {id(item) for item in self._inbox}
        refuse(request for number, request in list(self._asking.items()) if number not in waiting)
        if outbound:
            self._fanout.send(outbound, "", self._fanout.behind)

    def _tell_loss(self, problem: Exception) -> None:
        if isinstance(problem, OperationalError | InterfaceError | BindserverError):
            (first, *_) = str(problem).strip().splitlines() or [type(problem).__name__]
            logger.error("bindserver: database %r cannot be followed: %s", self.alias, first)
        else:
            logger.error("bindserver: a turn on %r failed", self.alias, exc_info=problem)
