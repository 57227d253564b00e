"""The parent of worker processes: it replaces those that die, reloads them at SIGHUP, and ends them
all at SIGTERM."""

from __future__ import annotations

import logging
import os
import queue
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from types import FrameType

from uvicorn.config import STARTUP_FAILURE

from bindserver.server.members import Member

logger = logging.getLogger("uvicorn.error")

TICK_SECONDS = 0.1
REST_SECONDS = 1.0
"""How long to wait before a worker that has died is replaced, if another was a moment ago."""

ENDING = (signal.SIGTERM, signal.SIGINT)
TAKEN_OVER = "Worker [%d] takes over from [%d]"
HANGUP = getattr(signal, "SIGHUP", None)
"""None where there is no such signal."""


class Terminal:
    """Tells a SIGHUP that somebody sends from the one that comes when a terminal is closed."""

    def __init__(self) -> None:
        self._was_there = _is_terminal()

    @property
    def is_gone(self) -> bool:
        """Whether this process was begun in a terminal that has been closed since."""
        return self._was_there and not _is_terminal()


def _is_terminal() -> bool:
    return sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty()


class Supervisor:
    """Keeps as many workers as there were at first.

    Args:
        make: begins a worker.
        members: the first workers.
        seconds_to_end: how long a worker may take to end.
        stop_listening: called when all are to end.
        signals: those that came before and have not been obeyed.
    """

    def __init__(
        self,
        make: Callable[[], Member],
        members: Sequence[Member],
        seconds_to_end: float,
        stop_listening: Callable[[], object],
        signals: queue.SimpleQueue[int] | None = None,
    ) -> None:
        self._make = make
        self._members = list(members)
        self._seconds_to_end = seconds_to_end
        self._stop_listening = stop_listening
        self._terminal = Terminal()
        self._signals = signals or queue.SimpleQueue()
        self._outdated: deque[Member] = deque()
        self._successor: Member | None = None
        self._leaving: dict[Member, float] = {}
        self._replaced_at = 0.0
        self._status: int | None = None

    def run(self) -> int:
        """Look after the workers until SIGTERM or SIGINT, and return the status to end with."""
        logger.info("Parent process [%d] looks after %d worker(s)", os.getpid(), len(self._members))
        for number in filter(None, (*ENDING, HANGUP)):
            signal.signal(number, self._hear)
        while self._status is None:
            self._obey()
            self._replace_dead()
            self._reload()
            self._see_off()
        self.stop()
        return self._status

    def stop(self) -> None:
        """End all workers, and wait until they have ended."""
        self._stop_listening()
        if self._successor is not None:
            self._dismiss(self._successor)
        for member in self._members:
            self._dismiss(member)
        while self._leaving:
            self._see_off()
            time.sleep(TICK_SECONDS)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self._signals.put(number)  # which may be done in a signal's handler, as little else

    def _obey(self) -> None:
        """Wait a moment for a signal, and do what it says."""
        try:
            number = self._signals.get(timeout=TICK_SECONDS)
        except queue.Empty:
            return
        if number != HANGUP or self._terminal.is_gone:
            self._status = 0
            return
        logger.info("SIGHUP: workers are replaced one after the other")
        self._outdated = deque(self._members)
        if self._successor is not None:
            self._outdated.append(self._successor)

    def _replace_dead(self) -> None:
        for place, member in enumerate(self._members):
            member.look()
            if member.status is None and not member.is_stuck:
                continue
            if member.status is None:
                logger.error("Worker [%d] does not answer, and is killed", member.pid)
                member.kill()
            if member.status == STARTUP_FAILURE and not self._is_anybody_ready():
                logger.error("Worker [%d] could not start; the server ends", member.pid)
                self._status = STARTUP_FAILURE
                return
            if time.monotonic() < self._replaced_at + REST_SECONDS:
                continue
            said = "Worker [%d] has ended with status %s, and is replaced"
            logger.error(said, member.pid, member.status)
            self._replaced_at = time.monotonic()
            self._members[place] = self._make()
            if member in self._outdated:
                self._outdated.remove(member)

    def _is_anybody_ready(self) -> bool:
        return any(m.is_ready and m.status is None for m in self._members)

    def _reload(self) -> None:
        """Bring a successor into service before the old worker leaves, and only then begin the
        next."""
        if self._successor is None:
            if self._outdated and not self._leaving:
                self._successor = self._make()
            return
        successor = self._successor
        successor.look()
        if successor.is_ready:
            self._successor = None
            self._take_place(successor)
        elif successor.status is not None or successor.is_stuck:
            said = "The new worker [%d] does not come to serve; the old ones stay"
            logger.error(said, successor.pid)
            successor.kill()
            self._successor = None
            self._outdated.clear()

    def _take_place(self, successor: Member) -> None:
        old = next((member for member in self._outdated if member in self._members), None)
        if old is None:  # what it was to replace has died and been replaced meanwhile
            self._outdated.clear()
            self._dismiss(successor)
            return
        self._outdated.remove(old)
        self._members[self._members.index(old)] = successor
        logger.info(TAKEN_OVER, successor.pid, old.pid)
        self._dismiss(old)

    def _dismiss(self, member: Member) -> None:
        member.end()
        self._leaving[member] = time.monotonic() + self._seconds_to_end + REST_SECONDS

    def _see_off(self) -> None:
        """Let go of those that have ended; kill those that take too long."""
        for member, until in list(self._leaving.items()):
            if member.status is None and time.monotonic() > until:
                logger.error("Worker [%d] does not end, and is killed", member.pid)
                member.kill()
            if member.status is not None:
                del self._leaving[member]


class Succession:
    """How a process that serves alone is reloaded: a worker takes over, and the process becomes
    its parent, with the number that it has always had.

    Args:
        make: begins a worker.

    Attributes:
        successor: the worker that has begun, if any.
        signals: each SIGHUP that has not been obeyed yet.
    """

    def __init__(self, make: Callable[[], Member]) -> None:
        self.successor: Member | None = None
        self.signals: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._make = make
        self._terminal = Terminal()

    def hear(self, number: int, frame: FrameType | None) -> None:
        """Take SIGHUP."""
        self.signals.put(number)

    @property
    def members(self) -> list[Member]:
        """Those that have begun: one, or none."""
        return [] if self.successor is None else [self.successor]

    @property
    def is_over(self) -> bool:
        """Whether somebody else serves now."""
        return self.successor is not None and self.successor.is_ready

    def is_done(self) -> bool:
        """Return whether somebody else serves now, or nobody is to; asked again and again."""
        if self.successor is not None:
            self._look(self.successor)
        elif not self.signals.empty():
            self.signals.get()
            if self._terminal.is_gone:
                return True
            logger.info("SIGHUP: a new process takes over")
            self.successor = self._make()
        return self.is_over

    def _look(self, successor: Member) -> None:
        successor.look()
        if successor.is_ready:
            logger.info(TAKEN_OVER, successor.pid, os.getpid())
        elif successor.status is not None or successor.is_stuck:
            said = "The new worker [%d] does not come to serve; the old process stays"
            logger.error(said, successor.pid)
            successor.kill()
            self.successor = None
