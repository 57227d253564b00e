"""Takes turns: what goes before a turn's snapshot, and what is done with what it has come to."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

from bindserver.capture.sources import Source
from bindserver.conf import conf
from bindserver.cycle.context import TurnContext
from bindserver.cycle.database_link import DatabaseLink
from bindserver.cycle.delivery import Fanout, Outbound
from bindserver.cycle.failure_log import FailureLog
from bindserver.cycle.inbox import Hint, Request
from bindserver.cycle.lag import LaggingViews, lagging_views
from bindserver.cycle.load_messages import Result
from bindserver.cycle.loader import Loader
from bindserver.cycle.resolver import Resolver
from bindserver.cycle.turn import Turn
from bindserver.cycle.view_store import ViewStore
from bindserver.database.pacing import Pacer, collector
from bindserver.database.snapshot import snapshot
from bindserver.engine.changes import Position
from bindserver.exceptions import CaptureError
from bindserver.logs import Repeats

logger = logging.getLogger("bindserver.cycle")
_repeats = Repeats(logger)

CHORES_SECONDS = 10.0
BUSY_CHORES_SECONDS = 0.2


class TurnTaker:
    """Takes the turns of one cycle.

    Args:
        store: the views there are.
        loader: reads big views.
        link: the connection to the database.
        fanout: hands events to the event loops.

    Attributes:
        ended_at: when the last turn ended that came to its end, on the monotonic clock.
        chores_at: when views that nobody looks at, and old entries of the log, are to go next.
        lagging: the views that the last turn has not brought to what the database holds.
    """

    def __init__(
        self, store: ViewStore, loader: Loader, link: DatabaseLink, fanout: Fanout
    ) -> None:
        self._store = store
        self._loader = loader
        self._link = link
        self._fanout = fanout
        self._resolver = Resolver(store)
        self._pacer = Pacer(conf.QUERY_SECONDS)
        self._failure_log = FailureLog(figures=store.figures)
        self.ended_at = self.chores_at = 0.0
        self.lagging: tuple[LaggingViews, ...] = ()

    def take(self, items: Sequence[Request | Result], since: float) -> Turn:
        """Take a turn, and hand over what it has come to.

        Args:
            items: what was handed in.
            since: up to when nobody had looked whether views are old, on the monotonic clock.

        Raises:
            LogRemoved, LogInstalled: changes are to be learned in another way from now on.
            Exception: the database is lost, or whatever else a turn meets.
        """
        began = time.monotonic()
        if not self._store.views():  # where there are any it is an outage, and they are told
            self._link.renew()
        connection, source = self._link.connect()
        for item in items if Hint in set(map(type, items)) else ():  # there may be very many
            if isinstance(item, Hint):
                self._store.figures.hints += 1
                source.compare() if item.changes is None else source.hint(item.changes)
        context = TurnContext(
            store=self._store,
            resolver=self._resolver,
            loader=self._loader,
            failure_log=self._failure_log,
            source=source,
            pacer=self._pacer,
            publish=lambda: self._publish(context, turn),
        )
        turn, whole = Turn(context), False
        try:
            while not self._run_in_snapshot(turn, items, connection, source):
                pass  # the schema was changed just before the snapshot
            whole = True
            self._store.figures.unseen = source.unseen()
            self._note_lagging(context.position, since)
        finally:
            # What views have come to is theirs, whatever happened to the rest of the turn; but
            # nobody has all of a state then, and so nobody is told that they have.
            if whole:
                self._publish(context, turn)
            elif context.outbound:
                self._fanout.send(context.outbound, turn.state(), self._store.listeners())
        self.ended_at = time.monotonic()
        self._store.lanes.turn_seconds = self.ended_at - began - turn.newcomers_seconds
        return turn

    def _run_in_snapshot(
        self,
        turn: Turn,
        items: Sequence[Request | Result],
        connection: BaseDatabaseWrapper,
        source: Source,
    ) -> bool:
        """Run a turn, unless its snapshot shows a schema that was not prepared for."""
        source.prepare(self._store.tables(), self._store.columns)
        if (by_row := self._link.tables_by_row()) is not None:
            self._store.show(by_row)
        self._pacer.restart()
        with collector.resting(), snapshot(connection, self._pacer):
            if source.prepared():
                turn.run(items)
                return True
        return False

    def _publish(self, context: TurnContext, turn: Turn) -> None:
        """Hand over what a turn has come to, and tell those that they have all of its state who
        do."""
        awaiting = self._store.awaiting
        if context.outbound or self._fanout.behind or awaiting:
            behind = self._store.lagging(context.position, context.source.unseen())
            awaiting.tell(context.outbound, behind)
            self._fanout.send(context.outbound, turn.state(), behind)
            context.outbound = Outbound()

    def _note_lagging(self, position: Position, since: float) -> None:
        """Note how views stand, for threads that may not look at them."""
        routing = self._store.routing
        self.lagging = lagging_views(routing.held_back(), position, since, routing.loading)

    def do_chores(self) -> None:
        """Drop what nobody looks at, and purge the log, if it is time."""
        source = self._link.source
        if source is None or time.monotonic() < self.chores_at:
            return
        self.chores_at = time.monotonic() + CHORES_SECONDS
        self._store.evict()
        try:
            if source.purge():
                self.chores_at = time.monotonic() + BUSY_CHORES_SECONDS
            self._store.figures.log = source.size()
        except (DatabaseError, CaptureError) as problem:
            what = f"the change log on {self._store.alias!r} cannot be purged"
            _repeats.note(what, problem, logging.WARNING, traceback=False)
