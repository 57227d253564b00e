"""Whose user or proof is a row of another database: nothing tells of a change there, so their
bindings are asked again every REVALIDATE_SECONDS."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from bindserver.conf import conf
from bindserver.cycle.viewers import Viewer


class Distant:
    """The viewers of such callers, the one first that was asked longest ago.

    Args:
        clock: tells the time in seconds, and only rises.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._asked: dict[Viewer, float] = {}

    def put(self, viewer: Viewer) -> None:
        """Note that a viewer has just been asked."""
        self._asked.pop(viewer, None)
        self._asked[viewer] = self._clock()

    def drop(self, viewer: Viewer) -> None:
        """Forget a viewer."""
        self._asked.pop(viewer, None)

    def due(self) -> float:
        """Return when the next one is to be asked again."""
        first = next(iter(self._asked.values()), math.inf)
        return first + float(conf.REVALIDATE_SECONDS)

    def ring(self, now: float) -> dict[Viewer, None]:
        """Return those whose time has come; they are to be put anew once they were asked."""
        found: dict[Viewer, None] = {}
        while self.due() <= now:
            viewer = next(iter(self._asked))
            del self._asked[viewer]
            found[viewer] = None
        return found
