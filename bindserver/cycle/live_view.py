"""Views as a server keeps them: the engine's view, its query, and who looks at it."""

from __future__ import annotations

import datetime
import math
import time
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence, Set
from dataclasses import dataclass
from enum import Enum
from itertools import count
from typing import Any

from bindserver.bindings.binding import Binding
from bindserver.cycle.audience import Attended
from bindserver.cycle.budget import Charge
from bindserver.cycle.costs import Allowance
from bindserver.cycle.figures import EventFigures
from bindserver.cycle.live_shape import NOWHERE, LiveShape, Present
from bindserver.cycle.view_rows import ViewRows, is_sorted
from bindserver.engine.changes import Key, Position
from bindserver.engine.frames import FrameEncoder
from bindserver.engine.protocol import canonical
from bindserver.engine.ring import Delta
from bindserver.exceptions import Refusal
from bindserver.queries.query import Query
from bindserver.queries.rows import Rows

_views = count()

NEVER = -math.inf
"""When what has not happened yet did, on the monotonic clock; one object for all views."""


class ViewState(Enum):
    """Where a view stands.

    NEW: nothing read yet. LOADING: the loader reads it whole. READY: it is as it was at its
    position. FAILED: set aside until `retry_at`, to be read whole then.
    """

    NEW = "new"
    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"


def _nobody(live: LiveView) -> None:
    """Hear that a view is to be looked at, and do nothing."""


@dataclass(slots=True)
class Tick:
    """Up to when a view is right as time passes, by the database's clock.

    Attributes:
        seen: what crossed the present time before has been read again; None where nothing has.
        next: when the next row crosses; None where none does.
        known: whether that was looked for.
        at: when to look again, on the monotonic clock.
    """

    seen: datetime.datetime | None = None
    next: datetime.datetime | None = None
    known: bool = False
    at: float = NEVER


NO_PARAMS = canonical({})

NOT_LOOKED = Tick()
"""That of all views that nobody has looked for the time's sake at: most never are."""


