"""Long work in slices, so that the event loop's thread gets the interpreter in between.

With a thread that computes without pause, one small write of the loop took 3.2 ms instead of
0.01: the interpreter lock changes hands only every few milliseconds. So whoever reads many rows
asks a `Pacer` to pause after each one.
"""

from __future__ import annotations

import time

from bindserver.exceptions import QueryTimeout

SLICE_SECONDS = 0.001
REST_SECONDS = 0.000_05


class Pacer:
    """Rests after each millisecond of work, and stops work that outlives its time.

    Args:
        seconds: how long the work may take.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        now = time.perf_counter()
        self._deadline = now + seconds
        self._rest_at = now + SLICE_SECONDS

    def pause(self) -> None:
        """Rest if a slice is over.

        Raises:
            QueryTimeout: the work has outlived its time.
        """
        now = time.perf_counter()
        if now < self._rest_at:
            return
        if now > self._deadline:
            raise QueryTimeout(f"reading rows took longer than {self._seconds:g} s")
        time.sleep(REST_SECONDS)
        self._rest_at = time.perf_counter() + SLICE_SECONDS

    def expired(self) -> bool:
        """Tell whether the work has outlived its time."""
        return time.perf_counter() > self._deadline

    def restart(self) -> None:
        """Begin a new piece of work, with all the time there is."""
        now = time.perf_counter()
        self._deadline = now + self._seconds
        self._rest_at = now + SLICE_SECONDS
