"""One turn of the cycle, inside one snapshot: views move on, requests are served."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable

from bindserver.capture.sources import Source
from bindserver.cycle.advance import Advance
from bindserver.cycle.delivery import Outbound
from bindserver.cycle.failures import Failures, nobody
from bindserver.cycle.inbox import Answered, Request
from bindserver.cycle.invalidation import Invalidation
from bindserver.cycle.live_view import LiveView, ViewState
from bindserver.cycle.loader import Loaded
from bindserver.cycle.outage import Desk
from bindserver.cycle.refresh import missed
from bindserver.cycle.renewal import Renewal
from bindserver.cycle.serving import Serving
from bindserver.database.pacing import Pacer
from bindserver.engine.changes import Position
from bindserver.engine.frames import Frame, round_page_size
from bindserver.engine.protocol import Subscribe
from bindserver.exceptions import Overtaken


class Turn:
    """One turn, within an open snapshot.

    Args:
        desk: what lasts.
        source: says what changed.
        pacer: rests, and stops what takes too long.
        note: hears what bindings and serializers have raised.

    Attributes:
        outgoing: the events that the turn came to.
        unanswered: whether another turn is needed at once.
        postponed: what it must deal with first, in order.
        position: the snapshot's.
    """

    def __init__(
        self,
        desk: Desk,
        source: Source,
        pacer: Pacer,
        note: Callable[[Exception], None] = nobody,
    ) -> None:
        self._desk = desk
        self._source = source
        self._pacer = pacer
        self.outbound = Outbound()
        self.unanswered = False
        self.postponed: list[Request | Loaded] = []
        self.position = Position(epoch="", mark="")
        self._failures = Failures(desk, source, pacer, self.outbound, note)
        self._invalidation: Invalidation

    def run(self, items: Iterable[Request | Loaded]) -> None:
        """Take loads, move views to the present, serve requests, answer those who wait."""
        items = list(items)
        self.position = self._source.position()
        self._invalidation = Invalidation(self._source, self.position)
        renewal = Renewal(
            desk=self._desk,
            source=self._source,
            invalidation=self._invalidation,
            position=self.position,
            outbound=self.outbound,
            failures=self._failures,
        )
        renewal.run()  # first, so that nobody is told of a view that is theirs no more
        advance = Advance(
            desk=self._desk,
            source=self._source,
            invalidation=self._invalidation,
            position=self.position,
            pacer=self._pacer,
            outbound=self.outbound,
            failures=self._failures,
        )
        for item in items:
            if isinstance(item, Loaded) and item.live in self._failures.staying:
                self.postponed.append(item)
            elif isinstance(item, Loaded):
                advance.take(item)
        requests = [item for item in items if not isinstance(item, Loaded)]
        self._serve([*renewal.left(), *requests], renewal)
        self.unanswered |= renewal.unwatched
        wanted = [live for live in self._desk.store.views() if live.wanted]
        advance.move(wanted)
        for live in wanted:
            self._answer(live)
        self.unanswered |= bool(self._failures.staying)
        if items:  # who was asked about may have been told by what nobody watches yet
            self.unanswered |= not self._source.watches(self._desk.reads())

    def _serve(self, requests: Iterable[Request], renewal: Renewal) -> None:
        """Lead those who ask for something to their views, and those whose views are others now."""
        serving = Serving(
            desk=self._desk,
            source=self._source,
            pacer=self._pacer,
            outbound=self.outbound,
            position=self.position,
            failed=self._failures.failed,
            renew=renewal.renew,
        )
        for request in requests:
            serving.serve(request)
        self.postponed += serving.postponed

    def state(self) -> str:
        """Return an opaque name of the committed state that the turn came to."""
        text = f"{self.position.epoch}.{self.position.mark}"
        return hashlib.sha256(text.encode()).hexdigest()[:24]

    # Answers.

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
        if live in self._failures.staying:
            return
        if not self._source.watches(live.tables):
            self.unanswered |= live.state is ViewState.READY
            return
        if not (live.openings or live.readers):
            return
        live.give_readers(self._source.proves, asked_before=asked_before)
        for opening in live.take_openings(asked_before=asked_before):
            frames = self._first_frames(live, opening.message)
            live.audience[opening.ref] = None
            answered = Answered(frames=frames, version=live.view.version)
            self.outbound.add([opening.ref], answered)

    def _first_frames(self, live: LiveView, message: Subscribe) -> tuple[Frame, ...]:
        try:
            delta = missed(live, live.cursor_of(message), message.held, self._invalidation)
        except Overtaken:
            delta = None
        if delta is None:
            return live.sync_frames(round_page_size(message.page_size))
        return live.delta_frames(delta)
