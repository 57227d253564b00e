"""How fast a client may speak: below the rate that a server takes by default."""

from __future__ import annotations

from collections.abc import Callable

BURST = 100
"""So many messages may be sent at once."""

RATE = 40.0
"""So many may follow in a second."""


class Pace:
    """A bucket of tokens, of which each message takes one.

    Args:
        now: returns the time in seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._at = now()
        self._left = float(BURST)

    def wait(self) -> float:
        """Take a token; return for how many seconds to wait until it is there."""
        now = self._now()
        self._left = min(BURST, self._left + (now - self._at) * RATE) - 1
        self._at = now
        return max(0.0, -self._left / RATE)

    def slow_down(self) -> None:
        """Called when the server says that this was too fast."""
        self._at, self._left = self._now(), min(self._left, 0.0)
