"""Faults to plant in the server of a stranger's project: STRANGERS_FAULT names one."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from typing import Any

from django.apps import AppConfig

from bindserver.capture.postgresql.log import PostgreSQLLog
from bindserver.capture.sqlite.log import SQLiteLog
from bindserver.cycle import invalidation

LOGS: tuple[Any, ...] = (PostgreSQLLog, SQLiteLog)
MARKS = "strangers_marks_mark"
_entries = itertools.count(1)


def third_change_dropped() -> None:
    """Every third entry of the change log is passed over, the marks' own apart."""
    for log in LOGS:
        _drop(log)


def _drop(log: Any) -> None:
    whole = log.changes

    def changes(self: Any, since: Any) -> Any:
        found = whole(self, since)
        return found and [c for c in found if c.table == MARKS or next(_entries) % 3]

    log.changes = changes


def joins_not_watched() -> None:
    """A change in a table that is joined, prefetched or read by a serializer reaches no row."""
    whole: Any = invalidation._touched

    def touched(shape: Any, changes: Any, told: Any) -> Any:
        own = shape.query.model._meta.db_table
        return whole(shape, [change for change in changes if change.table == own], told)

    vars(invalidation)["_touched"] = touched


FAULTS: dict[str, Callable[[], None]] = {
    fault.__name__: fault for fault in (third_change_dropped, joins_not_watched)
}


class PlantedFault(AppConfig):
    """Plants the fault that the environment names, in a server and in nobody else."""

    name = "tests.strangers"
    label = "strangers"

    def ready(self) -> None:
        FAULTS[os.environ["STRANGERS_FAULT"]]()
