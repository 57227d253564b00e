"""Who waits for a view: for the first answer of a subscription, or for its rows, once."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from bindserver.cycle.inbox import ReadRequest, SnapshotRequest, SubscriptionRef
from bindserver.engine.changes import Position
from bindserver.engine.protocol import Subscribe

EVERYTHING = Subscribe(event="", params={})
"""What a subscription wants that is to be answered anew, from nothing."""


@dataclass(frozen=True, slots=True)
class Opening:
    """A subscription that waits for its first answer from a view.

    Attributes:
        moved: whether it has rows of another view, which this one takes the place of.
        resumes: whether it has rows of this one, in a state that it names.
        at: when it began to wait, on the monotonic clock; the rows must be as new.
    """

    ref: SubscriptionRef
    message: Subscribe
    moved: bool = False
    resumes: bool = False
    at: float = field(default_factory=time.monotonic)

    @property
    def has_rows(self) -> bool:
        """Whether its client shows rows, old ones or not, while it waits."""
        return self.moved or self.resumes


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """Somebody who waits for a view's rows, once.

    Attributes:
        asked: the position at which they did; the rows must be as new.
        viewer: who they are, to the store.
        at: when they did, on the monotonic clock.
    """

    request: SnapshotRequest | ReadRequest
    asked: Position
    viewer: object = None
    at: float = field(default_factory=time.monotonic)

    @property
    def has_left(self) -> bool:
        """Whether they wait no more, as an HTTP client that has gone. Any thread may ask."""
        return self.request.has_left
