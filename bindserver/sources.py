"""What the cycle asks about changes, whichever capture is on."""

from __future__ import annotations

import logging
import secrets
import time
from collections import deque
from collections.abc import Callable, Collection
from typing import Protocol

from django.db.backends.base.base import BaseDatabaseWrapper

from bindserver.capture.log import LOGS, Log, has_log, log_of
from bindserver.capture.tables import Tracked, tracked
from bindserver.conf import conf
from bindserver.engine.changes import Change, Position
from bindserver.exceptions import CaptureBusy, CaptureError, LogRemoved
from bindserver.notices import Notices
from bindserver.snapshot import connect

logger = logging.getLogger("bindserver")


class Source(Protocol):
    """Says where in history a snapshot is, and what changed on the way.

    Attributes:
        name: the capture's name.
        polls: whether commits elsewhere can be noticed by looking.
        durable: whether any connection can tell its snapshot's position.
    """

    name: str
    polls: bool
    durable: bool

    def prepare(self, tables: Collection[str]) -> None:
        """Bring in place, before a snapshot, what is needed to see changes of these tables."""

    def prepared(self) -> bool:
        """Tell, in a snapshot, whether what `prepare` brought in place is there in it too."""

    def watches(self, tables: Collection[str]) -> bool:
        """Tell whether all that can be seen of these tables' changes is seen."""

    def unseen(self) -> frozenset[str]:
        """Return the tables whose changes are not seen for the time being."""

    def suspected(self) -> list[Change]:
        """Return the changes that there may be in those, where it is time to compare them."""

    def position(self) -> Position:
        """Return the position of the present snapshot."""

    def proves(self, compared: Position, asked: Position) -> bool:
        """Tell whether a view shows all that was committed when somebody asked for its rows.

        Args:
            compared: where it was read whole for the last time; it has followed `changes` since.
            asked: where we were when its rows were asked for.
        """

    def changes(self, since: Position) -> list[Change] | None:
        """Return what changed since a position, None when that cannot be proved."""

    def hint(self, changes: Collection[Change]) -> None:
        """Take hints of what was written."""

    def compare(self) -> None:
        """Take the word that changes may have gone unseen."""

    def listen(self, ring: Callable[[], None]) -> None:
        """Have it rung when somebody commits, from any thread, if the database can tell."""

    def moved(self) -> bool:
        """Tell whether anybody has committed since the last look."""

    def pause(self, *, quiet: bool) -> float:
        """Return how long to wait between two looks, in seconds.

        Args:
            quiet: whether nothing was written for a while.
        """

    def due(self) -> float | None:
        """Return when, on the monotonic clock, a look is due without a hint."""

    def purge(self) -> bool:
        """Let go of some old history; tell whether there may be more."""

    def close(self) -> None:
        """End what works besides."""


def source_of(connection: BaseDatabaseWrapper) -> Source:
    """Return the source for a database, as CAPTURE says: "auto" takes the log where there is one.

    Raises:
        CaptureError: the log is asked for and not installed.
    """
    wanted = conf.CAPTURE
    if wanted == "signals":
        return HintSource(connection)
    if has_log(connection):
        return LogSource(connection, log_of(connection))
    if wanted == "log":
        raise CaptureError(
            f"BINDSERVER['CAPTURE'] is 'log', but database {connection.alias!r} has no change log. "
            "Run `manage.py bindings capture install`."
        )
    return HintSource(connection)


