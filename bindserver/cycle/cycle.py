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
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager

from django.db import InterfaceError, OperationalError, connections

from bindserver.capture.sources import Source
from bindserver.conf import conf
from bindserver.cycle.budget import BudgetFacts
from bindserver.cycle.database_link import DatabaseLink
from bindserver.cycle.delivery import Fanout
from bindserver.cycle.figures import CycleFigures, LoadFigures
from bindserver.cycle.inbox import CommandKind, Hint, Request, ViewCommand
from bindserver.cycle.lag import LaggingViews, LagReason
from bindserver.cycle.live_view import LiveView
from bindserver.cycle.load_messages import Audited, Result
from bindserver.cycle.loader import Loader
from bindserver.cycle.outage import out_of_reach, refuse, refuse_at_once
from bindserver.cycle.pulse import DATABASE_ERRORS, Pulse
from bindserver.cycle.request_queue import RequestQueue
from bindserver.cycle.turn_taker import TurnTaker
from bindserver.cycle.view_store import ViewStore
from bindserver.exceptions import BindserverError, LogInstalled, LogRemoved
from bindserver.forks import working
from bindserver.supervision import Supervised
from bindserver.tracing import Span, Value, span

logger = logging.getLogger("bindserver.cycle")

RECONNECT_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
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
        self._queue = RequestQueue()
        self._at_hand: list[Request | Result] = []
        self._fanout = Fanout()
        self._store = ViewStore(alias, secret, fallbacks)
        self._loader = Loader(alias, self._queue.put)
        self._link = DatabaseLink(alias, self._queue.ring)
        self._turns = TurnTaker(self._store, self._loader, self._link, self._fanout)
        self._losses = 0
        self._told: type[Exception] | None = None
        self._retry_at = 0.0
        self._behind_since: float | None = None
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
        self._queue.close()
        self._thread.stop()
        self._thread.join()

    def ask(self, request: Request) -> None:
        """Hand in a request, from any thread."""
        self._queue.put(request)
        if self._thread.is_down:
            left = refuse_at_once(self._queue.take())
            if not self._thread.is_gone:  # nobody would ever take them
                self._queue.put_back(left)

    def watch(self) -> Pulse:
        """Keep what probes ask for known, though nobody asks for rows; return it."""
        if self._beat_at == NEVER:
            self._beat_at = 0.0
            self._queue.put(Hint())
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
        source = self._link.source
        return conf.CAPTURE == "signals" if source is None else not source.durable

    def lag(self) -> float:
        """Return for how many seconds the view furthest behind has not been known to be as the
        database is, of those that are neither set aside nor being loaded."""
        behind = [s.since for s in self._turns.lagging if s.reason is LagReason.BEHIND]
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
        return self._turns.lagging

    def views(self) -> list[LiveView]:
        """Return the views there are, for a thread that looks at them by `view_facts`."""
        return self._store.views()

    @property
    def capture(self) -> str:
        """What its changes are learned from; nothing while the database is out of reach."""
        source = self._link.source
        return "" if source is None else source.name

    @property
    def figures(self) -> CycleFigures:
        """What it holds and does, in numbers."""
        return self._store.figures

    @property
    def load_figures(self) -> tuple[LoadFigures, int]:
        """What its loader does, in numbers, and how many loads wait for it."""
        return self._loader.figures, self._loader.waiting

    # The thread.

    def _run(self) -> None:
        while not self._queue.is_closed:
            items = self._at_hand = self._wait()
            if self._queue.is_closed:
                break
            self._fall_behind()
            patience = conf.QUERY_SECONDS + conf.STALE_SECONDS
            self._pulse.turns(patience)
            with working:
                try:
                    with (
                        self._link.patience(patience),
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
        self._link.close()
        connections.close_all()  # this thread's: bindings may have read from other databases

    def _recover(self) -> None:
        """Put in order what a turn has left that failed by a fault of ours: who waits is told, and
        everything is read afresh."""
        items, self._at_hand = self._at_hand, []
        if self._thread.is_down:
            items += self._queue.take()
        self._link.close()
        connections.close_all()
        self._loader.give_up()
        self._tell_outage(items)
        self._store.apply_command(ViewCommand(command=CommandKind.BUMP))
        self._queue.put(Hint())

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
        while not (self._queue or self._has_moved(source)):
            now = time.monotonic()
            if until <= now:
                break
            quiet = now >= self._turns.ended_at + QUIET_SECONDS
            pause = NEVER if source is None else source.pause(quiet=quiet)
            timeout = min(until, now + pause, max(now, self._beats_at())) - now
            self._queue.sleep(timeout if timeout < NEVER else None)
        return self._queue.take()

    def _beats_at(self) -> float:
        """Return when the database is to be asked for probes' sake."""
        return NEVER if self._link.source is None else self._beat_at

    def _looked_at(self) -> Source | None:
        """Return the source, if commits are to be looked for in it."""
        source = self._link.source
        if source is None or not source.polls or not self._store.watched():
            return None
        return source

    def _has_moved(self, source: Source | None) -> bool:
        if source is None and time.monotonic() < self._beats_at():
            return False
        self._fall_behind()
        self._pulse.looks()
        try:
            with working, self._link.patience(conf.STALE_SECONDS):
                moved = self._asked() if source is None else source.moved()
        except Exception:
            return True  # the turn will meet the same error, and deal with it
        self._answered()
        if not moved:
            self._behind_since = None
        return moved

    def _asked(self) -> bool:
        """Ask the database whether it is there; that says nothing of a commit."""
        self._link.ask()
        return False

    def _fall_behind(self) -> None:
        """Take views for old until the database says that they are not."""
        if self._behind_since is None:
            self._behind_since = time.monotonic()

    def _until(self) -> float:
        """Return when a turn is due by the monotonic clock, whether or not anybody rings."""
        source, chores_at = self._link.source, self._turns.chores_at
        if source is None:
            return self._retry_at if self._losses or self._beat_at < NEVER else NEVER
        if not self._store.watched():  # a log grows whether or not anybody looks at views
            return chores_at if source.polls or self._store.views() else NEVER
        compare_at = source.due()
        audit_at = self._store.auditor.due() if source.durable else NEVER
        due = min(chores_at, self._store.due(), audit_at)
        return due if compare_at is None else min(due, compare_at)

    def _turn(self, items: list[Request | Result]) -> None:
        """Take a turn, by another source if the change log has come or gone."""
        try:
            self._take_turn(items)
        except (LogRemoved, LogInstalled) as change:
            logger.warning("bindserver: database %r: %s", self.alias, change)
            self._link.drop_source()
            self._take_turn(items)

    def _take_turn(self, items: list[Request | Result]) -> None:
        since = time.monotonic() if self._behind_since is None else self._behind_since
        turn = self._turns.take(items, since)
        if self._losses:
            logger.warning("bindserver: database %r is followed again", self.alias)
        self._losses = 0
        self.figures.is_lost = False
        if turn.postponed:
            self._queue.put_back(turn.postponed)
        elif turn.unanswered:
            self._queue.put(Hint())
        self._turns.do_chores()

    def _is_outage(self, problem: Exception) -> bool:
        """Return whether a turn failed because of the database, or of what was installed there:
        that is ridden out."""
        if isinstance(problem, DATABASE_ERRORS):
            return True
        self._link.close()
        try:
            with self._link.patience(conf.STALE_SECONDS):
                self._link.ask()
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
        self._link.close()
        self._loader.give_up()
        self._tell_outage(items)

    def _tell_outage(self, items: Sequence[Request | Result]) -> None:
        """Tell all who have rows that these may be old, and all who wait for an answer that there
        is none now."""
        outbound = out_of_reach(self._store, items)
        if any(isinstance(item, Audited) for item in items):
            self._store.auditor.forget()
        refuse(self._queue.unanswered())
        if outbound:
            self._fanout.send(outbound, "", self._fanout.behind)

    def _tell_loss(self, problem: Exception) -> None:
        if isinstance(problem, OperationalError | InterfaceError | BindserverError):
            (first, *_) = str(problem).strip().splitlines() or [type(problem).__name__]
            logger.error("bindserver: database %r cannot be followed: %s", self.alias, first)
        else:
            logger.error("bindserver: a turn on %r failed", self.alias, exc_info=problem)
