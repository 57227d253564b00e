"""What purging a log would do, told beforehand."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PurgePlan:
    """What a purge would delete, as the log is now.

    Attributes:
        entries: how many.
        oldest: when the oldest of them was written, in seconds since 1970; None without any.
        last: the last that goes, in words: its number, or its transaction's.
    """

    entries: int
    oldest: float | None
    last: str
