"""What a cycle and its loader know of themselves in numbers, for all other threads.

Each number has one thread that changes it, in place; whoever reads gets the one before or the one
after. So nobody waits for anybody, and what has been counted costs an addition.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum

from bindserver.capture.log_facts import LogSize

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Up to how many seconds something takes that is counted together."""

MAX_EVENTS = 1000
"""So many events have figures of their own; a project that makes up more has the others summed."""

OTHERS = "(others)"
"""The name under which they are summed: no event has it."""


class Durations:
    """How long something has taken, each time: how often up to each of some bounds.

    Attributes:
        counts: how often, by `BOUNDS`; what took longer than all of them comes last.
        total: the sum, in seconds.
    """

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Count one time."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Count how long the block takes, whether or not it raises."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.add(time.monotonic() - began)


@dataclass(slots=True, eq=False)
class EventFigures:
    """The figures of one event.

    Attributes:
        views: how many views are kept.
        rows: how many rows they have.
        bytes: how many bytes these rows' texts and the rings take in memory.
        subscriptions: how many subscriptions there are.
        deltas: how many deltas subscribers have been sent.
    """

    views: int = 0
    rows: int = 0
    bytes: int = 0
    subscriptions: int = 0
    deltas: int = 0


@dataclass(slots=True, eq=False)
class LoadFigures:
    """The figures of the loader, which it changes itself.

    Attributes:
        running: how many loads are being read.
        seconds: how long loads took.
    """

    running: int = 0
    seconds: Durations = field(default_factory=Durations)

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Count a load while it is read, and how long it takes."""
        self.running += 1
        try:
            with self.seconds.measured():
                yield
        finally:
            self.running -= 1


class AuditOutcome(StrEnum):
    """What an audit of a view came to.

    SAME: the view is as the database is. DIFFERENT: it is not, and is healed. MOVED: it has changed
    meanwhile, or made way for a load, and is looked at later. UNREPEATABLE: its rows say something
    else at each read. FAILED: it could not be read.
    """

    SAME = "same"
    DIFFERENT = "different"
    MOVED = "moved"
    UNREPEATABLE = "unrepeatable"
    FAILED = "failed"


class CycleFigures:
    """The figures of one cycle.

    Attributes:
        turns: how long turns took, from waking up until all was handed over.
        hints: how many hints were heard, those of other processes too.
        failures: how often bindings have failed, by event and what kind of failure it is.
        audits: how often views were audited, by event and outcome.
        differences: how many rows differed, by event and kind.
        is_lost: whether the database is out of reach.
        log: how large the change log is, as it was last looked at; None where there is none.
        unseen: the tables that are read, and that the change log does not watch.
    """

    def __init__(self) -> None:
        self.turns = Durations()
        self.hints = 0
        self.failures: Counter[tuple[str, str]] = Counter()
        self.audits: Counter[tuple[str, str]] = Counter()
        self.differences: Counter[tuple[str, str]] = Counter()
        self.is_lost = False
        self.log: LogSize | None = None
        self.unseen: frozenset[str] = frozenset()
        self._events: dict[str, EventFigures] = {}

    def of(self, event: str) -> EventFigures:
        """Return the figures of an event."""
        return self._events.setdefault(self._name(event), EventFigures())

    def count_failure(self, event: str, kind: str) -> None:
        """Count a failure of a binding."""
        self.of(event)  # from now on its name is one of those that are told
        self.failures[self._name(event), kind] += 1

    def count_audit(self, event: str, outcome: AuditOutcome, kinds: Iterable[str]) -> None:
        """Count an audit of a view, and how its rows differed, each by its kind."""
        name = self._name(event)
        self.audits[name, outcome] += 1
        self.differences.update((name, kind) for kind in kinds)

    def events(self) -> list[tuple[str, EventFigures]]:
        """Return the figures of all events."""
        return list(self._events.items())

    def _name(self, event: str) -> str:
        """Return the event, or the name for all others."""
        return event if event in self._events or len(self._events) < MAX_EVENTS else OTHERS
