"""What one client says, as far as its limits allow it to be heard.

Each message is read before it is counted, since a refusal names what it refuses. Leaving is never
refused for the rate: who may not leave would go on being sent what it wants no more. It has an
allowance of its own, which holds as much as a client can have asked for; only one that leaves what
it never had can use it up, and is closed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bindserver.engine import protocol
from bindserver.engine.frames import byte_length
from bindserver.engine.limits import Limits, TokenBucket
from bindserver.engine.parsing import Malformed, parse
from bindserver.engine.protocol import Closing, Code, Message

MESSAGE_BYTES = 32 * 1024
"""A message of more counts as one for each so many bytes: reading it holds others up."""

FAILED_PROOF_COST = 20
"""What trying a wrong token costs of a client's allowance, in messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """A text that is not served.

    Attributes:
        told: what the client is told of it, if anything.
        closing: the code and the reason by which the connection ends after that, if it does.
    """

    told: str | None = None
    closing: tuple[Closing, str] | None = None


class Intake:
    """Takes one client's texts.

    Args:
        limits: what the client may use up.

    Attributes:
        rate_limited: how many messages were refused, as there were too many.
    """

    __slots__ = (
        "_bucket",
        "_leaving",
        "_limits",
        "_malformed",
        "_refused_in_a_row",
        "rate_limited",
    )

    def __init__(self, limits: Limits) -> None:
        self.rate_limited = 0
        self._limits = limits
        self._bucket = TokenBucket(limits.messages_per_second, limits.messages_burst)
        self._leaving = TokenBucket(
            limits.messages_per_second, limits.messages_burst + 2 * limits.subscriptions
        )
        self._malformed = 0
        self._refused_in_a_row = 0.0

    def take(
        self, text: str, now: float, heard: Message | Malformed | None = None
    ) -> Message | Rejection:
        """Return the message that a text says, or why it is not served.

        Args:
            text: the message.
            now: a clock that only rises, in seconds.
            heard: what the text says, where somebody has had it read.
        """
        size = byte_length(text)
        if size > self._limits.message_bytes:
            return Rejection(closing=(Closing.TOO_BIG, "message too big"))
        heard, worth = heard or read(text), max(1, size / MESSAGE_BYTES)
        if isinstance(heard, protocol.Unsubscribe):
            return heard if self._leaving.take(now, worth) else _closed()
        if not self._bucket.take(now, worth):
            return self._too_many(heard, worth)
        self._refused_in_a_row = 0.0
        return self._is_malformed(heard) if isinstance(heard, Malformed) else heard

    def count_failed_proof(self) -> None:
        """Take note that the client has shown a token that proves nothing."""
        self._bucket.spend(FAILED_PROOF_COST)

    def count_idle_leave(self) -> None:
        """Take note that the client has left what it was not subscribed to: that is not free."""
        self._bucket.spend(1)

    def _too_many(self, heard: Message | Malformed, worth: float) -> Rejection:
        self._refused_in_a_row += min(worth, self._limits.messages_burst)
        self.rate_limited += 1
        if self._refused_in_a_row > self._limits.messages_burst:
            return _closed()
        return _rejection(Code.RATE_LIMITED, "too many messages; slow down", heard)

    def _is_malformed(self, problem: Malformed) -> Rejection:
        self._malformed += 1
        rejection = _rejection(Code.MALFORMED, str(problem), problem)
        if self._malformed < self._limits.malformed:
            return rejection
        closing = (Closing.TOO_MANY_MALFORMED, "too many malformed messages")
        return Rejection(told=rejection.told, closing=closing)


def read(text: str) -> Message | Malformed:
    """Return the message that a text says, or what is wrong with it."""
    try:
        return parse(text)
    except Malformed as problem:
        return problem


def _closed() -> Rejection:
    return Rejection(closing=(Closing.TOO_MANY_MESSAGES, "too many messages"))


def _rejection(code: Code, detail: str, heard: Message | Malformed) -> Rejection:
    """Return a refusal that names what could be read of the message."""
    event, ref, params = _named(heard)
    return Rejection(told=protocol.error(code, detail, event=event, ref=ref, params=params))


def _named(
    heard: Message | Malformed,
) -> tuple[str | None, protocol.Ref, Mapping[str, Any] | None]:
    """Return the event under which a message is refused, its mark and its params."""
    match heard:
        case Malformed():
            return heard.event, heard.ref, heard.params
        case protocol.Subscribe() | protocol.Unsubscribe():
            return heard.event, heard.ref, heard.params or None
        case protocol.Authenticate():
            return "$auth", heard.ref, None
        case protocol.Await():
            return "$await", heard.ref, None
        case protocol.Hello():
            return "$hello", None, None
        case protocol.Ping() | protocol.Ignored():
            return None, None, None
