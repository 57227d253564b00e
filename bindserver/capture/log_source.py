"""Changes as a database's log tells them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from django.db.backends.base.base import BaseDatabaseWrapper

from bindserver.capture.log import Log
from bindserver.capture.log_facts import LogSize
from bindserver.capture.notices import Notices
from bindserver.capture.read_columns import ReadColumns
from bindserver.capture.tables import Columns, Tracked, tracked, untold, untold_columns
from bindserver.conf import conf
from bindserver.database.snapshot import connect
from bindserver.engine.changes import Change, Position
from bindserver.exceptions import REMOVED, CaptureBusy, CaptureError, LogRemoved

logger = logging.getLogger("bindserver.capture")

PURGE_BATCH = 1000

SCHEMA_SECONDS = 1.0
"""How often to look whether the schema was changed, while nobody writes."""

NOTIFIED_SECONDS = 1.0
"""How often to look at the log where each commit is told of."""

QUICK_SECONDS = 0.2
"""How long after a commit it is looked for the next one more often: writes come together."""

QUICK_LOOKS = 5
"""How much more often."""

BUSY_SECONDS = 5.0
"""How long to wait before triggers are tried again on a table that somebody has locked."""

SUSPECT_SECONDS = 1.0
"""How often to compare views that read such a table meanwhile."""


class LogSource:
    """Changes as the database's log tells them."""

    name = "log"
    polls = True
    durable = True

    def __init__(self, connection: BaseDatabaseWrapper, log: Log) -> None:
        self._connection = connection
        self._log = log
        self._untold = untold(connection)
        self._untold_columns = untold_columns(connection)
        self._commit_mark: object = None
        self._schema_mark: object = None
        self._tables: set[str] = set()
        self._old_columns: Mapping[str, frozenset[str]] = {}
        self._columns = ReadColumns()
        self._watched_columns: Mapping[str, frozenset[str]] = {}
        self._cannot_watch: set[str] = set()
        self._retry_at = float("inf")
        self._schema_at = 0.0
        self._compare_at = float("inf")
        self._compares = False
        self._notices: Notices | None = None
        self._moved_at = self._rests_until = float("-inf")

    def prepare(self, tables: Collection[str], columns: ReadColumns | None = None) -> None:
        """Reinstall triggers that a migration took away, and watch tables and columns found
        meanwhile."""
        self._columns = columns or ReadColumns()
        unseen = self.unseen()
        self._see_to_triggers(tables)
        # What has only now been found to be unseen may have been so for a while.
        self._compares = time.monotonic() >= self._compare_at or not self._cannot_watch <= unseen
        if not self._cannot_watch:
            self._compare_at = float("inf")
        elif self._compares or self._compare_at == float("inf"):
            busy = self._retry_at < float("inf")
            seconds = SUSPECT_SECONDS if busy else conf.COMPARE_SECONDS
            self._compare_at = time.monotonic() + seconds

    def _see_to_triggers(self, tables: Collection[str]) -> None:
        self._commit_mark = self._log.commit_mark()
        mark, unseen = self._log.schema_mark(), self.unseen()
        self._schema_at = time.monotonic() + SCHEMA_SECONDS
        if mark != self._schema_mark or time.monotonic() >= self._retry_at:
            if not self._log.installed():
                raise LogRemoved(REMOVED)
            self._cannot_watch.clear()  # what stood in the way may be gone
            self._retry_at = float("inf")
            self._schema_mark = None
        unknown = {table for table in tables if not self._watches(table)} - self._cannot_watch
        if mark == self._schema_mark and not unknown:
            return
        wanted = tracked(self._tables | unknown, self._columns.by_table())
        missing = self._log.missing(wanted)
        if missing and self._install(missing, unseen):
            mark = None  # the schema is another now: look once more
        self._log.accept(wanted)
        watched = [item for item in wanted if item.table not in self._cannot_watch]
        self._watched_columns = self._log.columns(watched)
        self._old_columns = {
            table: frozenset(c for c in columns if (table, c) not in self._untold_columns)
            & self._watched_columns.get(table, columns)
            for table, columns in self._log.old_columns(watched).items()
        }
        self._tables |= unknown
        self._schema_mark = mark

    def _watches(self, table: str) -> bool:
        """Return whether all that is read of a table is watched."""
        watched = self._watched_columns.get(table)
        if watched is None:
            return table in self._tables
        read = self._columns.of(table)
        return table in self._tables and read is not None and read <= watched

    def _install(self, missing: Collection[Tracked], unseen: Collection[str]) -> bool:
        """Install triggers, one table's failure not another's; return whether any were.

        A table of which a column was missed is watched whole from then on: with each column that
        turns out to be read, clients would get all of its rows again.

        Args:
            missing: the tables that lack some.
            unseen: those of them that did so before.
        """
        installed = False
        if conf.RUNTIME_INSTALL:
            names = ", ".join(item.table for item in missing)
            logger.warning("bindserver: installing missing triggers on %s", names)
        narrow = self._log.columns(missing)
        missing = [_or_whole(item, narrow.get(item.table)) for item in missing]
        for item in missing:
            try:
                self._demand_allowed(item)
                self._log.install([item], whole=False)
            except LogRemoved:
                raise
            except CaptureError as problem:
                self._cannot_watch.add(item.table)
                if isinstance(problem, CaptureBusy):
                    self._retry_at = time.monotonic() + BUSY_SECONDS
                elif item.table in self._tables and item.table not in unseen:
                    # It was watched. Who sees that it is again may be nobody who installs.
                    self._log.renew()
                logger.error("bindserver: changes of %s are not seen: %s", item.table, problem)
            else:
                installed = True
        return installed

    @staticmethod
    def _demand_allowed(item: Tracked) -> None:
        """Make sure that a server may change the schema.

        Raises:
            CaptureError: it may not.
        """
        if not conf.RUNTIME_INSTALL:
            raise CaptureError(
                "triggers are missing, and RUNTIME_INSTALL forbids servers to make them; run "
                f"`manage.py bindings capture install --table {item.table}`"
            )

    def prepared(self) -> bool:
        return self._log.schema_mark() == self._schema_mark

    def watches(self, tables: Collection[str]) -> bool:
        return all(self._watches(table) for table in tables)

    def unseen(self) -> frozenset[str]:
        return frozenset(self._cannot_watch)

    def suspected(self) -> list[Change]:
        return [Change(table=table, pks=None) for table in self._cannot_watch if self._compares]

    def position(self) -> Position:
        return self._log.position()

    def proves(self, compared: Position, asked: Position) -> bool:
        return True

    def changes(self, since: Position) -> list[Change] | None:
        changes = self._log.changes(since)
        if changes is None or not self._untold:
            return changes
        return [replace(c, pks=None) if c.table in self._untold else c for c in changes]

    def old_columns(self, table: str) -> frozenset[str]:
        return self._old_columns.get(table, frozenset())

    def hint(self, changes: Collection[Change]) -> None:
        """Nothing: being woken is all that a hint is good for, the log knows the rest."""

    def compare(self) -> None:
        """Nothing: the log has seen them."""

    def listen(self, ring: Callable[[], None]) -> None:
        self._notices = self._log.notices(ring)

    def pause(self, *, quiet: bool) -> float:
        now, often = time.monotonic(), float(conf.LOG_POLL_SECONDS)
        if (rest := self._rests_until - now) > 0:
            return rest
        if self._notices is not None and self._notices.heard():
            return min(NOTIFIED_SECONDS, self._notices.again())
        if now < self._moved_at + QUICK_SECONDS:
            return often / QUICK_LOOKS
        return 2 * often if quiet else often

    def close(self) -> None:
        if self._notices is not None:
            self._notices.close()

    def moved(self) -> bool:
        if time.monotonic() < self._rests_until:
            return False  # a turn has just begun for this: many commits are followed together
        if not self._has_moved():
            return False
        self._moved_at = time.monotonic()
        self._rests_until = self._moved_at + conf.LOG_POLL_SECONDS / 2
        return True

    def _has_moved(self) -> bool:
        connect(self._connection)  # raises if the database's file is another by now
        if time.monotonic() >= self._schema_at:
            self._schema_at = time.monotonic() + SCHEMA_SECONDS
            if self._notices is not None:
                self._notices.tend()
            if not self.prepared():
                return True  # rows may have come or gone with it, and nothing was logged
        moved = self._log.moved(self._commit_mark)
        if moved and self._notices is not None:
            self._notices.found()
        return moved

    def due(self) -> float | None:
        at = min(self._retry_at, self._compare_at)
        return None if at == float("inf") else at

    def purge(self) -> bool:
        return self._log.purge(conf.LOG_KEEP_SECONDS, PURGE_BATCH, wait=False) == PURGE_BATCH

    def size(self) -> LogSize | None:
        return self._log.size()


def _or_whole(item: Tracked, watched: Columns) -> Tracked:
    """Return a table to watch as it is, if that is enough, else whole."""
    enough = watched is not None and item.columns is not None and item.columns <= watched
    return item if enough else replace(item, columns=None)
