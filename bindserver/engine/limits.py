"""What one client may use up, and the allowance of messages that refills with time."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one client may use up."""

    outbox_bytes: int = 1024 * 1024
    subscriptions: int = 100
    malformed: int = 20
    messages_per_second: float = 50.0
    messages_burst: float = 200.0
    message_bytes: int = 1024 * 1024


@dataclass(slots=True)
class TokenBucket:
    """A token bucket: how many messages the client may send now.

    Attributes:
        rate: how many messages a second it refills by.
        burst: how many it holds.
        left: how many may be sent now.
        at: when it was last looked at, in seconds.
    """

    rate: float
    burst: float
    left: float = field(init=False)
    at: float | None = None

    def __post_init__(self) -> None:
        self.left = self.burst

    def take(self, now: float, worth: float = 1) -> bool:
        """Take what a message is worth; return whether there was so much. One that is worth more
        than there can be takes all.

        Args:
            now: a clock that only rises, in seconds.
            worth: for how many messages it counts.
        """
        if self.at is not None:
            self.left = min(self.burst, self.left + (now - self.at) * self.rate)
        self.at = now
        worth = min(worth, max(1, self.burst))
        if self.left < worth:
            return False
        self.left -= worth
        return True

    def spend(self, count: float) -> None:
        """Take what a message has cost beyond its own worth."""
        self.left = max(0.0, self.left - count)
