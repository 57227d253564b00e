"""How a cycle does, as its thread notes it for probes: these look at nothing else, and so are
answered whatever hangs."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future

from django.db import DatabaseError, InterfaceError

from bindserver.exceptions import BindserverError, CaptureError

ANSWER_SECONDS = 2.0
"""How long the database may take to say that it is there, before probes say that it does not."""

UNKNOWN = "nobody has asked it yet"


DATABASE_ERRORS = (DatabaseError, InterfaceError, OSError, BindserverError)
"""What a turn raises when it is not the cycle's own fault."""


class Pulse:
    """What one cycle's thread has noted of itself and of its database.

    It is written by that thread, and read by any.

    Args:
        clock: tells the time in seconds, and only rises.

    Attributes:
        known: done when the database has answered, or failed, for the first time.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.known: Future[None] = Future()
        self._clock = clock
        self._busy_until: tuple[float, float, str] | None = None
        self._failing: tuple[float, str, str] | None = None

    def looks(self) -> None:
        """The thread asks whether its database is there, or anything has changed in it."""
        now = self._clock()
        self._busy_until = (now, now + ANSWER_SECONDS, "database")

    def turns(self, patience: float) -> None:
        """The thread takes a turn, which may take so many seconds at most."""
        now = self._clock()
        self._busy_until = (now, now + patience, "cycle")

    def answered(self) -> None:
        """The database has answered."""
        self._busy_until = self._failing = None
        self._know()

    def failed(self, problem: BaseException) -> None:
        """What the thread was at has failed; so it is since the first failure in a row."""
        self._busy_until = None
        kind, what = type(problem).__name__, part_of(problem)
        since = self._clock() if self._failing is None else self._failing[0]
        self._failing = (since, what, kind)
        self._know()

    def _know(self) -> None:
        if not self.known.done():
            self.known.set_result(None)

    def troubles(self) -> dict[str, str]:
        """Return what is wrong with the "database" or the "cycle", in words for probes: of errors
        their kind alone, since their texts quote addresses and users."""
        now, failing, busy = self._clock(), self._failing, self._busy_until
        if failing is not None:
            since, part, kind = failing
            what = "out of reach" if part == "database" else "each turn fails"
            return {part: f"{what} since {now - since:.0f} s: {kind}"}
        if busy is not None and now > busy[1]:
            began, _, part = busy
            what = "no answer" if part == "database" else "no turn"
            return {part: f"{what} for {now - began:.0f} s"}
        return {} if self.known.done() else {"database": UNKNOWN}


def part_of(problem: BaseException) -> str:
    """Return whether it is the "database" that an error is about, or the "cycle" itself."""
    of_database = isinstance(problem, DatabaseError | InterfaceError | CaptureError | OSError)
    return "database" if of_database else "cycle"
