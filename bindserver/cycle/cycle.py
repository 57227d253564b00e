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
from bindserver.cycle.context import TurnContext
from bindserver.cycle.delivery import Fanout, Outbound
from bindserver.cycle.failure_log import FailureLog
from bindserver.cycle.inbox import Hint, Request
from bindserver.cycle.lag import LaggingViews, LagReason, lagging_views
from bindserver.cycle.loader import Loaded, Loader
from bindserver.cycle.outage import out_of_reach, refuse
from bindserver.cycle.turn import Turn
from bindserver.cycle.view_store import ViewStore
from bindserver.database.pacing import Pacer, collector
from bindserver.database.row_security import RowSecurity
from bindserver.database.snapshot import connect, open_connection, snapshot
from bindserver.database.watchdog import Watchdog
from bindserver.engine.changes import Position
from bindserver.exceptions import BindserverError, CaptureError, LogInstalled, LogRemoved
from bindserver.forks import working

logger = logging.getLogger("bindserver")

RECONNECT_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
CHORES_SECONDS = 10.0
BUSY_CHORES_SECONDS = 0.2

NEVER = float("inf")

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
        self._inbox: deque[Request | Loaded] = deque()
        self._bell = threading.Condition()
        self._stopping = False
        self._fanout = Fanout()
        self._pacer = Pacer(conf.QUERY_SECONDS)
        self._store = ViewStore(alias, secret, fallbacks)
        self._loader = Loader(alias, self._put)
        self._failure_log = FailureLog()
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
        self._thread = threading.Thread(
            target=self._run, name=f"bindserver-cycle-{alias}", daemon=True
        )

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and wait until it has."""
        with self._bell:
            self._stopping = True
            self._bell.notify()
        if self._thread.is_alive():
            self._thread.join()

    def ask(self, request: Request) -> None:
        """Hand in a request, from any thread."""
        self._put(request)

    def lag(self) -> float:
        """Return for how many seconds the view furthest behind has not been known to be as the
        database is, of those that are neither set aside nor being loaded."""
        behind = [s.since for s in self._lagging if s.reason is LagReason.BEHIND]
        since, now = self._behind_since, time.monotonic()
        return now - min([now if since is None else since, *behind])

    def by_row(self) -> frozenset[str] | None:
        """Return the tables of which the database shows the server's role some rows only; None
        where it was not asked yet."""
        return self._store.by_row

    def lagging_views(self) -> tuple[LaggingViews, ...]:
        """Return the views that the last turn has not brought to what the database holds."""
        return self._lagging

    def _put(self, item: Request | Loaded) -> None:
        with self._bell:
            self._inbox.append(item)
            self._bell.notify()

    def _put_back(self, items: Sequence[Request | Loaded]) -> None:
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
            items = self._wait()
            if self._stopping:
                refuse(items)
                break
            self._fall_behind()
            with working:
                try:
                    with self._patience(conf.QUERY_SECONDS + conf.STALE_SECONDS):
                        self._turn(items)
                except Exception as problem:
                    self._lost(problem, items)
                else:
                    self._behind_since = None
        self._loader.stop()
        self._disconnect()
        connections.close_all()  # this thread's: bindings may have read from other databases

    def _wait(self) -> list[Request | Loaded]:
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
                timeout = min(until - now, pause)
                if not self._rung:
                    self._bell.wait(timeout if timeout < NEVER else None)
                self._rung = False
        with self._bell:
            items = list(self._inbox)
            self._inbox.clear()
            return items

    def _looked_at(self) -> Source | None:
        """Return the source, if commits are to be looked for in it."""
        if self._source is None or not self._source.polls or not self._store.watched():
            return None
        return self._source

    def _has_moved(self, source: Source | None) -> bool:
        if source is None:
            return False
        self._fall_behind()
        try:
            with working, self._patience(conf.STALE_SECONDS):
                moved = source.moved()
        except Exception:
            return True  # the turn will meet the same error, and deal with it
        if not moved:
            self._behind_since = None
        return moved

    def _fall_behind(self) -> None:
        """Take views for old until the database says that they are not."""
        if self._behind_since is None:
            self._behind_since = time.monotonic()

    def _until(self) -> float:
        """Return when a turn is due by the monotonic clock, whether or not anybody rings."""
        if self._source is None:
            return self._retry_at if self._losses else NEVER
        if not self._store.watched():  # a log grows whether or not anybody looks at views
            keeps = self._source.polls or self._store.views()
            return self._chores_at if keeps else NEVER
        compare_at = self._source.due()
        return min(self._chores_at, self._store.due(), NEVER if compare_at is None else compare_at)

    def _turn(self, items: list[Request | Loaded]) -> None:
        """Take a turn, by another source if the change log has come or gone."""
        try:
            self._take_turn(items)
        except (LogRemoved, LogInstalled) as change:
            logger.warning("bindserver: database %r: %s", self.alias, change)
            self._drop_source()
            self._take_turn(items)

    def _take_turn(self, items: list[Request | Loaded]) -> None:
        connection, source = self._connect()
        for item in items:
            if isinstance(item, Hint):
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
        self._turned_at = time.monotonic()
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
        items: list[Request | Loaded],
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
        except (DatabaseError, CaptureError) as problem:
            logger.warning("bindserver: the change log cannot be purged: %s", problem)

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

    def _lost(self, problem: Exception, items: list[Request | Loaded]) -> None:
        """Ride out a lost database: subscribers keep what they have, and hear that it is old."""
        delay = RECONNECT_SECONDS[min(self._losses, len(RECONNECT_SECONDS) - 1)]
        self._retry_at = time.monotonic() + delay
        self._losses += 1
        if self._losses == 1 or type(problem) is not self._told:  # it may have come back a standby
            self._told = type(problem)
            self._tell_loss(problem)
        self._disconnect()
        self._loader.give_up()
        outbound = out_of_reach(self._store, items)
        if outbound:
            self._fanout.send(outbound, "", self._fanout.behind)

    def _tell_loss(self, problem: Exception) -> None:
        if isinstance(problem, OperationalError | InterfaceError | BindserverError):
            (first, *_) = str(problem).strip().splitlines() or [type(problem).__name__]
            logger.error("bindserver: database %r cannot be followed: %s", self.alias, first)
        else:
            logger.error("bindserver: a turn on %r failed", self.alias, exc_info=problem)
