"""What a session wants done by whoever owns its socket and talks to the hub."""

from __future__ import annotations

from dataclasses import dataclass

from bindserver.engine import protocol
from bindserver.engine.protocol import Closing, Ref


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Have the hub resolve a message; it answers by `number`."""

    number: int
    message: protocol.Subscribe | protocol.Unsubscribe


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """The subscription is no more: the hub may let go of it."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CatchUp:
    """Have the hub bring the subscription from `version` to the present."""

    number: int
    event: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitWrite:
    """Have the hub tell by `number` when all that the client follows is at a state with a write."""

    number: int
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Prove:
    """Find out who the client is, and tell `authenticated` or `not_authenticated`."""

    token: str | None
    ref: Ref


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconsider:
    """Have the hub evaluate a subscription again: the client has proved who it is anew."""

    number: int
    event: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    """Close the connection."""

    code: Closing
    reason: str


HubEffect = Ask | Release | CatchUp | Reconsider | AwaitWrite
"""What the hub is to do, about the subscription or question `number`."""

Effect = HubEffect | Prove | Close
