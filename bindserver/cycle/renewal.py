"""Bindings are asked again, at a turn's beginning, where what they have read has changed."""

from __future__ import annotations

import time
from functools import partial

from bindserver.bindings.permissions import PermissionFailed
from bindserver.bindings.refusals import code_of_end
from bindserver.cycle.admission import move
from bindserver.cycle.asking import Evaluated
from bindserver.cycle.context import TurnContext
from bindserver.cycle.failures import Failures
from bindserver.cycle.inbox import ReadRequest, SnapshotRequest
from bindserver.cycle.live_view import LiveView
from bindserver.cycle.viewers import Viewer
from bindserver.database.snapshot import locked
from bindserver.engine.events import Ended
from bindserver.engine.protocol import Code
from bindserver.exceptions import Denied, InvalidParams, NoRoom


class Renewal:
    """Asks bindings again, and leads their viewers to the views that are theirs now.

    Args:
        context: the turn's.
        failures: keeps a view's failure its own.

    Attributes:
        unwatched: whether something was read that nobody watches yet.
    """

    def __init__(self, context: TurnContext, failures: Failures) -> None:
        self._context = context
        self._failures = failures
        self.unwatched = False
        self._asked: dict[LiveView, dict[Viewer, Evaluated]] = {}
        self._left: list[tuple[LiveView, Viewer]] = []

    def run(self) -> None:
        """Ask those bindings again whose own reads may have changed, and lead their subscribers to
        what they came to.

        A snapshot is not held for long, however many there are: the views of the others stay where
        they are until the next one.
        """
        until, late = self._context.store.lanes.slice_until(), False
        for viewer in list(self._context.store.viewers.overdue):
            if not viewer.refs:
                self._forget(viewer)
            elif late:
                self._context.stay(viewer.live)
            elif not viewer.live.rests():
                self._failures.attempt(viewer.live, partial(self._ask, viewer))
                late = time.monotonic() >= until
        for live, asked in self._asked.items():
            self._failures.attempt(live, partial(self._lead, asked))

    def renew(self, viewer: Viewer) -> None:
        """Ask a binding again for somebody who wants rows as they are now, if nobody knows whether
        what it has read has changed: where there is no log, writes may go unseen for a while.

        Raises:
            Denied: the caller may not have it any more.
            InvalidParams: the params are not what it takes any more.
            Overtaken: what that was told by may be newer than the snapshot.
            Exception: whatever the binding raises.
        """
        if not viewer.depends() or self._context.source.proves(
            viewer.asked, self._context.position
        ):
            return
        old, asked = viewer.live, self._context.resolver.ask_again(viewer)
        self._lead({viewer: asked}, old)
        if viewer.live is not old:
            viewer.live.await_rows(old.leave(viewer))

    def left(self) -> list[SnapshotRequest | ReadRequest]:
        """Return the requests of those who wait for rows once and were led elsewhere; they are to
        be led to a view anew."""
        return [r.request for live, viewer in self._left for r in live.leave(viewer)]

    def _forget(self, viewer: Viewer) -> None:
        """Drop a viewer; who waits for rows through it is led to a view anew."""
        self._context.store.viewers.forget(viewer)
        self._left.append((viewer.live, viewer))

    def _ask(self, viewer: Viewer, live: LiveView) -> None:
        try:
            asked = self._context.resolver.ask_again(viewer)
        except (Denied, InvalidParams) as refusal:
            self._revoke(viewer, code_of_end(refusal))
            return
        except PermissionFailed as problem:
            if locked(self._context.alias, problem):
                raise  # nobody knows that a right is gone: the view waits
            self._failures.see_database()
            self._failures.failed(problem, viewer.binding)
            self._revoke(viewer, Code.INTERNAL)
            return
        self._asked.setdefault(live, {})[viewer] = asked

    def _lead(self, asked: dict[Viewer, Evaluated], live: LiveView) -> None:
        if self._context.resolver.becomes(live, asked):
            for viewer in asked:
                self._settle(viewer)
            return
        for viewer, new in asked.items():
            self._failures.attempt(live, partial(self._lead_one, viewer, new))

    def _lead_one(self, viewer: Viewer, asked: Evaluated, live: LiveView) -> None:
        waiting = [opening for opening in live.openings if opening.ref in viewer.refs]
        try:
            is_other = self._context.resolver.lead(viewer, asked)
        except NoRoom as problem:  # it may not go on with rows that are no more its own
            self._revoke(viewer, problem.code)
            return
        if is_other:
            self._left.append((live, viewer))
            move(self._context, list(viewer.refs), viewer.live, waiting)
        self._settle(viewer)

    def _settle(self, viewer: Viewer) -> None:
        viewer.asked = self._context.position
        self._context.store.viewers.overdue.pop(viewer, None)
        self.unwatched |= not self._context.source.watches(viewer.tables())

    def _revoke(self, viewer: Viewer, code: Code) -> None:
        """End the subscriptions of a viewer that may not have its binding any more."""
        refs = list(viewer.refs)
        for ref in refs:
            self._context.store.release(ref)
        self._forget(viewer)
        self._context.outbound.add(refs, Ended(code=code))
