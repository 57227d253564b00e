"""What a cycle keeps from turn to turn, and what it says when the database is out of reach."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bindserver.cycle.delivery import Outbound
from bindserver.cycle.failure_log import FailureLog
from bindserver.cycle.inbox import (
    CatchUpRequest,
    CommandKind,
    Ended,
    Listener,
    ReadRequest,
    ReconsiderRequest,
    Ref,
    Refused,
    ReleaseRequest,
    Request,
    SnapshotRequest,
    Staled,
    SubscribeRequest,
    UnsubscribeRequest,
    ViewCommand,
)
from bindserver.cycle.live_view import LiveView, ViewState
from bindserver.cycle.loader import Loaded, Loader
from bindserver.cycle.view_store import ViewStore
from bindserver.cycle.waiting import Opening
from bindserver.database.row_security import HINT, refusal_for
from bindserver.engine.changes import Position
from bindserver.engine.protocol import Code, Subscribe
from bindserver.exceptions import Refusal, ShownByRow, Unavailable

EVERYTHING = Subscribe(event="", params={})
"""What a subscription wants that is to be answered anew, from nothing."""


class Desk:
    """What lasts from turn to turn: the store, the loader, which views are set aside and why.

    Args:
        alias: the database.
        secret: signs cursors.
        put: hands a load's result to the next turn.

    Attributes:
        by_row: the tables of which the database shows the server's role some rows only; None before
            it was asked.
    """

    def __init__(self, alias: str, secret: bytes, put: Callable[[Loaded], None]) -> None:
        self.alias = alias
        self.secret = secret
        self.store = ViewStore(alias, secret)
        self.loader = Loader(alias, put)
        self.failures = FailureLog()
        self.by_row: frozenset[str] | None = None

    def demand_all_rows(self, live: LiveView) -> None:
        """See that the database shows all rows of what a view reads: what it keeps from the
        server's role, and what it shows, is not for every subscriber.

        Raises:
            ShownByRow: it does not.
        """
        if self.by_row and (tables := self.by_row & live.tables):
            said = refusal_for(live.binding.__name__, tables, self.alias)
            raise ShownByRow(f"(bindserver.E052) {said} {HINT}")

    def watched(self) -> bool:
        """Return whether anybody waits for what happens: views that are being loaded move when they
        have been, and a turn meanwhile would only hold up the loader."""
        return any(
            live.wanted and live.state is not ViewState.LOADING for live in self.store.views()
        ) or any(viewer.refs and viewer.depends() for viewer in self.store.viewers())

    def tables(self) -> set[str]:
        """Return every table that a change in would matter."""
        tables = self.reads()
        for live in self.store.views():
            tables |= live.tables
        return tables

    def reads(self) -> set[str]:
        """Return every table that is read to tell who may see which rows."""
        reads: set[str] = set()
        for viewer in self.store.viewers():
            reads |= viewer.tables()
        return reads

    def due(self) -> float:
        """Return when the next view that was set aside is to be tried again."""
        return min(
            (
                live.retry_at
                for live in self.store.views()
                if live.state is ViewState.FAILED and live.wanted
            ),
            default=float("inf"),
        )

    def lagging(self, position: Position, unseen: frozenset[str]) -> frozenset[Listener]:
        """Return the listeners that have rows of a view that is not at the present position, or may
        not be, as it reads a table whose changes are not seen."""
        views = self.store.views()
        behind = {
            ref.listener
            for live in views
            if live.state is not ViewState.READY
            or live.position != position
            or not unseen.isdisjoint(live.tables)
            for ref in live.audience
        }
        moved = {o.ref.listener for live in views for o in live.openings if o.moved}
        return frozenset(behind | moved)

    def listeners(self) -> frozenset[Listener]:
        """Return all that have rows of a view, or wait for some."""
        refs = [
            ref
            for live in self.store.views()
            for ref in (*live.audience, *(opening.ref for opening in live.openings))
        ]
        return frozenset(ref.listener for ref in refs)

    def apply_command(self, request: ViewCommand) -> None:
        """Have views read anew, and their subscribers answered as the command says."""
        for live in self.store.views():
            if not request.means(live.event, live.binding):
                continue
            if request.command is CommandKind.CLEAR:
                live.forget()
            live.mark_suspect()
            if request.command is not CommandKind.BUMP:
                self._answer_again(live)

    def _answer_again(self, live: LiveView) -> None:
        """Answer a view's subscribers as if they had just come, with all rows."""
        for ref in list(live.audience):
            del live.audience[ref]
            live.openings.append(Opening(ref, EVERYTHING, moved=True))

    def await_rows(self, live: LiveView, openings: Iterable[Opening], outbound: Outbound) -> None:
        """Have subscriptions wait for a view's rows, and hear where they are not to come at once:
        who has none, why there are none, and who has some, that these may be old."""
        refusal = live.refuses()
        for opening in openings:
            if refusal is not None and not opening.has_rows:
                self.refuse_rows(opening.ref, refusal, outbound)
                continue
            live.openings.append(opening)
            if live.stale or live.rests():
                live.stale = True
                outbound.add([opening.ref], Staled(frame=live.stale_frame()))

    def move(
        self, refs: Iterable[Ref], live: LiveView, waiting: Iterable[Opening], outbound: Outbound
    ) -> None:
        """Have subscriptions wait for a view that takes the place of another.

        Args:
            refs: the subscriptions.
            live: the view.
            waiting: how some of them have waited for the other; those that had rows have its.
            outgoing: takes what they are told.
        """
        first = {o.ref: live.opening(o.ref, o.message) for o in waiting if not o.has_rows}
        moved = [first.get(ref) or Opening(ref, EVERYTHING, moved=True) for ref in refs]
        self.await_rows(live, moved, outbound)

    def refuse_rows(self, ref: Ref, refusal: Refusal, outbound: Outbound) -> None:
        """Tell a subscription why it gets no rows; it has ended."""
        self.store.release(ref)
        outbound.refuse(ref, Refused(code=refusal.code, detail=str(refusal)))

    def out_of_reach(self, items: Iterable[Request | Loaded]) -> Outbound:
        """Serve what can be served without the database, and mark every view stale."""
        outbound = Outbound()
        for live in self.store.views():
            mark_stale(live, outbound)
            live.fail_readers(Unavailable())
        for item in items:
            if isinstance(item, ReleaseRequest):
                self.store.release(item.ref)
            elif isinstance(item, CatchUpRequest):
                viewer = self.store.viewer_of(item.ref)
                if viewer is not None:  # answered by a sync when the database is back
                    viewer.live.audience.pop(item.ref, None)
                    viewer.live.openings.append(Opening(item.ref, EVERYTHING, moved=True))
            elif isinstance(item, ReconsiderRequest):
                # Whether it may go on is unknown; it may be asked for again.
                self.store.release(item.ref)
                outbound.add([item.ref], Ended(code=Code.UNAVAILABLE))
            elif isinstance(item, ViewCommand):
                self.apply_command(item)
            elif isinstance(item, Loaded) and item.live.awaits(item.began, item.query):
                item.live.state = ViewState.FAILED if len(item.live.view) else ViewState.NEW
        refuse(items, outbound)
        return outbound


def refuse(items: Iterable[Request | Loaded], outbound: Outbound | None = None) -> None:
    """Tell all who ask that there is no answer now."""
    sorry = Unavailable()
    for item in items:
        if isinstance(item, (SnapshotRequest, ReadRequest)):
            item.fail(sorry)
        elif isinstance(item, (SubscribeRequest, UnsubscribeRequest)) and outbound is not None:
            outbound.add([item.ref], Refused(code=sorry.code, detail=str(sorry)))


def mark_stale(live: LiveView, outbound: Outbound) -> None:
    """Tell a view's subscribers, once, that its rows may be old."""
    if live.stale:
        return
    live.stale = True
    refs = [*live.audience, *(opening.ref for opening in live.openings)]
    outbound.add(refs, Staled(frame=live.stale_frame()))
