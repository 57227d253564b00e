"""Subscriptions wait for a view's rows, or hear why there are none."""

from __future__ import annotations

from collections.abc import Iterable

from bindserver.cycle.answers import opening_of, stale_frame
from bindserver.cycle.context import TurnContext
from bindserver.cycle.inbox import SubscriptionRef
from bindserver.cycle.live_view import LiveView
from bindserver.cycle.waiting import EVERYTHING, Opening
from bindserver.engine.events import Rejected, Staled
from bindserver.exceptions import Refusal


def await_rows(context: TurnContext, live: LiveView, openings: Iterable[Opening]) -> None:
    """Have subscriptions wait for a view's rows, and hear where they are not to come at once:
    who has none, why there are none, and who has some, that these may be old."""
    refusal = live.refuses()
    for opening in openings:
        if refusal is not None and not opening.has_rows:
            refuse_rows(context, opening.ref, refusal)
            continue
        live.await_answer(opening)
        if live.stale or live.rests():
            live.stale = True
            context.outbound.add([opening.ref], Staled(frame=stale_frame(live)))


def move(
    context: TurnContext,
    refs: Iterable[SubscriptionRef],
    live: LiveView,
    waiting: Iterable[Opening],
) -> None:
    """Have subscriptions wait for a view that takes the place of another.

    Args:
        context: the turn's.
        refs: the subscriptions.
        live: the view.
        waiting: how some of them have waited for the other; those that had rows have its.
    """
    first = {o.ref: opening_of(live, o.ref, o.message) for o in waiting if not o.has_rows}
    moved = [first.get(ref) or Opening(ref, EVERYTHING, moved=True) for ref in refs]
    await_rows(context, live, moved)


def refuse_rows(context: TurnContext, ref: SubscriptionRef, refusal: Refusal) -> None:
    """Tell a subscription why it gets no rows; it has ended."""
    context.store.release(ref)
    context.outbound.refuse(ref, Rejected(code=refusal.code, detail=str(refusal)))