class LiveView(Attended):
    """One view, with its query, position and audience. The cycle's thread alone touches it.

    Args:
        query: what it reads.
        binding: one of the equal bindings that it serves.
        secret: seals its cursors.
        shape: that of its query.
        look_at: called whenever the next turn is to look at it: somebody waits for an answer, or
            its rows are not to be what they were.
        figures: those of its event.
        fallbacks: what cursors were sealed with before.

    Attributes:
        number: names it for as long as it lives, whatever its query is.
        params: those that the binding was given, in their canonical form, as JSON text.
        rows: those that it holds.
        loaded: whether it has ever had rows.
        refusal: what is told to whoever asks for first rows while it is set aside.
        reading_since: when it was last begun to read it, on the monotonic clock.
        refresh_at: when it is to be read whole, changed or not.
        tick: up to when it is right as time passes.
        allowance: how often it may be read, where the loader had to because it is dear.
        armed_at: for when that is noted in the store's alarms.
        charge: what it takes of the budget; None for one that is in no store.
        is_dropped: whether the store has dropped it: nothing is to be done for it any more.
    """

    __slots__ = (
        "__weakref__",
        "_awaits_rows_of",
        "_awaits_since",
        "_held_at",
        "_look_at",
        "_state",
        "allowance",
        "armed_at",
        "behind_since",
        "binding",
        "charge",
        "compared",
        "event",
        "failures",
        "fallbacks",
        "is_dropped",
        "loaded",
        "loaded_at",
        "moved_at",
        "number",
        "params",
        "query",
        "reading_since",
        "refresh_at",
        "refusal",
        "retry_at",
        "rows",
        "secret",
        "shape",
        "stale",
        "superseded",
        "suspect",
        "tick",
        "used_at",
    )

    def __init__(
        self,
        query: Query,
        binding: Binding[Any],
        secret: bytes,
        shape: LiveShape[LiveView] | None = None,
        look_at: Callable[[LiveView], None] = _nobody,
        figures: EventFigures | None = None,
        fallbacks: Sequence[bytes] = (),
    ) -> None:
        super().__init__()
        self.number = next(_views)
        self.query = query
        self.shape: LiveShape[LiveView] = LiveShape(query, Present()) if shape is None else shape
        self.event = binding.event
        self.binding = type(binding)
        self._look_at = look_at
        self._state = ViewState.NEW
        self.suspect = False
        self.superseded = False
        self._awaits_since = NEVER
        self._awaits_rows_of = query
        self.stale = False
        self.loaded = False
        self.refusal: Refusal | None = None
        self.failures = 0
        self.retry_at = 0.0
        self.moved_at = NEVER
        self.reading_since = NEVER
        self.refresh_at = self.armed_at = math.inf
        self.tick = NOT_LOOKED
        self.allowance: Allowance | None = None
        self.charge: Charge[LiveView] | None = None
        self.is_dropped = False
        self.behind_since: float | None = None
        self.used_at = time.monotonic()
        self.secret = secret
        self.fallbacks = fallbacks
        self.params = canonical(binding.wire_params)
        self._held_at: Position | None = NOWHERE
        self.compared = NOWHERE
        self.loaded_at = NEVER
        self.rows = ViewRows(query, figures or EventFigures())
        self.figures.views += 1

    @property
    def figures(self) -> EventFigures:
        """Those of its event."""
        return self.rows.figures

    @property
    def given(self) -> bool:
        """Whether the binding was given params."""
        return self.params != NO_PARAMS

    @property
    def state(self) -> ViewState:
        """Where it stands."""
        return self._state

    @state.setter
    def state(self, state: ViewState) -> None:
        self._state = state
        self._look_at(self)

    @property
    def position(self) -> Position:
        """The state that its rows are of: one of its own, or its shape's."""
        return self.shape.position if self._held_at is None else self._held_at

    @position.setter
    def position(self, position: Position) -> None:
        self._held_at = position

    def hold(self) -> None:
        """Stay where it is, wherever its shape goes."""
        self._held_at = self.position

    def ride(self) -> None:
        """Be from now on where its shape is."""
        self._held_at = None
        self.behind_since = None

    @property
    def name(self) -> str:
        """What operators know it by: its event, or its model where it is not published."""
        return self.event or self.query.model._meta.label

    def look(self) -> None:
        """Have the next turn look at it."""
        self._look_at(self)

    @property
    def encoder(self) -> FrameEncoder:
        """Writes its frames. One is soon made, and each would take as much as two rows do."""
        params = self.params if self.binding.params else None
        return FrameEncoder(event=self.event or "", params=params, key=self.query.key)

    @property
    def is_settled(self) -> bool:
        """Whether all who want it have its rows, and it needs nothing but changes."""
        return self._state is ViewState.READY and not self.is_awaited

    @property
    def is_spaced(self) -> bool:
        """Whether it stays where it is, though something was touched, as it is read less often."""
        allowance = self.allowance
        return self.is_settled and allowance is not None and allowance.stays

    def is_at(self, position: Position) -> bool:
        """Return whether it is as the database was at a position, by what a turn has found."""
        return self._state is ViewState.READY and self.position == position and not self.is_spaced

    def rests(self) -> bool:
        """Return whether it is set aside, and not to be tried again yet."""
        return self.state is ViewState.FAILED and time.monotonic() < self.retry_at

    def wakes_at(self) -> float:
        """Return when it is to be looked at though nobody writes, on the monotonic clock."""
        ticks = self.query.pulse is not None and self.tick.known
        return min(self.refresh_at, self.tick.at) if ticks else self.refresh_at

    def is_past(self, now: float) -> bool:
        """Return whether its rows are older than they may be, changed or not."""
        return self.state is ViewState.READY and self.refresh_at <= now

    def refuses(self) -> Refusal | None:
        """Return why nobody is given its rows until it is tried again; None if it can be read, or
        nobody knows that it cannot: then whoever asks is to wait."""
        return self.refusal if self.rests() else None

    @property
    def is_with_loader(self) -> bool:
        """Whether nothing can be done for it before its first rows have been loaded, and nobody is
        to be told anything: those who wait for it have none of its rows, nor of one before it."""
        first = self._state is ViewState.LOADING and self.loaded_at == NEVER
        return first and self.wanted and not (self.audience or self.has_moved)

    def await_load(self) -> None:
        """Have the loader's rows waited for, in place of any that it is reading already."""
        self.state = ViewState.LOADING
        self._awaits_since = time.monotonic()
        self._awaits_rows_of = self.query

    def awaits(self, began: float, query: Query) -> bool:
        """Return whether a big load is waited for that began at a time, on the monotonic clock, and
        has read a query."""
        current = began >= self._awaits_since and query is self._awaits_rows_of
        return self.state is ViewState.LOADING and current

    def adopt(self, query: Query) -> None:
        """Take a query that was asked for anew in place of the one before. Where its rows may be
        others, they are to be read whole; what differs is a delta like any other."""
        before, self.query = self.query, query
        if query.identity != before.identity:
            # Nobody gets rows of the query before any more, those neither that are being loaded.
            self.superseded = True
            self.loaded_at = NEVER
            self.suspect = False
            self.rows.adopt(query)
            self.tick = NOT_LOOKED
            if self.state is not ViewState.FAILED:
                self.state = ViewState.NEW
        elif self.state is not ViewState.FAILED and not query.is_surely(before):
            self.read_again()

    def may_adopt(self, query: Query) -> bool:
        """Return whether another query's rows can take the place of its own: they have the same
        key, and are put in order the same way."""
        mine = self.query
        return (mine.form, mine.key, is_sorted(mine), mine.model) == (
            query.form,
            query.key,
            is_sorted(query),
            query.model,
        )

    @property
    def tracked(self) -> Collection[Hashable]:
        """The primary keys of the rows that it holds, shown or not; another object after they were
        read whole."""
        return self.rows.tracked

    @property
    def tables(self) -> frozenset[str]:
        """Every table that it reads."""
        own, carried = self.shape.tables, self.query.carried.tables
        return own | carried if carried else own

    def forget(self) -> None:
        """Forget the rows and the ring, as if it had never been read."""
        self.loaded_at = NEVER
        self.rows.forget(self.query)

    def empty(self) -> None:
        """Be as if it had never had rows: there is no room for them."""
        self.forget()
        self.loaded = False
        self.state = ViewState.NEW

    def drop(self) -> None:
        """Be looked at and counted no more, whatever is still to come for it."""
        self.is_dropped = True
        self._look_at = _nobody
        self.figures.views -= 1
        self.rows.drop()

    def mark_suspect(self) -> None:
        """Take the rows for old ones: they are to be read whole, and their date is now."""
        self.rows.modified = time.time()
        self.read_again()

    def read_again(self) -> None:
        """Have the rows read whole: at once, or again once they have been loaded."""
        self.suspect = self.state is ViewState.LOADING
        if not self.suspect:
            self.state = ViewState.NEW

    def load(self, rows: Rows, position: Position, *, began: float | None = None) -> Delta | None:
        """Take all rows as they were at a position; others may be given the same.

        Args:
            rows: all there are.
            position: the state that they are of.
            began: when a big load of them began, on the monotonic clock.
        """
        self.loaded_at, held = NEVER if began is None else began, self.rows.held
        seconds = self.query.refreshed_after
        read_at = self.reading_since if began is None else began
        old_at = math.inf if seconds is None else read_at + seconds
        self.refresh_at = min(old_at, self.query.fresh_until)
        delta = self.show(rows if held is None else held.load(rows), position)
        self.compared = position
        if began is not None and self.behind_since is not None:
            self.behind_since = began
        self.state = ViewState.READY
        self._awaits_since = NEVER
        self.loaded = True
        self.refusal = None
        self.superseded = False
        self.failures = 0
        return delta

    def show(self, rows: Rows, position: Position) -> Delta | None:
        """Take all rows that are shown at a position, in order."""
        delta = self.rows.load(rows)
        self.position = position
        return delta

    def step(
        self,
        rows: Rows,
        gone: Set[Hashable],
        position: Position,
        *,
        listed: Sequence[Key] | None = None,
        after: Mapping[Key, Key | None] | None = None,
    ) -> Delta | None:
        """Take rows that were read again, and those that were looked for in vain.

        Args:
            rows: what was found.
            gone: the primary keys of those that were not.
            position: the state that this is of.
            listed: as for `engine.view.View.step`.
            after: the same.
        """
        delta = self.rows.step(rows, gone, listed=listed, after=after)
        self.position = position
        return delta
