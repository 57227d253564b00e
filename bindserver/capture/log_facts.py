"""What a log tells people: how large it is, what it says of one row, what purging it would do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LogSize:
    """How large a log is, as far as the database tells at once.

    Attributes:
        entries: about how many.
        bytes: about how many it takes on disk; None where only counting would tell.
        oldest: when the oldest entry was written, in seconds since 1970; None without any.
    """

    entries: int
    bytes: int | None = None
    oldest: float | None = None


@dataclass(frozen=True, slots=True)
class LogEntry:
    """An entry of a log, as far as all logs have the same.

    Attributes:
        at: when it was written, in seconds since 1970.
        position: its place in the log, in words: its number, or its transaction's.
        is_of_row: whether it names the row; else it says that any row of the table may be meant.
    """

    at: float
    position: str
    is_of_row: bool = True


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
