"""What a client of the oracle knows about one view."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from bindserver.client.replica import Replica
from tests.oracle.truth import Name


class Phase(Enum):
    """Where a subscription stands, as its client knows it.

    ASKED: what comes before `$subscribed` belongs to an older subscription, or is an error.
    ACCEPTED: the next frame, or its last page, is the answer.
    LIVE: each frame is a committed state.
    OVER: not subscribed.
    """

    ASKED = "asked"
    ACCEPTED = "accepted"
    LIVE = "live"
    OVER = "over"


@dataclass
class Subscription:
    """What a client knows about one view.

    Attributes:
        since: the earliest state that the replica may be at; it never falls.
        floor: the state at which the present subscription was asked for.
        moment: the earliest time that the replica may be at, in seconds since 1970.
        asked_at: when the present subscription was asked for.
        allowed: the actions that its answer may have, if that is known.
    """

    name: Name
    replica: Replica | None = None
    phase: Phase = Phase.OVER
    since: int = 0
    floor: int = 0
    moment: float = 0.0
    asked_at: float = 0.0
    allowed: frozenset[str] | None = None
    ref: int = 0


def short(value: object) -> str:
    """Return a value as text for a report."""
    text = str(value)
    return text if len(text) < 1500 else f"{text[:1200]} … {text[-300:]}"
