"""The change log: what every database's log can be asked, and which class does it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

from django.db.backends.base.base import BaseDatabaseWrapper

from bindserver.capture.log_facts import LogEntry, LogSize, PurgePlan
from bindserver.capture.mysql.log import MySQLLog
from bindserver.capture.notices import Notices
from bindserver.capture.postgresql.log import PostgreSQLLog
from bindserver.capture.sqlite.log import SQLiteLog
from bindserver.capture.tables import Tracked
from bindserver.engine.changes import Change, Position
from bindserver.exceptions import CaptureError


class Log(Protocol):
    """The change log of one database, on one connection.

    The reading calls belong inside the snapshot transaction that rows are read in.

    Attributes:
        tries: how often `install` and `remove` ask for a lock that somebody holds.
        tell: hears in a sentence why they wait.
        notify: whether `install` has commits notify, where a database can; None leaves it as it is.
    """

    tries: int
    tell: Callable[[str], None]
    notify: bool | None

    def installed(self) -> bool:
        """Return whether the log's tables are there."""

    def position(self, since: Position | None = None) -> Position:
        """Return the position of the connection's snapshot.

        Args:
            since: one that another connection was at before, to begin from where nothing is known.
        """

    def changes(self, since: Position) -> list[Change] | None:
        """Return what changed since an older position, None when that cannot be proved."""

    def demand(self, tables: Collection[Tracked]) -> None:
        """Make sure that tables can be watched.

        Raises:
            CaptureError: one cannot, or none; the message says why.
        """

    def missing(self, tables: Collection[Tracked]) -> list[Tracked]:
        """Return those of `tables` whose triggers are not, or not rightly, in place, or watch
        fewer columns than are asked for."""

    def old_columns(self, tables: Collection[Tracked]) -> Mapping[str, frozenset[str]]:
        """Return the columns of tables that lack nothing whose old values are logged too, when a
        row is changed in one, or deleted."""

    def columns(self, tables: Collection[Tracked]) -> Mapping[str, frozenset[str]]:
        """Return the columns whose writes are logged, of those tables where not all are."""

    def accept(self, tables: Collection[Tracked]) -> None:
        """Take note, as far as this role may, of what was done to those that lack nothing, lest it
        look like harm together with what is done later."""

    def plan(self, tables: Collection[Tracked]) -> list[str]:
        """Return the statements by which `install` would bring the triggers in place."""

    def install(self, tables: Collection[Tracked], *, whole: bool = True) -> list[str]:
        """Bring log and triggers in place.

        Where a table's triggers were missing, the log says from then on that any row of the table
        may have changed; where the log was, a new epoch begins.

        Args:
            tables: the tables to watch; what is watched already stays so.
            whole: whether to make the log where there is none, and to wait for locks: a server that
                puts missing triggers back must not undo what an operator has just removed, nor
                have all subscribers wait for somebody who writes.

        Returns:
            The statements that were run; none when all was in place.

        Raises:
            CaptureBusy: somebody holds a lock; later it may do.
            LogRemoved: there is no log, and none is to be made.
            CaptureError: the database cannot have the log as it is.
        """

    def renew(self) -> None:
        """Begin a new epoch: nothing can be proved about what was before."""

    def plan_removal(self) -> list[str]:
        """Return the statements by which `remove` would take everything away."""

    def remove(self) -> list[str]:
        """Take triggers and tables away, and return the statements that were run."""

    def purge(self, keep_seconds: float, batch: int, *, wait: bool) -> int:
        """Delete at most `batch` entries older than `keep_seconds`; return how many.

        With `wait` false, give up at once when another connection is writing.
        """

    def plan_purge(self, keep_seconds: float) -> PurgePlan:
        """Return what `purge` would delete, however many calls it took; changes nothing."""

    def size(self) -> LogSize:
        """Return how large the log is, by figures that the database has at hand."""

    def latest(self, table: str, key: Any) -> LogEntry | None:
        """Return the newest entry that means a row; None where there is none, or it was purged.

        It looks through the log from its end, so it may take long.

        Args:
            table: the row's.
            key: its primary key, as the database has it.
        """

    def status(self) -> dict[str, Any]:
        """Return figures for people: epoch, entries, about how many bytes, oldest, newest, tables,
        and in "more" what there is to say of this kind of database."""

    def schema_mark(self) -> object:
        """Return a value that differs when the database's schema was changed."""

    def commit_mark(self) -> object:
        """Return a value that differs when another connection has committed."""

    def moved(self, mark: object) -> bool:
        """Return whether anything may have been logged since `commit_mark` returned `mark`."""

    def notices(self, ring: Callable[[], None]) -> Notices | None:
        """Return what tells of commits, if anything can.

        Args:
            ring: called, from any thread, when a commit is to be looked for.
        """


LOGS: dict[str, Callable[[BaseDatabaseWrapper], Log]] = {
    "mysql": MySQLLog,
    "postgresql": PostgreSQLLog,
    "sqlite": SQLiteLog,
}


def log_of(connection: BaseDatabaseWrapper) -> Log:
    """Return the change log for a connection's database.

    Raises:
        CaptureError: there is none for this kind of database.
    """
    if connection.vendor not in LOGS:
        raise CaptureError(
            f"There is no change log for {connection.display_name}; "
            "signals are used there, and a full compare heals what they miss."
        )
    return LOGS[connection.vendor](connection)


def sift(log: Log, tables: Collection[Tracked]) -> tuple[list[Tracked], dict[str, str]]:
    """Return the tables that a log can watch, and why it cannot watch each of the others.

    Raises:
        CaptureError: it can watch none of them.
    """
    try:
        log.demand(tables)
    except CaptureError as problem:
        if len(tables) == 1:
            raise
        refusal = problem
    else:
        return list(tables), {}
    watched, others = [], {}
    for item in tables:
        try:
            log.demand([item])
        except CaptureError as problem:
            others[item.table] = str(problem)
        else:
            watched.append(item)
    if not watched:
        raise refusal
    return watched, others


def has_log(connection: BaseDatabaseWrapper) -> bool:
    """Return whether a log is installed in the connection's database."""
    return connection.vendor in LOGS and log_of(connection).installed()
