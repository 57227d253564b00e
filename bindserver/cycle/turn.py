"""One turn of the cycle, inside one snapshot: views move on, requests are served."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Sequence
from typing import NamedTuple, cast

from bindserver.cycle.advance import Advance
from bindserver.cycle.answers import cursor_of, delta_frames, give_rows, sync_frames
from bindserver.cycle.audits import Audits
from bindserver.cycle.context import TurnContext
from bindserver.cycle.failures import Failures
from bindserver.cycle.inbox import Request
from bindserver.cycle.live_view import LiveView, ViewState
from bindserver.cycle.load_messages import Audited, Loaded, Result
from bindserver.cycle.loads import Loads
from bindserver.cycle.refresh import missed
from bindserver.cycle.renewal import Renewal
from bindserver.cycle.serving import Serving, still_wanted
from bindserver.engine.cursor import name_of
from bindserver.engine.events import Answered
from bindserver.engine.frames import Frame, round_page_size
from bindserver.engine.protocol import Subscribe
from bindserver.exceptions import Overtaken

RESULTS = frozenset({Loaded, Audited})
"""What the loader hands in; all else is asked for."""


class _Todo(NamedTuple):
    """What lies in the inbox, by kind, in order."""

    loads: list[Loaded]
    audits: list[Audited]
    requests: Sequence[Request]


class Turn:
    """One turn, within an open snapshot.

    Args:
        context: what it works with.

    Attributes:
        unanswered: whether another turn is needed at once.
        postponed: what it must deal with first, in order.
        newcomers_seconds: how long it has worked for those who come or ask.
    """

    def __init__(self, context: TurnContext) -> None:
        self._context = context
        self.unanswered = False
        self.newcomers_seconds = 0.0
        self.postponed: list[Request | Loaded] = []

    def run(self, items: Sequence[Request | Result]) -> None:
        """Take loads, move views to the present, serve requests, answer those who wait."""
        context = self._context
        context.begin()
        failures = Failures(context)
        began, todo = time.monotonic(), _parted(items)
        self._serve(todo, failures)
        self.newcomers_seconds = time.monotonic() - began
        advance = Advance(context, failures)
        advance.move()
        self._settle(advance.left())
        if advance.is_left:  # what is ready must not wait for what is dear
            if context.outbound:
                context.publish()
            advance.move_dear()
            self._settle()
        held = context.store.routing.held
        self.unanswered |= bool(context.staying or held or advance.unwatched)
        self._audit(todo.audits)
        if items:  # who was asked about may have been told by what nobody watches yet
            self.unanswered |= not context.source.watches(context.store.reads())

    def state(self) -> str:
        """Return an opaque name of the committed state that the turn came to."""
        return name_of(self._context.position, self._context.store.secret)

    # What newcomers want.

    def _serve(self, todo: _Todo, failures: Failures) -> None:
        """Do what newcomers want, a slice of each kind of work."""
        context = self._context
        renewal = Renewal(context, failures)
        renewal.run()  # first, so that nobody is told of a view that is theirs no more
        loads, until, taken = Loads(context, failures), context.store.lanes.slice_until(), 0
        for loaded in todo.loads:
            if loaded.live in context.staying or (taken and time.monotonic() >= until):
                self.postponed.append(loaded)
            else:
                loads.take(loaded)
                taken += 1
        # Those who ask for something, and those whose views are others now.
        serving = Serving(context, failures, renewal)
        self.postponed += serving.serve([*renewal.left(), *still_wanted(todo.requests)])
        self.unanswered |= renewal.unwatched

    # Audits.

    def _audit(self, found: Sequence[Audited]) -> None:
        """Judge audits, and begin the next one, after all that somebody waits for."""
        context, audits = self._context, Audits(self._context)
        if found and context.outbound:
            context.publish()
        for audited in found:
            self.unanswered |= audits.take(audited)
        audits.begin()

    # Answers.

    def _settle(self, left: Collection[LiveView] = ()) -> None:
        """Answer all who wait for rows that are here.

        Args:
            left: views that are not looked at, as they are read later in this turn.
        """
        routing, staying = self._context.store.routing, self._context.staying
        # Those that stay may be where the present is, but their time has come: they must not ride.
        passed = {*left, *staying}
        for live in [live for live in routing.unsettled if live not in passed]:
            self._answer(live)
            routing.settle(live)

    def _answer(self, live: LiveView) -> None:
        """Answer all who wait for the view's rows, if they are here.

        Where one of its tables is not watched yet, nobody knows what a cursor has missed: the next
        turn does.
        """
        if live.state is ViewState.LOADING:
            # While more is written than a turn reads, each load leads to another. So whoever asked
            # before the last one began is answered by what it came to.
            asked_before = live.loaded_at
        elif live.state is ViewState.READY:
            asked_before = math.inf
        else:
            return
        if not self._context.source.watches(live.tables):
            self.unanswered |= live.state is ViewState.READY
            return
        if not live.is_awaited:
            return
        give_rows(live, self._context.source.proves, asked_before=asked_before)
        openings = live.take_openings(asked_before=asked_before)
        for opening in openings:
            live.audience.add(opening.ref)  # all of them first: frames are kept for as many
        for opening in openings:
            frames = self._first_frames(live, opening.message)
            answered = Answered(frames=frames, version=live.rows.view.version)
            self._context.outbound.add([opening.ref], answered)
        self._context.store.room.weigh(live)  # it may keep frames for those who come next

    def _first_frames(self, live: LiveView, message: Subscribe) -> tuple[Frame, ...]:
        try:
            delta = missed(live, cursor_of(live, message), message.held, self._context.invalidation)
        except Overtaken:
            delta = None
        if delta is None:
            return sync_frames(live, round_page_size(message.page_size))
        return delta_frames(live, delta)


def _parted(items: Sequence[Request | Result]) -> _Todo:
    """Return what is to be done by kind. All who wait for later turns are among it: there is no
    time for more than a look at each."""
    if RESULTS.isdisjoint(set(map(type, items))):
        return _Todo([], [], cast(Sequence[Request], items))
    requests = cast(Sequence[Request], [item for item in items if type(item) not in RESULTS])
    results = [item for item in items if type(item) in RESULTS]
    loads = [item for item in results if isinstance(item, Loaded)]
    audits = [item for item in results if isinstance(item, Audited)]
    return _Todo(loads, audits, requests)
