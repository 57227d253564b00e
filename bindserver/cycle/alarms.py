"""When views are to be looked at though nobody has written anything: the next one first.

Each view says itself when (`LiveView.wakes_at`). Here they stand in a heap, so that neither a turn
nor a waiting cycle asks all of them. What is in the heap may be out of date: it counts only while
its view still means that time.
"""

from __future__ import annotations

import heapq
import math
import time
from itertools import count

from bindserver.cycle.live_view import LiveView

_numbers = count()


class Alarms:
    """The views that are to be looked at at a certain time, on the monotonic clock."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, LiveView]] = []

    def set(self, live: LiveView) -> None:
        """Note when a view is to be looked at next, as it says now."""
        at = live.wakes_at()
        if at != live.armed_at:
            live.armed_at = at
            if at < math.inf:
                heapq.heappush(self._heap, (at, next(_numbers), live))

    def refresh_soon(self, live: LiveView) -> None:
        """Have a view read whole in the next turn, if it is refreshed at all."""
        if live.refresh_at < math.inf:
            live.refresh_at = min(live.refresh_at, time.monotonic())
            self.set(live)

    def forget(self, live: LiveView) -> None:
        """Look at a view no more."""
        live.armed_at = math.inf

    def due(self) -> float:
        """Return when the next one is to be looked at."""
        while self._heap and not self._means(*self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else math.inf

    def ring(self, now: float) -> list[LiveView]:
        """Return the views whose time has come, each once; it must be set anew for the next."""
        found = []
        while self.due() <= now:
            live = heapq.heappop(self._heap)[2]
            live.armed_at = math.inf
            found.append(live)
        return found

    @staticmethod
    def _means(at: float, _: int, live: LiveView) -> bool:
        return live.armed_at == at
