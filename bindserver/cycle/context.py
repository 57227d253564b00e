"""What one turn works with: whoever takes part in it is handed this, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bindserver.capture.sources import Source
from bindserver.cycle.delivery import Outbound
from bindserver.cycle.failure_log import FailureLog
from bindserver.cycle.invalidation import Invalidation
from bindserver.cycle.live_shape import NOWHERE
from bindserver.cycle.live_view import LiveView
from bindserver.cycle.loader import Loader
from bindserver.cycle.resolver import Resolver
from bindserver.cycle.ticks import Ticks
from bindserver.cycle.view_store import ViewStore
from bindserver.database.pacing import Pacer
from bindserver.engine.changes import Position


def nobody(problem: Exception) -> None:
    """Hear what went wrong, and do nothing."""


def later() -> None:
    """Leave what is ready to be published at the end of the turn."""


@dataclass(slots=True, kw_only=True, eq=False)
class TurnContext:
    """One turn's snapshot, and what lasts from turn to turn.

    Attributes:
        store: the views there are.
        resolver: leads whoever asks to views.
        loader: reads big views.
        failure_log: what bindings have raised, told once.
        source: says what changed.
        pacer: rests, and stops what takes too long.
        publish: hands over what is ready.
        note: hears what bindings and serializers have raised.
        outbound: the events that the turn comes to.
        staying: the views that stay where they are until there is another snapshot: the turn's
            cannot show them as they were, or has been open for long enough.
        began: when the turn began, on the monotonic clock.
        position: the snapshot's.
        invalidation: what changed up to it.
        ticks: what the passing of time has changed.
    """

    store: ViewStore
    resolver: Resolver
    loader: Loader
    failure_log: FailureLog
    source: Source
    pacer: Pacer
    publish: Callable[[], None] = later
    note: Callable[[Exception], None] = nobody
    outbound: Outbound = field(default_factory=Outbound)
    staying: set[LiveView] = field(default_factory=set)
    began: float = field(default_factory=time.monotonic)
    position: Position = NOWHERE
    invalidation: Invalidation = field(init=False)
    ticks: Ticks = field(init=False)

    @property
    def alias(self) -> str:
        """The database."""
        return self.store.alias

    def begin(self) -> None:
        """Take the position of the snapshot that is open now, and what changed up to it."""
        present, position = self.store.routing.present.position, self.source.position()
        self.position = present if position == present else position  # views keep it
        self.invalidation = Invalidation(self.source, self.position)
        changes = None if present == NOWHERE else self.invalidation.since(present)
        self.store.begin(self.position, changes, self.source.old_columns)
        self.ticks = Ticks(self.alias, self.began)
        self.store.wake(self.began)

    def stay(self, live: LiveView) -> None:
        """Leave a view where it is until there is another snapshot."""
        self.staying.add(live)
        self.store.routing.stay(live)
