"""One subscription of a client, and where it stands.

    OPENING  accepted, its first answer not here yet
    PAGING   an answer's pages are on their way; deltas wait
    LIVE     deltas go straight to the outbox
    LAZY     the outbox was full; deltas wait until it has drained

What waited in PAGING and LAZY is fetched as one net change.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from bindserver.engine.frames import Frame
from bindserver.engine.protocol import Ref


class SubscriptionState(Enum):
    """Where a subscription stands."""

    OPENING = "opening"
    PAGING = "paging"
    LIVE = "live"
    LAZY = "lazy"


@dataclass(slots=True, kw_only=True)
class Subscription:
    """One subscription of the client.

    Attributes:
        number: the hub's and our name for it.
        event: the binding's event.
        params: canonical params as JSON text; None for a binding that takes none.
        ref: the client's mark of the message that asked for it.
        version: the view's version that the client has, or will have with what is queued.
        behind: whether a delta came that was not queued.
        catching: whether the net change has been asked for and is not here yet.
        again: whether it took the place of an older one, of which the client has rows.
        stale: the word that rows may be old, to be told behind the pages on their way.
    """

    number: int
    event: str
    params: str | None
    ref: Ref = None
    state: SubscriptionState = SubscriptionState.OPENING
    version: int = 0
    behind: bool = False
    catching: bool = False
    again: bool = False
    stale: Frame | None = None

    @property
    def lags(self) -> bool:
        """Whether the client has rows of it that may be of an earlier state than others'."""
        return self.state is not SubscriptionState.LIVE and (
            self.state is not SubscriptionState.OPENING or self.again
        )
