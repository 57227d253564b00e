"""What a run has done, and what it has found."""

from __future__ import annotations

import time
from collections import Counter, deque

MOST_DIFFERENCES = 1
RECENT = 400


FAULTS = frozenset(
    {"kill", "leave", "long_transaction", "purge", "rebuild", "reconnect"}
    | {"redis_gone", "redis_blinks", "server_crashes", "server_restarts", "writer_ends"}
    | {"late_begins", "late_ends", "restart_database", "kill_meanwhile"}
    | {"reconnect_without_held", "restart", "rolled_back", "savepoint", "slow_reader"}
)
"""The steps that disturb."""


class Different(Exception):
    """A replica is not what it must be; the run ends."""


class Tally:
    """Counts of a run, and its recent history."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.steps: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()
        self.writes: Counter[str] = Counter()
        self.actions: Counter[str] = Counter()
        self.differences: list[str] = []
        self._recent: deque[str] = deque(maxlen=RECENT)
        self._began = time.monotonic()

    @property
    def comparisons(self) -> int:
        """How many were made."""
        return self.kinds.total()

    def compared(self, kind: str = "plain", count: int = 1) -> None:
        """Count comparisons with a view that is an example of something."""
        self.kinds[kind] += count

    def note(self, text: str) -> None:
        """Remember what happened, for the report of a difference."""
        self._recent.append(f"{time.monotonic() - self._began:8.3f} {text}")

    def differs(self, text: str) -> None:
        """Note a difference."""
        self.note(f"DIFFERENCE {text}")
        self.differences.append(text)

    def check(self) -> None:
        """End the run at a difference.

        Raises:
            Different: there is one.
        """
        if self.differences:
            raise Different(self.differences[0])

    def report(self) -> str:
        """Return the run's figures in lines of text."""
        lines = [
            f"seed: {self.seed}",
            f"seconds: {time.monotonic() - self._began:.1f}",
            f"steps: {_counts(self.steps)}",
            f"writes: {_counts(self.writes)}",
            f"faults: {_counts(Counter({k: n for k, n in self.steps.items() if k in FAULTS}))}",
            f"seen: {_counts(self.seen)}",
            f"frames: {_counts(self.actions)}",
            f"comparisons: {_counts(self.kinds)}",
            f"differences: {len(self.differences)}",
        ]
        if self.differences:
            lines += [
                "",
                *self.differences[:MOST_DIFFERENCES],
                "",
                "recent history:",
                *self._recent,
            ]
        return "\n".join(lines)


def _counts(counter: Counter[str]) -> str:
    shown = ", ".join(f"{name} {count}" for name, count in sorted(counter.items()))
    return f"{counter.total()} ({shown})"
