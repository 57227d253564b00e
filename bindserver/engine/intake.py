"""What one client says, as far as its limits allow it to be heard."""

from __future__ import annotations

from dataclasses import dataclass

from bindserver.engine import protocol
from bindserver.engine.frames import byte_length
from bindserver.engine.limits import Allowance, Limits
from bindserver.engine.parsing import Malformed, parse
from bindserver.engine.protocol import Closing, Code, Message

FAILED_PROOF_COST = 20
"""What trying a wrong token costs of a client's allowance, in messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
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
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._allowance = Allowance(limits.messages_per_second, limits.messages_burst)
        self._malformed = 0
        self._refused_in_a_row = 0

    def take(self, text: str, now: float) -> Message | Refusal:
        """Return the message that a text says, or why it is not served.

        Args:
            text: the message.
            now: a clock that only rises, in seconds.
        """
        if byte_length(text) > self._limits.message_bytes:
            return Refusal(closing=(Closing.TOO_BIG, "message too big"))
        if not self._allowance.take(now):
            return self._too_many()
        self._refused_in_a_row = 0
        try:
            return parse(text)
        except Malformed as problem:
            return self._is_malformed(problem)

    def count_failed_proof(self) -> None:
        """Take note that the client has shown a token that proves nothing."""
        self._allowance.spend(FAILED_PROOF_COST)

    def _too_many(self) -> Refusal:
        self._refused_in_a_row += 1
        if self._refused_in_a_row > self._limits.messages_burst:
            return Refusal(closing=(Closing.TOO_MANY_MESSAGES, "too many messages"))
        return Refusal(told=protocol.error(Code.RATE_LIMITED, "too many messages; slow down"))

    def _is_malformed(self, problem: Malformed) -> Refusal:
        self._malformed += 1
        told = protocol.error(
            Code.MALFORMED,
            str(problem),
            event=problem.event,
            ref=problem.ref,
            params=problem.params,
        )
        if self._malformed < self._limits.malformed:
            return Refusal(told=told)
        closing = (Closing.TOO_MANY_MALFORMED, "too many malformed messages")
        return Refusal(told=told, closing=closing)
