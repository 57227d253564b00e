"""Threads of ours: one whose work raises is begun anew, and probes hear of it.

A project's code is contained where it is called (`user_code`). What still raises here nobody has
foreseen: a fault of ours, or no memory left. So the thread tells the log, puts in order what it was
at, and begins anew after a pause. Where that happens again and again, a server's process ends, and
whoever has started it starts it again, with nothing left of what went wrong.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from contextvars import Context

from bindserver.forks import on_fork

logger = logging.getLogger("bindserver.supervision")

PAUSES = (0.1, 0.5, 1.0, 2.0)
"""How long a thread rests before it begins anew, after the first death, the second, and so on."""

WITHIN_SECONDS = 60.0
"""So many deaths and one more within this time are too many."""

REST_SECONDS = 60.0
"""How long a thread rests after too many, in a process that is no server: an app that reads by
`.all()` goes on without it."""

EXIT_STATUS = 70
"""What a process ends with that cannot go on: EX_SOFTWARE of sysexits.h."""


class Restarts:
    """When one thread is begun anew.

    Args:
        clock: tells the time in seconds, and only rises.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._deaths: list[float] = []

    def after_death(self) -> float | None:
        """Take note that it has died, and return how long to rest, in seconds; None where it has
        died too often."""
        now = self._clock()
        self._deaths = [at for at in self._deaths if at > now - WITHIN_SECONDS] + [now]
        count = len(self._deaths)
        return None if count > len(PAUSES) else PAUSES[count - 1]


class Supervised:
    """A thread that is begun anew when its work raises.

    Args:
        name: the thread's.
        part: what probes and the log call it.
        work: what it does; when it returns, the thread ends.
        recover: puts in order what a death has left, and tells those who wait; on the thread.
        end: called at the end of the thread, on it.
        restarts: says when it is begun anew.
    """

    def __init__(
        self,
        name: str,
        part: str,
        work: Callable[[], object],
        *,
        recover: Callable[[], object] = lambda: None,
        end: Callable[[], object] = lambda: None,
        restarts: Restarts | None = None,
    ) -> None:
        self.part = part
        self._rests_long = False
        self._work = work
        self._recover = recover
        self._end = end
        self._restarts = restarts or Restarts()
        self._stopped = threading.Event()
        self._failure = ""
        self._thread = threading.Thread(target=self._live, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread.

        Raises:
            RuntimeError: there can be no more threads.
        """
        self._thread.start()

    def stop(self) -> None:
        """Have it not be begun anew. Its work is to be ended by whoever has given it."""
        self._stopped.set()

    def join(self, seconds: float | None = None) -> None:
        """Wait until it has ended."""
        if self._thread.is_alive():
            self._thread.join(seconds)

    @property
    def is_alive(self) -> bool:
        """Whether the thread is there, at work or resting."""
        return self._thread.is_alive()

    @property
    def is_down(self) -> bool:
        """Whether nobody may wait for it: it rests for long, or is gone."""
        return self._rests_long or self.is_gone

    @property
    def is_gone(self) -> bool:
        """Whether it has ended though nobody has wanted it to, and is not begun anew."""
        return self in _started and not self._thread.is_alive()

    def trouble(self) -> str:
        """Return what is wrong with it, in words for probes; nothing where it is at work."""
        if self.is_gone:
            return "its thread has ended"
        return f"its thread has failed ({self._failure}), and begins anew" if self._failure else ""

    def _live(self) -> None:
        _started.add(self)
        while not self._stopped.is_set():
            try:
                self._failure = ""
                Context().run(self._work)
            except BaseException as problem:
                try:
                    self._rest(problem)
                except BaseException:  # not even that can be told
                    give_up(self.part)
                    raise
            else:
                break
        try:
            self._end()
        finally:
            _started.discard(self)

    def _rest(self, problem: BaseException) -> None:
        """Tell of a death, and rest before the next life."""
        pause = self._restarts.after_death()
        self._failure = type(problem).__name__
        self._rests_long = pause is None
        next_life = "too often" if pause is None else f"it begins anew in {pause:g} s"
        said = "bindserver: the thread of %s has failed; %s"
        logger.critical(said, self.part, next_life, exc_info=problem)
        try:
            self._recover()
        except BaseException:
            logger.critical("bindserver: %s could not be put in order", self.part, exc_info=True)
        if pause is None:
            give_up(self.part)
        self._stopped.wait(REST_SECONDS if pause is None else pause)
        self._rests_long = False


_started: set[Supervised] = set()
_ends_process = threading.Event()


def end_process_where_hopeless() -> None:
    """Have this process end where a thread of ours cannot go on: it is a server, which somebody
    starts again.

    One that runs in a thread of another program, as in a test's, ends nothing.
    """
    if threading.current_thread() is threading.main_thread():
        _ends_process.set()


def give_up(part: str) -> None:
    """End the process, if it is a server: at once, since nothing that it does can be trusted."""
    if not _ends_process.is_set():
        return
    said = "bindserver: %s has failed too often; the process ends with status %d"
    logger.critical(said, part, EXIT_STATUS)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(EXIT_STATUS)


def troubles() -> dict[str, str]:
    """Return what is wrong with threads of this process, by part; those that are at work are
    left out."""
    told = {thread.part: thread.trouble() for thread in list(_started)}
    return {part: trouble for part, trouble in sorted(told.items()) if trouble}


def gone() -> dict[str, str]:
    """Return the threads of this process that have ended though nobody has wanted them to."""
    return {t.part: t.trouble() for t in list(_started) if t.is_gone}


def _forget() -> None:
    _started.clear()
    _ends_process.clear()


on_fork(_forget)
