"""Faults to plant in how views follow the time, by name: a test must find each."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from bindserver.cycle.alarms import Alarms
from bindserver.cycle.live_view import LiveView
from bindserver.cycle.ticks import Ticks
from bindserver.queries.schedules import Schedule

Plant = Callable[[object, str, object], None]
"""Sets an attribute, as `monkeypatch.setattr` does."""


def tick_lost(plant: Plant) -> None:
    """One row that has crossed is not read again."""
    usual = Schedule.crossed

    def crossed(self: Schedule, *args: Any) -> set[Any] | None:
        found = usual(self, *args)
        return found and set(sorted(found)[1:])

    plant(Schedule, "crossed", crossed)


def nearer_moment_missed(plant: Plant) -> None:
    """A change that brings the next moment nearer is not looked at."""
    usual = Schedule.next_after

    def next_after(
        self: Schedule, now: datetime.datetime, pks: Collection[Any] | None = None
    ) -> datetime.datetime | None:
        return usual(self, now) if pks is None else None

    plant(Schedule, "next_after", next_after)


def second_column_forgotten(plant: Plant) -> None:
    """Of two columns that are compared with the time, only one is looked at."""
    usual = Schedule._each

    def each(self: Schedule) -> Any:
        return usual(replace(self, thresholds=self.thresholds[:1]))

    plant(Schedule, "_each", each)


def alarm_not_set(plant: Plant) -> None:
    """Nobody wakes."""
    plant(Alarms, "set", lambda self, live: None)


def expired_row_given(plant: Plant) -> None:
    """Whoever asks is given what is in memory, until a view wakes by itself."""
    usual = Ticks.touched

    def touched(self: Ticks, live: LiveView, what: Any) -> Any:
        early = not what and live.tick.at > self._began
        return what if early else usual(self, live, what)

    plant(Ticks, "touched", touched)


FAULTS: dict[str, Callable[[Plant], None]] = {
    fault.__name__: fault
    for fault in (
        tick_lost,
        nearer_moment_missed,
        second_column_forgotten,
        alarm_not_set,
        expired_row_given,
    )
}
