"""Long work in slices, so that the event loop's thread gets the interpreter in between.

With a thread that computes without pause, one small write of the loop took 3.2 ms instead of
0.01: the interpreter lock changes hands only every few milliseconds. So whoever reads many rows
asks a `Pacer` to pause after each one. And the garbage collector, which holds all threads, is kept
from walking through rows that are just being made: it stopped the loop for 25 to 40 ms at a time
while 50,000 rows were read.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bindserver.exceptions import QueryTimeout

SLICE_SECONDS = 0.001
REST_SECONDS = 0.000_05


class _Collector:
    """The garbage collector, which threads may keep from starting by itself."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads = 0
        self._was_on = True

    @contextmanager
    def resting(self) -> Iterator[None]:
        """Keep it from starting while rows are made. They are in no cycles, so counting references
        frees them all. Threads may overlap in this; if it was off before, it stays off."""
        with self._lock:
            if self._threads == 0:
                self._was_on = gc.isenabled()
                gc.disable()
            self._threads += 1
        try:
            yield
        finally:
            with self._lock:
                self._threads -= 1
                if self._threads == 0 and self._was_on:
                    gc.enable()


collector = _Collector()


class Pacer:
    """Rests after each millisecond of work, and stops work that outlives its time.

    Args:
        seconds: how long the work may take.

    Attributes:
        seconds: the same.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
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
            raise QueryTimeout(f"reading rows took longer than {self.seconds:g} s")
        time.sleep(REST_SECONDS)
        self._rest_at = time.perf_counter() + SLICE_SECONDS

    def expired(self) -> bool:
        """Return whether the work has outlived its time."""
        return time.perf_counter() > self._deadline

    def expire(self) -> None:
        """Let the time be over now; from any thread."""
        self._deadline = 0.0

    def restart(self) -> None:
        """Begin a new piece of work, with all the time there is."""
        now = time.perf_counter()
        self._deadline = now + self.seconds
        self._rest_at = now + SLICE_SECONDS
