"""Rows that come, go and look otherwise as time passes, though nobody writes.

What such a view is depends on the committed state and on the time: here the rows of a state are
kept as they stand in the table, and asked what they come to at a time. All clocks are one
machine's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tests.oracle.dialects import Dialect
from tests.oracle.sessions import Session
from tests.oracle.shapes import Rows

BOOKED = "app_booking"
MARGIN_SECONDS = 0.02
"""More than any database's clock is coarse, SQLite's most: it has milliseconds, and compares
texts."""
LATE_SECONDS = 0.4
"""A view that is as it was so long ago may still be on its way, once all has come to rest."""
INTERVAL = 1.0
"""What the bindings add to the present time, or take from it, in seconds."""


class Booked(NamedTuple):
    """A row of the table, its moments in seconds since 1970."""

    id: int
    name: str
    category: int | None
    start: float
    end: float


At = Callable[[Sequence[Booked], float], Rows]
"""What rows of the table come to at a time."""


def _going_on(rows: Sequence[Booked], now: float, category: int | None = None) -> Rows:
    return [
        {"id": row.id, "name": row.name, "category": row.category}
        for row in rows
        if row.start <= now < row.end and (category is None or row.category == category)
    ]


def _soon(rows: Sequence[Booked], now: float) -> Rows:
    near = [row for row in rows if now - INTERVAL < row.start <= now + INTERVAL]
    return [{"id": row.id, "name": row.name} for row in reversed(near)]


def _next(rows: Sequence[Booked], now: float) -> Rows:
    return [{"id": row.id} for row in rows if row.end >= now][:3]


def _lit(rows: Sequence[Booked], now: float) -> Rows:
    return [{"id": row.id, "lit": row.start <= now < row.end} for row in rows]


def _late(rows: Sequence[Booked], now: float) -> Rows:
    found = [
        row for row in rows if row.end < now - INTERVAL or (row.start > now and row.end > row.start)
    ]
    return [{"id": row.id, "name": row.name} for row in found]


MOVING: dict[str, At] = {
    "open": _going_on,
    "soon": _soon,
    "next": _next,
    "lit": _lit,
    "late": _late,
}
"""The views that the time moves, by event."""


def bookings(session: Session) -> list[Booked]:
    """Return the rows of the table, in the order of their keys."""
    dialect: Dialect = session.dialect
    sql = f"SELECT id, name, category_id, start, {dialect.end} FROM {BOOKED} ORDER BY id"
    return [
        Booked(key, name, category, dialect.seconds(start), dialect.seconds(end))
        for key, name, category, start, end in session.rows(sql)
    ]


@dataclass(frozen=True)
class Moving:
    """One view in one committed state.

    Args:
        rows: the table's.
        at: what they come to at a time.
    """

    rows: Sequence[Booked]
    at: Callable[[Sequence[Booked], float], Rows]

    def now(self) -> Rows:
        """Return what they come to at present."""
        return self.at(self.rows, time.time())

    def when(self, held: Rows, since: float, until: float) -> float | None:
        """Return the first time, between two, at which they come to what is held."""
        return next(
            (at for at in self._times(since, until) if self.at(self.rows, at) == held), None
        )

    def _times(self, since: float, until: float) -> Iterator[float]:
        """Yield a time before, at and after each moment at which something may change."""
        moments = {
            moment + shift
            for row in self.rows
            for moment in (row.start, row.end)
            for shift in (-INTERVAL, 0.0, INTERVAL)
        }
        yield since
        before = since
        for moment in sorted(moment for moment in moments if since < moment < until):
            yield (before + moment) / 2
            yield moment
            before = moment
        yield (before + until) / 2
        yield until
