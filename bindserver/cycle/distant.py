"""Whose user or proof is a row of another database: nothing tells of a change there, so their
bindings are asked again every REVALIDATE_SECONDS."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from bindserver.conf import conf

Who = TypeVar("Who", bound=Hashable)


class Distant(Generic[Who]):
    """Those who have such callers, the one first that was asked longest ago.

    Args:
        clock: tells the time in seconds, and only rises.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._asked: dict[Who, float] = {}

    def put(self, who: Who) -> None:
        """Note that somebody has just been asked."""
        self._asked.pop(who, None)
        self._asked[who] = self._clock()

    def drop(self, who: Who) -> None:
        """Forget somebody."""
        self._asked.pop(who, None)

    def due(self) -> float:
        """Return when the next one is to be asked again."""
        first = next(iter(self._asked.values()), math.inf)
        return first + float(conf.REVALIDATE_SECONDS)

    def ring(self, now: float) -> dict[Who, None]:
        """Return those whose time has come; they are to be put anew once they were asked."""
        found: dict[Who, None] = {}
        while self.due() <= now:
            who = next(iter(self._asked))
            del self._asked[who]
            found[who] = None
        return found
