"""The loader's work for a turn: views are handed to it, and what it has read is taken."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from bindserver.cycle.answers import delta_frames, ok_frame
from bindserver.cycle.context import TurnContext
from bindserver.cycle.failures import Failures
from bindserver.cycle.live_view import LiveView, ViewState
from bindserver.cycle.load_messages import Loaded, Unneeded, Wanted
from bindserver.engine.events import Arrived, Published
from bindserver.engine.ring import Delta
from bindserver.exceptions import Unavailable


class Loads:
    """What the loader reads for one turn, or has read.

    Args:
        context: the turn's.
        failures: keeps a view's failure its own.
    """

    def __init__(self, context: TurnContext, failures: Failures) -> None:
        self._context = context
        self._failures = failures

    def want(self, lives: Sequence[LiveView]) -> None:
        """Have views read whole by the loader."""
        for live in lives:
            live.await_load()
            self._context.ticks.begin_load(live)
        durable = self._context.source.durable
        self._context.loader.load(
            Wanted(lives=lives, since=self._context.position, durable=durable)
        )

    def take(self, loaded: Loaded) -> None:
        """Take the rows of a load; the turn brings them to the present."""
        live = loaded.live
        if live.is_dropped:
            return  # its shape may be forgotten, too
        live.shape.learn(loaded.recorder)
        if loaded.rows is not None:
            live.shape.cost.note_whole(loaded.seconds, len(loaded.rows.keys))
        self._context.store.lanes.spend(live, loaded.seconds)
        if not live.awaits(loaded.began, loaded.query):
            return  # it was set aside, and perhaps read to newer rows
        if isinstance(loaded.problem, Unneeded):
            live.state = ViewState.NEW  # whoever has come since has it loaded again
        else:
            self._failures.attempt(live, partial(self._take, loaded))

    def _take(self, loaded: Loaded, live: LiveView) -> None:
        if loaded.rows is None:
            raise loaded.problem or Unavailable()
        self._context.store.demand_all_rows(live)
        delta = live.load(loaded.rows, loaded.position, began=loaded.began)
        publish(self._context, live, delta)
        if delta is None:
            self._context.outbound.add(live.audience, Arrived())
        if live.suspect:
            live.read_again()  # the load may have begun before that was said


def publish(context: TurnContext, live: LiveView, delta: Delta | None) -> None:
    """Tell a view's subscribers what it has come to; None for nothing new.

    Raises:
        NoRoom: there is no room for the rows, and nobody has them yet.
    """
    if delta is not None:
        context.store.room.take_in(live)
    context.store.alarms.set(live)
    if delta is None and not live.stale:
        return
    live.stale = False
    if live.audience:
        live.figures.deltas += delta is not None
        frames = delta_frames(live, delta) if delta is not None else (ok_frame(live),)
        event = Published(frames=frames, version=live.rows.view.version)
        context.outbound.add(live.audience, event)
