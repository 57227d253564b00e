"""Faults to plant in a server on PostgreSQL, each of which a test must find."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.apps import AppConfig

from bindserver.capture.postgresql import PostgreSQLLog, _gathered
from bindserver.capture.snapshots import Mark
from bindserver.databases.postgresql import PostgreSQL
from bindserver.engine.changes import Change, Position
from bindserver.queries import Query


def newest_first() -> None:
    """What is new is asked as `xid > last`, as if transactions committed in their ids' order."""

    def changes(self: PostgreSQLLog, since: Position) -> list[Change] | None:
        last = Mark.load(since.mark).entry[0]
        sql = "SELECT tbl, pks FROM bindserver_log WHERE xid > %s::xid8"
        return _gathered(self._rows(sql, (str(last),)))

    setattr(PostgreSQLLog, "changes", changes)


def rows_outside_snapshot() -> None:
    """Position, changes and rows are each read as they are by then."""

    @contextmanager
    def reading(self: PostgreSQL, connection: Any, pacer: Any) -> Iterator[None]:
        yield

    def late(read: Any) -> Any:
        def slowly(self: Query, pks: Any, *args: Any) -> Any:
            found = None
            for pk in sorted(pks):  # as if in more than one batch
                time.sleep(0.002)
                rows = read(self, [pk], *args)
                if found is None:
                    found = rows
                else:
                    found.fresh |= rows.fresh
                    found.keys |= rows.keys
            return found

        return slowly

    setattr(PostgreSQL, "reading", reading)
    setattr(Query, "read", late(Query.read))


FAULTS: dict[str, Callable[[], None]] = {
    fault.__name__: fault for fault in (newest_first, rows_outside_snapshot)
}


class PlantedFault(AppConfig):
    """Plants the fault that the environment names."""

    name = "tests.support"
    label = "planted_fault"

    def ready(self) -> None:
        FAULTS[os.environ["PLANTED_FAULT"]]()