class LogSource:
    """Changes as the database's log tells them."""

    name = "log"
    polls = True
    durable = True

    def __init__(self, connection: BaseDatabaseWrapper, log: Log) -> None:
        self._connection = connection
        self._log = log
        self._commit_mark: object = None
        self._schema_mark: object = None
        self._tables: set[str] = set()
        self._cannot_watch: set[str] = set()
        self._retry_at = float("inf")
        self._schema_at = 0.0
        self._compare_at = float("inf")
        self._compares = False
        self._notices: Notices | None = None

    def prepare(self, tables: Collection[str]) -> None:
        """Reinstall triggers that a migration took away, and watch tables found meanwhile."""
        self._see_to_triggers(tables)
        self._compares = time.monotonic() >= self._compare_at
        if not self._cannot_watch:
            self._compare_at = float("inf")
        elif self._compares or self._compare_at == float("inf"):
            busy = self._retry_at < float("inf")
            seconds = SUSPECT_SECONDS if busy else conf.COMPARE_SECONDS
            self._compare_at = time.monotonic() + seconds

    def _see_to_triggers(self, tables: Collection[str]) -> None:
        self._commit_mark = self._log.commit_mark()
        mark = self._log.schema_mark()
        self._schema_at = time.monotonic() + SCHEMA_SECONDS
        if mark != self._schema_mark or time.monotonic() >= self._retry_at:
            if not self._log.installed():
                raise LogRemoved("the change log was removed")
            self._cannot_watch.clear()  # what stood in the way may be gone
            self._retry_at = float("inf")
            self._schema_mark = None
        unknown = set(tables) - self._tables - self._cannot_watch
        if mark == self._schema_mark and not unknown:
            return
        wanted = tracked(self._tables | unknown)
        missing = self._log.missing(wanted)
        if missing:
            names = ", ".join(item.table for item in missing)
            logger.warning("bindserver: installing missing triggers on %s; a new epoch", names)
            if self._install(missing):
                mark = None  # the schema is another now: look once more
        self._tables |= unknown
        self._schema_mark = mark

    def _install(self, missing: Collection[Tracked]) -> bool:
        """Install triggers, one table's failure not another's; tell whether any were."""
        installed = False
        for item in missing:
            try:
                self._log.install([item])
            except CaptureError as problem:
                self._cannot_watch.add(item.table)
                if item.table in self._tables:
                    self._log.renew()  # it was watched: what is known of it proves nothing now
                if isinstance(problem, CaptureBusy):
                    self._retry_at = time.monotonic() + BUSY_SECONDS
                logger.error("bindserver: changes of %s are not seen: %s", item.table, problem)
            else:
                installed = True
        return installed

    def prepared(self) -> bool:
        return self._log.schema_mark() == self._schema_mark

    def watches(self, tables: Collection[str]) -> bool:
        return self._tables.issuperset(tables)

    def unseen(self) -> frozenset[str]:
        return frozenset(self._cannot_watch)

    def suspected(self) -> list[Change]:
        return [Change(table=table, pks=None) for table in self._cannot_watch if self._compares]

    def position(self) -> Position:
        return self._log.position()

    def proves(self, compared: Position, asked: Position) -> bool:
        return True

    def changes(self, since: Position) -> list[Change] | None:
        return self._log.changes(since)

    def hint(self, changes: Collection[Change]) -> None:
        """Nothing: being woken is all that a hint is good for, the log knows the rest."""

    def compare(self) -> None:
        """Nothing: the log has seen them."""

    def listen(self, ring: Callable[[], None]) -> None:
        if self._connection.vendor == "postgresql":
            self._notices = Notices(self._connection, ring)

    def pause(self, *, quiet: bool) -> float:
        if self._notices is not None and self._notices.heard():
            return NOTIFIED_SECONDS
        often: float = conf.LOG_POLL_SECONDS
        return 2 * often if quiet else often

    def close(self) -> None:
        if self._notices is not None:
            self._notices.close()

    def moved(self) -> bool:
        connect(self._connection)  # raises if the database's file is another by now
        if time.monotonic() >= self._schema_at:
            self._schema_at = time.monotonic() + SCHEMA_SECONDS
            if self._notices is not None:
                self._notices.tend()
            if not self.prepared():
                return True  # rows may have come or gone with it, and nothing was logged
        return self._log.moved(self._commit_mark)

    def due(self) -> float | None:
        at = min(self._retry_at, self._compare_at)
        return None if at == float("inf") else at

    def purge(self) -> bool:
        return self._log.purge(conf.LOG_KEEP_SECONDS, PURGE_BATCH, wait=False) == PURGE_BATCH


PURGE_BATCH = 1000

SCHEMA_SECONDS = 1.0
"""How often to look whether the schema was changed, while nobody writes."""

NOTIFIED_SECONDS = 1.0
"""How often to look at the log where the database tells of each commit."""

BUSY_SECONDS = 5.0
"""How long to wait before triggers are tried again on a table that somebody has locked."""

SUSPECT_SECONDS = 1.0
"""How often to compare views that read such a table meanwhile."""

HISTORY_TURNS = 10_000
"""How many turns' hints are remembered, for views that a loader is reading meanwhile."""


class HintSource:
    """Changes as hints tell them, and a full compare from time to time for all that they miss."""

    name = "signals"
    polls = False
    durable = False

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection
        self._commit_mark: object = None
        self._committed = 0
        self._epoch = secrets.token_hex(8)
        self._number = 0
        self._pending: list[Change] = []
        self._history: deque[tuple[int, list[Change]]] = deque(maxlen=HISTORY_TURNS)
        self._compared = 0
        self._compare_at: float = time.monotonic() + conf.COMPARE_SECONDS

    def prepare(self, tables: Collection[str]) -> None:
        self._number += 1
        self._history.append((self._number, self._pending))
        self._pending = []
        mark = self._look()
        if mark != self._commit_mark:
            self._commit_mark = mark
            self._committed = self._number
        if time.monotonic() >= self._compare_at:
            self._compare_at = time.monotonic() + conf.COMPARE_SECONDS
            self._compared = self._number

    def _look(self) -> object:
        """Return a value that differs when somebody has committed, as far as one can be had."""
        connect(self._connection)
        if self._connection.vendor not in LOGS:
            return object()
        return log_of(self._connection).commit_mark()

    def prepared(self) -> bool:
        return True

    def watches(self, tables: Collection[str]) -> bool:
        return True

    def unseen(self) -> frozenset[str]:
        return frozenset()

    def suspected(self) -> list[Change]:
        return []

    def position(self) -> Position:
        return Position(epoch=self._epoch, mark=str(self._number))

    def proves(self, compared: Position, asked: Position) -> bool:
        """Tell whether nobody has committed in between; hints alone prove nothing."""
        return compared.epoch == asked.epoch and int(compared.mark) >= min(
            int(asked.mark), self._committed
        )

    def changes(self, since: Position) -> list[Change] | None:
        """Return the hints since a look of ours; nothing where a full compare is due since."""
        if since.epoch != self._epoch:
            return None
        number = int(since.mark)
        if number < self._compared or number + 1 < self._history[0][0]:
            return None
        return [change for turn, told in self._history if turn > number for change in told]

    def hint(self, changes: Collection[Change]) -> None:
        self._pending.extend(changes)

    def compare(self) -> None:
        """Have the next look compare everything, whenever that was due."""
        self._compare_at = time.monotonic()

    def listen(self, ring: Callable[[], None]) -> None:
        """Nothing: whoever commits tells by a hint."""

    def moved(self) -> bool:
        return False

    def pause(self, *, quiet: bool) -> float:
        return float("inf")

    def due(self) -> float | None:
        return self._compare_at

    def purge(self) -> bool:
        return False

    def close(self) -> None:
        """Nothing works besides."""
