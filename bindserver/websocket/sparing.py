"""Log lines that strangers can cause at will: few are written, and the rest are counted."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from bindserver.engine.limits import TokenBucket

LINES = 10
"""So many lines are written at once."""

LINES_PER_SECOND = 0.1
"""How often one is written after that."""

logger = logging.getLogger("bindserver")


class SparingLog:
    """Warnings of one kind.

    Args:
        clock: tells the time in seconds, and only rises.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._bucket = TokenBucket(LINES_PER_SECOND, LINES)
        self._unsaid = 0

    def warn(self, text: str) -> None:
        """Write a line, if there were few of late; it says how many were left out before it."""
        if not self._bucket.take(self._clock()):
            self._unsaid += 1
            return
        left_out = f" (and {self._unsaid} such lines before, left out)" if self._unsaid else ""
        self._unsaid = 0
        logger.warning("bindserver: %s%s", text, left_out)
