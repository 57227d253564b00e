"""Views are moved to the present: those of one shape together, in one query."""

from __future__ import annotations

import logging
import time
from collections.abc import Hashable, Iterable, Sequence
from functools import partial

from bindserver.conf import conf
from bindserver.cycle.context import TurnContext
from bindserver.cycle.failures import Failures
from bindserver.cycle.invalidation import WHOLE, Touched
from bindserver.cycle.live_view import LiveView, ViewState
from bindserver.cycle.loader import Loaded, Wanted
from bindserver.cycle.refresh import read_together, refresh, take
from bindserver.database.snapshot import locked
from bindserver.engine.events import Arrived, Published
from bindserver.engine.ring import Delta
from bindserver.exceptions import Unavailable
from bindserver.queries.query import OverBudget, Rows, RowsBySlot
from bindserver.user_code import apart

logger = logging.getLogger("bindserver")

Groups = dict[Hashable, tuple[Touched, list[LiveView]]]
"""Views in which the same was touched, and which can be read together."""


class Advance:
    """Moves views to the state of a turn's snapshot.

    Args:
        context: the turn's.
        failures: keeps a view's failure its own.
    """

    def __init__(self, context: TurnContext, failures: Failures) -> None:
        self._context = context
        self._failures = failures
        self._locked: dict[frozenset[str], Exception] = {}

    def move(self, views: Iterable[LiveView]) -> None:
        """Move views to the present; load those that have no rows yet.

        A snapshot is not held for long, however many views there are: those that it leaves where
        they are come first in the next one.
        """
        groups: Groups = {}
        until, late = time.monotonic() + conf.QUERY_SECONDS, False
        # Those that nobody wants are looked at when somebody does.
        self._context.store.alarms.ring(self._context.began)
        for live in sorted(views, key=lambda live: live.moved_at):
            if live.state is not ViewState.LOADING and not live.rests() and not self._stays(live):
                self._failures.attempt(live, partial(self._assign, groups), ours=True)
        for what, lives in groups.values():
            alone = late or len(lives) == 1 or lives[0].tables in self._locked
            rows_by_slot = None if alone else self._read_together(lives, what)
            for live in lives:
                if late and rows_by_slot is None:
                    self._context.staying.add(live)
                elif live.state is not ViewState.LOADING and not self._stays(live):
                    self._failures.attempt(live, partial(self._move, what, rows_by_slot))
                    live.moved_at = time.monotonic()
                    late = live.moved_at >= until

    def _stays(self, live: LiveView) -> bool:
        """Return whether a view is not to be moved in this snapshot."""
        return live in self._context.staying

    def _assign(self, groups: Groups, live: LiveView) -> None:
        """Put a view to those that it can be read with; let it pass if nothing has touched it."""
        self._context.store.demand_all_rows(live)
        what = self._context.ticks.touched(live, self._what(live))
        if not what:
            self._context.ticks.settle(live)
            live.position = self._context.position
            live.moved_at = time.monotonic()
            self._publish(live, None)
            return
        # One that has failed is tried by itself, or it might fail them all.
        batch_key = live.query.batch_key if live.state is not ViewState.FAILED else None
        key = live.query.identity if batch_key is None else (batch_key, what)
        groups.setdefault(key, (what, []))[1].append(live)

    def _what(self, live: LiveView) -> Touched:
        if live.state is not ViewState.READY or live.is_past(self._context.began):
            return WHOLE
        if self._may_be_old_to_who_waits(live):
            return WHOLE
        return self._context.invalidation.touched(live, live.position)

    def _may_be_old_to_who_waits(self, live: LiveView) -> bool:
        """Return whether somebody wants the rows as they are now, and memory might not have
        them."""
        unsure = live.query.only_now or self._context.invalidation.is_unsure_of(live)
        if (live.openings or live.readers) and unsure:
            return True
        return not all(self._context.source.proves(live.compared, r.asked) for r in live.readers)

    def _read_together(self, lives: Sequence[LiveView], what: Touched) -> RowsBySlot | None:
        """Return the rows of each slot; None where views are to be read one by one, because one
        of them, which is not known yet, cannot be read."""
        self._context.pacer.restart()
        try:
            return apart(
                lambda: read_together(lives, what, self._context.pacer, self._context.alias)
            )
        except OverBudget:
            self._have_loaded(lives)
        except Exception as problem:
            self._failures.see_database()
            self._note_lock(lives[0], problem)
            logger.debug("bindserver: views are read one by one", exc_info=problem)
        return None

    def _move(self, what: Touched, rows_by_slot: RowsBySlot | None, live: LiveView) -> None:
        where = (self._context.position, self._context.pacer, self._context.alias)
        if rows_by_slot is None and live.tables in self._locked:
            raise self._locked[live.tables]
        try:
            if rows_by_slot is None:
                delta = refresh(live, what, *where)
            else:
                delta = take(live, what, rows_by_slot.get(live.query.slot) or Rows(), *where)
        except OverBudget:
            self._have_loaded([live])
            return
        except Exception as problem:
            self._note_lock(live, problem)
            raise
        self._context.ticks.settle(live)
        self._context.store.demand_all_rows(live)  # what else is read is known by now
        self._publish(live, delta)

    def _note_lock(self, live: LiveView, problem: Exception) -> None:
        """Have no other view wait in this turn for the lock that this one has waited for."""
        if locked(self._context.alias, problem):
            self._locked[live.tables] = problem

    def _have_loaded(self, lives: Sequence[LiveView]) -> None:
        for live in lives:
            live.await_load()
            self._context.ticks.begin_load(live)
        durable = self._context.source.durable
        self._context.loader.load(
            Wanted(lives=lives, since=self._context.position, durable=durable)
        )

    def take(self, loaded: Loaded) -> None:
        """Take a big load's rows; `move` brings them to the present."""
        live = loaded.live
        live.learn(loaded.recorder)
        if live.awaits(
            loaded.began, loaded.query
        ):  # else it was set aside, and perhaps read to newer rows
            self._failures.attempt(live, partial(self._take, loaded))

    def _take(self, loaded: Loaded, live: LiveView) -> None:
        if loaded.rows is None:
            raise loaded.problem or Unavailable()
        self._context.store.demand_all_rows(live)
        delta = live.load(loaded.rows, loaded.position, began=loaded.began)
        self._publish(live, delta)
        if delta is None:
            self._context.outbound.add(live.audience, Arrived())
        if live.suspect:
            live.read_again()  # the load may have begun before that was said

    def _publish(self, live: LiveView, delta: Delta | None) -> None:
        self._context.store.alarms.set(live)
        if delta is None and not live.stale:
            return
        live.stale = False
        if live.audience:
            frames = live.delta_frames(delta) if delta is not None else (live.ok_frame(),)
            event = Published(frames=frames, version=live.view.version)
            self._context.outbound.add(live.audience, event)
