"""Which views there are, how long they stay, and what is to be done for all of them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from bindserver.bindings.binding import Binding
from bindserver.bindings.refreshing import asks_code
from bindserver.capture.read_columns import ReadColumns
from bindserver.conf import conf
from bindserver.cycle.alarms import Alarms
from bindserver.cycle.auditor import Auditor
from bindserver.cycle.awaiting import Awaiting
from bindserver.cycle.figures import CycleFigures
from bindserver.cycle.inbox import CommandKind, Listener, SubscriptionRef, ViewCommand
from bindserver.cycle.invalidation import Told
from bindserver.cycle.lanes import Lanes
from bindserver.cycle.live_view import LiveView, ViewState
from bindserver.cycle.owners import Owner, owner_of
from bindserver.cycle.room import Room
from bindserver.cycle.routing import Routing
from bindserver.cycle.viewer_store import ViewerStore
from bindserver.cycle.viewers import Viewer
from bindserver.database.row_security import HINT, refusal_for
from bindserver.engine.changes import Change, Position
from bindserver.exceptions import ShownByRow
from bindserver.queries.query import Query
from bindserver.queries.reads import Users


class ViewStore:
    """The views of one cycle.

    Args:
        alias: the database.
        secret: seals cursors.
        fallbacks: what they were sealed with before.

    Attributes:
        alarms: when views are to be looked at though nobody writes.
        by_row: the tables of which the database shows the server's role some rows only; None before
            it was asked.
        columns: which columns of tables have been read.
        figures: what there is, in numbers.
        routing: which views a turn is to look at.
        lanes: which of them it reads first, and which less often.
        auditor: which of them are compared with the database next.
        viewers: who is led to which of them.
        room: keeps them within the budget.
    """

    def __init__(self, alias: str, secret: bytes, fallbacks: Sequence[bytes] = ()) -> None:
        self.alias = alias
        self.secret = secret
        self._fallbacks = fallbacks
        self.alarms = Alarms()
        self.by_row: frozenset[str] | None = None
        self.columns = ReadColumns()
        self.figures = CycleFigures()
        self.routing = Routing(self.columns)
        self.lanes = Lanes()
        self.auditor = Auditor(self.views)
        self.awaiting = Awaiting()
        self.viewers = ViewerStore(self.columns)
        self._look_at = self.routing.look_at  # one for all views, each of which keeps it
        self._views: dict[bytes, LiveView] = {}
        self.room = Room(alias, self._holders, self._idle, self._drop)

    def views(self) -> list[LiveView]:
        """Return all views."""
        return list(self._views.values())

    # Views come and go.

    def get(self, identity: bytes) -> LiveView | None:
        """Return the view of a query, by its identity."""
        return self._views.get(identity)

    def make(self, query: Query, binding: Binding[Any], owner: Owner | None) -> LiveView:
        """Make a view, for which there is room.

        Args:
            query: what it reads.
            binding: one of those that it serves.
            owner: in whose share it counts.
        """
        live = self._views[query.identity] = LiveView(
            query,
            binding,
            self.secret,
            self.routing.shape_of(query),
            self._look_at,
            self.figures.of(binding.event or type(binding).__name__),
            self._fallbacks,
        )
        self.room.open(live, owner)
        self.routing.add(live)
        return live

    def rename(self, live: LiveView, before: bytes) -> None:
        """Know a view by the identity that its query has now, in place of the one before."""
        del self._views[before]
        self._views[live.query.identity] = live

    def adopt(self, live: LiveView, query: Query) -> None:
        """Have a view take a query that was asked for anew."""
        before = live.query.identity
        self.routing.adopt(live, query)
        if query.identity != before:
            self.rename(live, before)
        for viewer in self.viewers.of(live):
            self.viewers.watch(viewer)

    def evict(self) -> None:
        """Drop the views that nobody has looked at for a while, and viewers that serve nobody.

        A view that stays would else gather a viewer for every user who ever came.
        """
        for live in (*self.routing.unsettled, *self.routing.loaded_first()):
            live.forget_who_left()
        before = time.monotonic() - conf.LINGER_SECONDS
        self._drop([live for live in self._idle() if live.used_at < before])
        self.room.look()

    def _idle(self, among: Iterable[LiveView] | None = None) -> list[LiveView]:
        """Return the views that nobody looks at, of some or of all."""
        if among is None:
            routing = self.routing
            among = (*routing.idle, *routing.unsettled, *routing.loaded_first())
        return [live for live in among if not live.wanted and not self.viewers.serve(live)]

    def _holders(self, live: LiveView) -> Iterator[Owner | None]:
        """Yield whose subscriptions a view has, and who waits for its rows once."""
        for viewer in self.viewers.of(live):
            yield from viewer.refs.values()
        for reading in live.readers:
            yield owner_of(reading.request.caller)

    def _drop(self, old: list[LiveView]) -> None:
        self.viewers.forget_unserved()
        for live in old:
            del self._views[live.query.identity]
            self.viewers.close(live)
            live.drop()
            self.room.close(live)
            self.alarms.forget(live)
            self.routing.drop(live)

    def wake(self, now: float) -> None:
        """Have this turn look at the views whose time has come, and ask the bindings again of those
        that are refreshed: what cannot be followed may be what their code reads; and of those who
        are told apart by rows elsewhere.

        Args:
            now: on the monotonic clock.
        """
        self.viewers.wake(now)
        for live in self.alarms.ring(now):
            if live.wanted:
                self.routing.dismount(live)
            if live.is_past(now) and asks_code(live.binding):
                self.viewers.ask_all_again(live)

    # Subscriptions come and go.

    def attach(self, ref: SubscriptionRef, viewer: Viewer, owner: Owner | None = None) -> None:
        """Note that a subscription belongs to a viewer.

        Args:
            ref: the subscription.
            viewer: the viewer.
            owner: in whose share it counts.
        """
        self.viewers.attach(ref, viewer, owner)
        self.room.hold(viewer.live, owner)

    def detach(self, ref: SubscriptionRef, viewer: Viewer) -> None:
        """Have a viewer serve a subscription no more."""
        if ref in viewer.refs:
            self.room.let_go(viewer.live, viewer.refs[ref])
        self.viewers.detach(ref, viewer)

    def release(self, ref: SubscriptionRef) -> None:
        """Forget a subscription, or a question."""
        self.awaiting.forget(ref)
        viewer = self.viewers.release(ref)
        if viewer is None:
            return
        self.detach(ref, viewer)
        viewer.live.release([ref])
        viewer.live.used_at = time.monotonic()

    # Of all views.

    def demand_all_rows(self, live: LiveView) -> None:
        """See that the database shows all rows of what a view reads: what it keeps from the
        server's role, and what it shows, is not for every subscriber.

        Raises:
            ShownByRow: it does not.
        """
        if self.by_row and (tables := self.by_row & live.tables):
            said = refusal_for(live.binding.__name__, tables, self.alias)
            raise ShownByRow(f"(bindserver.E052) {said} {HINT}")

    def show(self, by_row: frozenset[str]) -> None:
        """Take note of which tables the database shows some rows of; views that read one which it
        has shown all of are refused in the next turn."""
        more = by_row - (self.by_row or frozenset())
        self.by_row = by_row
        for live in list(self.routing.reading(more)):
            self.routing.dismount(live)

    def watched(self) -> bool:
        """Return whether anybody waits for what happens: views that are being loaded move when they
        have been, and a turn meanwhile would only hold up the loader."""
        return (
            self.routing.has_riders()
            or any(
                live.wanted and live.state is not ViewState.LOADING
                for live in self.routing.unsettled
            )
            or self.viewers.depend((*self.routing.unsettled, *self.routing.loaded_first()))
        )

    def begin(self, position: Position, changes: list[Change] | None, told: Told) -> None:
        """Have everything move to a turn's snapshot that nothing has touched.

        Args:
            position: the snapshot's.
            changes: what changed up to it since the last turn; None if that cannot be proved.
            told: tells the columns of a table whose old values every change tells.
        """
        self.room.begin()
        self.viewers.note_changes(changes, Users(self.alias, told).led_to)
        self.routing.begin(position, changes)

    def tables(self) -> set[str]:
        """Return every table that a change in would matter."""
        return self.reads() | self.routing.tables()

    def reads(self) -> set[str]:
        """Return every table that is read to tell who may see which rows."""
        return self.viewers.tables()

    def due(self) -> float:
        """Return when the next view that was set aside is to be tried again, or another is to be
        looked at though nobody writes, or read as it has been left for a while."""
        retries = [
            live.retry_at
            for live in self.routing.unsettled
            if live.state is ViewState.FAILED and live.wanted
        ]
        return min([self.alarms.due(), self.lanes.due(), self.viewers.due(), *retries])

    def lagging(self, position: Position, unseen: frozenset[str]) -> frozenset[Listener]:
        """Return the listeners that have rows of a view that is not at the present position, or may
        not be, as it reads a table whose changes are not seen."""
        behind = {
            ref.listener
            for live in self.routing.held_back()
            if not live.is_at(position)
            for ref in live.audience
        }
        views = [*self.routing.unsettled, *self.routing.reading(unseen)]
        unsure = {
            ref.listener
            for live in views
            if not unseen.isdisjoint(live.tables)
            for ref in live.audience
        }
        moved = {o.ref.listener for live in views for o in live.openings if o.moved}
        return frozenset(behind | unsure | moved)

    def listeners(self) -> frozenset[Listener]:
        """Return all that have rows of a view, or wait for some."""
        refs = [
            ref
            for live in self.views()
            for ref in (*live.audience, *(opening.ref for opening in live.openings))
        ]
        return frozenset(ref.listener for ref in refs)

    def apply_command(self, request: ViewCommand) -> None:
        """Have views read anew, and their subscribers answered as the command says."""
        for live in self.views():
            if not request.means(live.event, live.binding):
                continue
            if request.command is CommandKind.CLEAR:
                self.routing.dismount(live)
                live.forget()
            live.mark_suspect()
            if request.command is not CommandKind.BUMP:
                live.answer_again(list(live.audience))
