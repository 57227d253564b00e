"""Views are moved to the present: those of one shape together, in one query."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import partial
from itertools import islice

from bindserver.conf import conf
from bindserver.cycle.context import TurnContext
from bindserver.cycle.failures import Failures
from bindserver.cycle.invalidation import WHOLE, Touched
from bindserver.cycle.live_shape import LiveShape
from bindserver.cycle.live_view import LiveView, ViewState
from bindserver.cycle.loader import Loaded, Wanted
from bindserver.cycle.refresh import read_riders, read_together, refresh, take
from bindserver.database.snapshot import locked
from bindserver.engine.events import Arrived, Published
from bindserver.engine.ring import Delta
from bindserver.exceptions import Overtaken, Unavailable
from bindserver.queries.rows import OverBudget, Rows, RowsBySlot
from bindserver.user_code import apart

logger = logging.getLogger("bindserver")

Groups = dict[Hashable, tuple[Touched, list[LiveView]]]
"""Views in which the same was touched, and which can be read together."""


class Advance:
    """Moves views to the state of a turn's snapshot.

    Args:
        context: the turn's.
        failures: keeps a view's failure its own.

    Attributes:
        unwatched: whether something was read that nobody watches yet.
    """

    def __init__(self, context: TurnContext, failures: Failures) -> None:
        self._context = context
        self._failures = failures
        self._routing = context.store.routing
        self._locked: dict[frozenset[str], Exception] = {}
        self._apart: set[LiveShape[LiveView]] = set()
        self.unwatched = False
        self._late = False
        self._until = 0.0

    def move(self) -> None:
        """Move all views to the present that do not ride there; load those that have no rows yet.

        A snapshot is not held for long, however many views there are: those that it leaves where
        they are come first in the next one.
        """
        self._until = time.monotonic() + conf.QUERY_SECONDS
        for shape in sorted(self._routing.held, key=lambda shape: shape.moved_at):
            if not self._late:
                self._move_shape(shape)
        self._move_unsettled()

    # Views that ride: of each shape those alone that something has touched.

    def _move_shape(self, shape: LiveShape[LiveView]) -> None:
        """Move the views that ride with a shape."""
        try:
            what = self._context.invalidation.touched_in(shape, shape.position)
        except Overtaken:
            return  # it stays where it is
        except Exception as problem:
            self._failures.see_database()
            logger.debug("bindserver: views are moved one by one", exc_info=problem)
            self._routing.dissolve(shape)  # each is to fail by itself
            return
        if what.whole or (what and shape.query.pulse is not None):
            self._routing.dissolve(shape)  # each is to look when its next row crosses
        elif what:
            self._move_riders(shape, what)
        self._routing.release(shape)

    def _move_riders(self, shape: LiveShape[LiveView], what: Touched) -> None:
        """Move those riding views of a shape of which rows were touched."""
        riders, rows_by_slot = list(islice(shape.riding(), 2)), None
        if self._are_apart(riders[0]):
            self._routing.dissolve(shape)
            return
        if len(riders) > 1:
            read = partial(read_riders, shape, what.pks, self._context.pacer, self._context.alias)
            rows_by_slot = self._read_together(riders, read, shape.riding)
            if rows_by_slot is None:
                self._routing.dissolve(shape)
                return
            slots = shape.holding(what.pks) | rows_by_slot.keys()
            riders = [live for slot in slots for live in shape.of_slot(slot)]
        for live in riders:
            if self._late:
                self._routing.dismount(live)
                continue
            before = live.tracked
            self._failures.attempt(live, partial(self._move, what, rows_by_slot))
            self._note_time(live)
            if shape.is_riding(live):
                shape.note(what.pks, live, before)
                live.ride()
        self.unwatched |= not self._context.source.watches(shape.tables)

    # All others, one by one, or together where they are alike.

    def _move_unsettled(self) -> None:
        groups: Groups = {}
        wanted = [live for live in self._routing.unsettled if live.wanted]
        for live in sorted(wanted, key=lambda live: live.moved_at):
            if live.state is not ViewState.LOADING and not live.rests() and not self._stays(live):
                self._failures.attempt(live, partial(self._assign, groups), ours=True)
        for what, lives in groups.values():
            alone = self._late or len(lives) == 1 or self._are_apart(lives[0])
            read = partial(read_together, lives, what, self._context.pacer, self._context.alias)
            rows_by_slot = None if alone else self._read_together(lives, read, lives.__iter__)
            for live in lives:
                if self._late and rows_by_slot is None:
                    self._context.stay(live)
                elif live.state is not ViewState.LOADING and not self._stays(live):
                    self._failures.attempt(live, partial(self._move, what, rows_by_slot))
                    self._note_time(live)

    def _are_apart(self, live: LiveView) -> bool:
        """Return whether views of one's shape are not to be read together in this turn."""
        return live.shape in self._apart or live.tables in self._locked

    def _note_time(self, live: LiveView) -> None:
        live.moved_at = time.monotonic()
        live.shape.moved_at = live.moved_at
        self._late = live.moved_at >= self._until

    def _stays(self, live: LiveView) -> bool:
        """Return whether a view is not to be moved in this snapshot."""
        return live in self._context.staying

    def _assign(self, groups: Groups, live: LiveView) -> None:
        """Put a view to those that it can be read with; let it pass if nothing has touched it."""
        self._context.store.demand_all_rows(live)
        what = self._context.ticks.touched(live, self._what(live))
        if not what:
            self._context.ticks.settle(live)
            if not live.shape.is_riding(live):
                live.position = self._context.position
            live.moved_at = time.monotonic()
            self._publish(live, None)
            return
        self._routing.dismount(live)
        # One that has failed is tried by itself, or it might fail them all.
        # Windows are read each by itself, and what has changed in them together.
        alone = live.state is ViewState.FAILED or (what.whole and live.query.window is not None)
        batch_key = None if alone else live.query.batch_key
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

    def _read_together(
        self,
        lives: Sequence[LiveView],
        read: Callable[[], RowsBySlot],
        every: Callable[[], Iterable[LiveView]],
    ) -> RowsBySlot | None:
        """Return the rows of each slot; None where views are to be read one by one, because one
        of them, which is not known yet, cannot be read.

        Args:
            lives: some of the views.
            read: reads for all of them.
            every: returns all of them.
        """
        self._context.pacer.restart()
        try:
            return apart(read)
        except OverBudget:
            self._have_loaded(list(every()))
        except Exception as problem:
            self._failures.see_database()
            self._note_lock(lives[0], problem)
            self._apart.add(lives[0].shape)
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
        live.shape.learn(loaded.recorder)
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
