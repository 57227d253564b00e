"""Views are moved to the present: those of one shape together, in one query."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import islice

from bindserver.conf import conf
from bindserver.cycle.context import TurnContext
from bindserver.cycle.failures import Failures
from bindserver.cycle.groups import Group, Groups
from bindserver.cycle.invalidation import WHOLE, Touched
from bindserver.cycle.live_shape import LiveShape
from bindserver.cycle.live_view import LiveView, ViewState
from bindserver.cycle.loads import Loads, publish
from bindserver.cycle.refresh import read_riders, read_together, refresh, take
from bindserver.database.snapshot import locked
from bindserver.exceptions import Overtaken
from bindserver.queries.rows import OverBudget, Rows, RowsBySlot
from bindserver.user_code import apart, contained

logger = logging.getLogger("bindserver.cycle")


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
        self._lanes = context.store.lanes
        self._loads = Loads(context, failures)
        self._dear_shapes: list[LiveShape[LiveView]] = []
        self._dear_groups: list[Group] = []
        self._locked: dict[frozenset[str], Exception] = {}
        self._apart: set[LiveShape[LiveView]] = set()
        self.unwatched = False
        self._late = False
        self._until = 0.0

    def move(self) -> None:
        """Move all views to the present that do not ride there, and that are cheap; load those that
        have no rows yet.

        A snapshot is not held for long, however many views there are: those that it leaves where
        they are come first in the next one.
        """
        self._until = time.monotonic() + conf.QUERY_SECONDS
        shapes, self._dear_shapes = self._lanes.part(self._routing.held)
        for shape in shapes:
            if not self._move_shape(shape, hurry=True):
                self._dear_shapes.append(shape)
        groups, self._dear_groups = self._lanes.part(self._groups(self._routing.unsettled))
        for group in groups:
            self._move_group(group)

    @property
    def is_left(self) -> bool:
        """Whether `move` has left views that are dear."""
        return bool(self._dear_shapes or self._dear_groups)

    def left(self) -> set[LiveView]:
        """Return the views that are dear and do not ride: they are not at the present yet."""
        return {live for group in self._dear_groups for live in group.lives}

    def move_dear(self) -> None:
        """Move those views that are dear, one at least, for about as long as the turn took up to
        here."""
        now = time.monotonic()
        self._late = False
        self._until = min(self._until, now + max(self._lanes.seconds, now - self._context.began))
        works: list[LiveShape[LiveView] | Group] = [*self._dear_shapes, *self._dear_groups]
        for work in self._lanes.by_turns(works):
            if isinstance(work, Group):
                self._move_group(work)
            elif not self._late:
                riding = list(work.riding())
                self._move_shape(work)
                for group in self._groups(live for live in riding if not work.is_riding(live)):
                    self._move_group(group)

    # Views that ride: of each shape those alone that something has touched.

    def _move_shape(self, shape: LiveShape[LiveView], *, hurry: bool = False) -> bool:
        """Move the views that ride with a shape; return whether there was time for it, where
        others wait."""
        if self._late:
            return True  # it stays where it is
        try:
            with contained():
                what = self._context.invalidation.touched_in(shape, shape.position)
        except Overtaken:
            return True
        except Exception as problem:
            self._failures.see_database()
            logger.debug("bindserver: views are moved one by one", exc_info=problem)
            self._routing.dissolve(shape)  # each is to fail by itself
            return True
        if what and hurry and self._lanes.is_long(shape, what):
            return False
        alone = len(shape) == 1 and self._lanes.is_for_loader(shape, what)
        alone = alone or shape.query.pulse is not None
        if what.whole or (what and alone):
            # Each is to look when its next row crosses, or is the loader's.
            self._routing.dissolve(shape)
        elif what:
            self._move_riders(shape, what)
        self._routing.release(shape)
        return True

    def _move_riders(self, shape: LiveShape[LiveView], what: Touched) -> None:
        """Move those riding views of a shape of which rows were touched."""
        began = time.monotonic()
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
        shape.cost.note_step(time.monotonic() - began, len(what.pks))
        shape.cost.note_move(time.monotonic() - began)
        self.unwatched |= not self._context.source.watches(shape.tables)

    # All others, one by one, or together where they are alike.

    def _groups(self, lives: Iterable[LiveView]) -> list[Group]:
        """Return what is to be read again by turns, have the loader read what it should, and let
        those views pass that nothing has touched."""
        groups: Groups = {}
        wanted = [live for live in lives if live.state is not ViewState.LOADING and live.wanted]
        for live in sorted(wanted, key=lambda live: live.moved_at):
            if not live.rests() and not self._stays(live):
                self._failures.attempt(live, partial(self._assign, groups), ours=True)
        return [group for group in groups.values() if not self._leave_to_loader(group)]

    def _leave_to_loader(self, group: Group) -> bool:
        """Have the loader read views that are too dear for a turn, but for those that have had
        their share of the time; return whether they are."""
        if not self._lanes.is_for_loader(group.shape, group.what, len(group.lives)):
            return False
        group.shape.cost.note_load()
        if lives := [live for live in group.lives if not self._lanes.space(live)]:
            self._loads.want(lives)
        return True

    def _move_group(self, group: Group) -> None:
        """Move views of one shape in which the same was touched."""
        what, lives, began = group.what, group.lives, time.monotonic()
        alone = self._late or len(lives) == 1 or self._are_apart(lives[0])
        read = partial(read_together, lives, what, self._context.pacer, self._context.alias)
        rows_by_slot = None if alone else self._read_together(lives, read, lives.__iter__)
        moved = []
        for live in lives:
            if self._late and rows_by_slot is None:
                self._context.stay(live)
            elif live.state is not ViewState.LOADING and not self._stays(live):
                self._failures.attempt(live, partial(self._move, what, rows_by_slot))
                self._note_time(live)
                moved.append(live)
        if lives[0].tables not in self._locked:
            self._note_cost(what, moved, time.monotonic() - began)

    def _note_cost(self, what: Touched, lives: Sequence[LiveView], seconds: float) -> None:
        """Take note of how long it took to read views of one shape."""
        read = [live for live in lives if live.state is not ViewState.LOADING]
        if not read:
            return
        cost = read[0].shape.cost
        if what.whole:
            rows = sum(len(live.rows.keys) for live in read)
            cost.note_whole(seconds / len(read), rows // len(read))
        else:
            cost.note_step(seconds, len(what.pks))
        cost.note_move(seconds)

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
        if self._lanes.stays(live):
            return
        self._context.store.demand_all_rows(live)
        what = self._context.ticks.touched(live, self._what(live))
        if not what:
            self._context.ticks.settle(live)
            if not live.shape.is_riding(live):
                live.position = self._context.position
            live.moved_at = time.monotonic()
            publish(self._context, live, None)
            return
        self._routing.dismount(live)
        # One that has failed is tried by itself, or it might fail them all.
        # Windows are read each by itself, and what has changed in them together.
        alone = live.state is ViewState.FAILED or (what.whole and live.query.window is not None)
        batch_key = None if alone else live.query.batch_key
        key = live.query.identity if batch_key is None else (batch_key, what)
        groups.setdefault(key, Group(what, [])).lives.append(live)

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
        if live.is_awaited and unsure:
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
            self._loads.want(list(every()))
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
            self._loads.want([live])
            return
        except Exception as problem:
            self._note_lock(live, problem)
            raise
        self._context.ticks.settle(live)
        self._context.store.demand_all_rows(live)  # what else is read is known by now
        publish(self._context, live, delta)

    def _note_lock(self, live: LiveView, problem: Exception) -> None:
        """Have no other view wait in this turn for the lock that this one has waited for."""
        if locked(self._context.alias, problem):
            self._locked[live.tables] = problem
