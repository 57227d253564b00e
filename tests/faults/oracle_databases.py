"""Faults to plant in how a kind of database is followed, each of which the oracle must find."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from bindserver.capture.mysql import entries
from bindserver.capture.mysql.entries import Entries
from bindserver.capture.mysql.log import MySQLLog
from bindserver.capture.mysql.marks import Mark
from bindserver.capture.postgresql.log import PostgreSQLLog
from bindserver.capture.postgresql.snapshots import Mark as Snapshot
from bindserver.capture.postgresql.triggers import LOG
from bindserver.capture.sqlite.log import SQLiteLog
from bindserver.capture.tables import named_in_entry
from bindserver.database.postgresql import PostgreSQL
from bindserver.engine.changes import Change, Position, gathered

LOGS = (SQLiteLog, PostgreSQLLog, MySQLLog)


def id_over_last() -> None:
    """What is new is asked as `id > last`, as if all committed in the order of their numbers."""

    def changes(self: PostgreSQLLog, since: Position) -> list[Change] | None:
        last = Snapshot.load(since.mark).entry[0]
        found = self._rows(f"SELECT tbl, pks FROM {LOG} WHERE xid > %s::xid8", (str(last),))
        return gathered((*named_in_entry(name), values) for name, values in found)

    setattr(PostgreSQLLog, "changes", changes)
    setattr(entries, "_after", lambda mark: f"id > {mark.high}")
    setattr(Mark, "lacks", lambda self, number: number > self.high)


def holes_not_inherited() -> None:
    """Who begins takes the highest number, and not what was missing below it."""
    kept = Entries.kept_mark

    def without(self: Entries, facts: dict[str, Any]) -> Mark:
        return replace(kept(self, facts), holes=())

    setattr(Entries, "kept_mark", without)


def epoch_not_checked() -> None:
    """A cursor of another history, or of purged history, passes for proof."""
    read = SQLiteLog.changes

    def changes(self: SQLiteLog, since: Position) -> list[Change] | None:
        return read(self, Position(epoch=self._epoch(), mark=since.mark))

    setattr(SQLiteLog, "changes", changes)
    setattr(SQLiteLog, "_holds", lambda self, number, nonce: True)
    setattr(PostgreSQLLog, "_named", lambda self, epoch: "one")
    setattr(Snapshot, "saw_all_below", lambda self, number: True)
    setattr(MySQLLog, "_epoch", lambda self, facts: "one")


def triggers_not_watched() -> None:
    """Nobody who serves looks whether the triggers are still there."""
    if "bindserver" in sys.argv:
        for log in LOGS:
            setattr(log, "missing", lambda self, tables: [])


def install_not_told() -> None:
    """Triggers are put back, and nothing says that rows may have changed without them."""
    for log in LOGS:
        setattr(log, "_log_any_row", lambda self, table: None)


def overtaking_not_noticed() -> None:
    """Rows are taken of tables that were emptied or replaced after the snapshot was taken."""
    setattr(PostgreSQL, "overtaken", lambda self, connection, tables: False)


DATABASE_FAULTS: dict[str, Callable[[], None]] = {
    fault.__name__: fault
    for fault in (
        id_over_last,
        holes_not_inherited,
        epoch_not_checked,
        triggers_not_watched,
        install_not_told,
        overtaking_not_noticed,
    )
}
