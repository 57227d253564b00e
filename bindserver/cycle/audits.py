"""The audit's part of a turn: a view's claim is handed to the loader, and what it found is judged.

The loader reads in a snapshot of its own, so the view may have been moved since it was asked, or
the database since it was read. So rows count as different only where neither the view nor the log
knows of a change from then to now: such a row was the same all the time, in the state that was read
too.
"""

from __future__ import annotations

import time

from bindserver.cycle.claims import Claim, Kind, misplaced
from bindserver.cycle.context import TurnContext
from bindserver.cycle.figures import AuditOutcome
from bindserver.cycle.invalidation import WHOLE, Touched
from bindserver.cycle.live_view import LiveView
from bindserver.cycle.load_messages import Audited
from bindserver.engine.changes import Key, Position
from bindserver.exceptions import Overtaken
from bindserver.user_code import contained


class Audits:
    """What one turn has to do with audits.

    Args:
        context: the turn's.
    """

    def __init__(self, context: TurnContext) -> None:
        self._context = context

    def begin(self) -> None:
        """Hand the next view to the loader, if it is time.

        Without a change log nobody knows of which state rows are, and all views are compared from
        time to time anyway.
        """
        context = self._context
        if not context.source.durable:
            return
        live = context.store.auditor.next()
        if live is None:
            return
        if context.invalidation.is_unsure_of(live):
            context.store.auditor.came_back(live, 0)
            return
        context.loader.audit(Claim.by(live, context.position))

    def take(self, audited: Audited) -> bool:
        """Judge what an audit has found; return whether the next turn is to read the view again, by
        which clients are sent what differs."""
        began, live = time.monotonic(), audited.claim.live
        outcome, differences = self._judge(audited)
        event = live.event or live.binding.__name__
        figures, auditor = self._context.store.figures, self._context.store.auditor
        figures.count_audit(event, outcome, differences.values())
        if differences:
            live.read_again()
            alarming = {k: how for k, how in differences.items() if how is not Kind.LIST_ORDER}
            if alarming:
                auditor.tell(live, alarming)
        if outcome is AuditOutcome.UNREPEATABLE:
            auditor.leave_out(live)
        seconds = audited.seconds + time.monotonic() - began
        auditor.came_back(live, seconds, moved=outcome is AuditOutcome.MOVED)
        return bool(differences)

    def _judge(self, audited: Audited) -> tuple[AuditOutcome, dict[Key, Kind]]:
        claim, comparison = audited.claim, audited.comparison
        if comparison is None:
            given_up = AuditOutcome.MOVED if audited.made_way else AuditOutcome.FAILED
            return given_up, {}
        if not claim.holds():
            return AuditOutcome.MOVED, {}
        claim.live.shape.learn(audited.recorder)
        if comparison.unrepeatable:
            return AuditOutcome.UNREPEATABLE, {}
        if not comparison.differences:
            return AuditOutcome.SAME, {}
        moved = self._moved(audited)
        if moved is None:
            return AuditOutcome.MOVED, {}
        found = {key: how for key, how in comparison.differences.items() if key not in moved}
        places = misplaced([*claim.texts], comparison.order, moved)
        found = {
            key: how for key, how in found.items() if how is not Kind.MISPLACED or key in places
        }
        return (AuditOutcome.DIFFERENT if found else AuditOutcome.SAME), found

    def _moved(self, audited: Audited) -> set[Key] | None:
        """Return the keys of rows that somebody knows to have changed since the view was asked, or
        since it was read; None for any."""
        claim, live = audited.claim, audited.claim.live
        by_view = live.rows.view.touched_since(claim.version)
        touched = [self._touched(live, at) for at in (live.position, audited.position)]
        if by_view is None or any(what.whole for what in touched):
            return None
        pks = touched[0].pks | touched[1].pks
        if live.rows.held is not None and (pks or by_view):
            return None  # any of them may have come into the window, or have left it
        read = {} if audited.comparison is None else audited.comparison.keys
        return by_view | {keys[pk] for keys in (live.rows.keys, read) for pk in pks if pk in keys}

    def _touched(self, live: LiveView, position: Position) -> Touched:
        """Return what somebody knows to have changed in a view since a position."""
        context = self._context
        try:
            with contained():
                what = context.invalidation.touched(live, position)
                crossed = context.ticks.crossed(live)
        except Overtaken:
            return WHOLE
        return Touched(what.pks | crossed.pks, what.whole or crossed.whole)
