"""The change log on PostgreSQL: statement triggers, and snapshots as positions.

Transactions commit in another order than they begin, so no number in the log says what is new. A
position is a snapshot: what changed since is what is visible now and was not visible in it. That
is asked by transaction id, `xid >= xmax OR xid = ANY(open)`, which an index answers.

A snapshot means nothing in another history, whose transaction ids may be the same. The epoch names
the history: the log's own random name, the database, the log's file, and when the server was
started, which tells a restored backup and another server. Each position bears the newest entry that
it saw, too: where that is not in the log, it was another history all the same.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from django.db import DatabaseError, OperationalError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from bindserver.capture.notifying import Notifying
from bindserver.capture.purging import Purging
from bindserver.capture.snapshots import Mark
from bindserver.capture.statements import ask, run
from bindserver.capture.tables import Tracked
from bindserver.capture.triggers import LOG, META, Triggers
from bindserver.engine.changes import Change, Position
from bindserver.exceptions import CaptureBusy, CaptureError

MAX_KEYS = 200_000
"""More keys than this since a position are told by table."""

LOCK_SECONDS = 0.2
"""How long a table's writers may be held up by one try to put triggers on it."""

LOCK = 0x62696E64
"""The advisory lock of whoever installs."""

EPOCH = (
    f"md5(concat_ws('/', (SELECT value FROM {META} WHERE name = 'epoch'), "
    "(SELECT oid FROM pg_database WHERE datname = current_database()), "
    f"pg_relation_filenode('{LOG}'), extract(epoch FROM pg_postmaster_start_time())))"
)
EPOCH_LENGTH = 20
"""How much of that is in a position; behind it stands what a role that only reads has added."""

SNAPSHOT = "SELECT pg_current_snapshot()::text"
TUPLES_OK = 2
"""What libpq says of an answer that has rows."""

AT = "(extract(epoch FROM at) * 1000000)::bigint"
NEXT = "pg_snapshot_xmax(pg_current_snapshot())"
NEW = f"(xid >= %s::xid8 AND xid < {NEXT} OR xid = ANY(%s::xid8[]))"

POSITION = (
    "SELECT pg_is_in_recovery(), pg_current_snapshot()::text, newest.xid::text, newest.at, "
    f"{EPOCH} FROM (SELECT) AS one LEFT JOIN "
    f"(SELECT xid, {AT} AS at FROM {LOG} ORDER BY xid DESC LIMIT 1) AS newest ON true"
)
CHANGES = (
    f"SELECT {EPOCH}, (SELECT value::bigint FROM {META} WHERE name = 'purged'), "
    f"EXISTS (SELECT FROM {LOG} WHERE xid = %s::xid8 AND {AT} = %s), found.tbl, found.pks "
    "FROM (SELECT) AS one LEFT JOIN (SELECT DISTINCT tbl, CASE WHEN total <= %s THEN pks END AS pks"
    " FROM (SELECT tbl, pks, sum(coalesce(cardinality(pks), 1)) OVER () AS total "
    f"FROM {LOG} WHERE {NEW}) AS entries) AS found ON true"
)
STANDBY = (
    "the server is a standby, whose snapshots do not tell what was running; name the primary, or "
    'let the driver find it: OPTIONS = {"target_session_attrs": "read-write"}'
)


class PostgreSQLLog:
    """The change log of one PostgreSQL database.

    Args:
        connection: Django's wrapper of the connection to use.

    Attributes:
        tries: how often `install` and `remove` ask for a lock that somebody holds.
        lock_seconds: how long they wait for it each time, and in between.
        tell: hears in a sentence why they wait.
        notify: whether `install` has commits notify; None leaves that as it is.
    """

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.lock_seconds = LOCK_SECONDS
        self.tries = 1
        self.tell: Callable[[str], None] = lambda sentence: None
        self.notify: bool | None = None
        self._connection = connection
        self._triggers = Triggers(connection)
        self._notifying = Notifying(connection)
        self._own_epoch = ""
        self._schema: object = None
        self._marked: object = None
        self._cursor: Any = None
        self._quiet: tuple[object, object] = None, None

    # Reading, inside a snapshot.

    def installed(self) -> bool:
        # Not `to_regclass`: a session may remember for a transaction that there is no such name.
        found = self._rows(
            "SELECT count(*) FROM pg_class WHERE relname IN (%s, %s) AND pg_table_is_visible(oid)",
            (LOG, META),
        )
        return bool(found[0][0] == 2)

    def position(self, since: Position | None = None) -> Position:
        if since is not None:
            self._own_epoch = since.epoch[EPOCH_LENGTH:]
        standby, snapshot, number, at, epoch = self._rows(POSITION)[0]
        if standby:
            raise CaptureError(STANDBY)
        mark = Mark.of(snapshot, (int(number or 0), at or 0))
        return Position(epoch=self._named(epoch), mark=mark.dump(), brief=mark.brief())

    def changes(self, since: Position) -> list[Change] | None:
        try:
            mark = Mark.load(since.mark)
        except ValueError:  # of another capture, or another kind of database
            return None
        found = self._rows(CHANGES, (str(mark.entry[0]), mark.entry[1], MAX_KEYS, *mark.snapshot()))
        epoch, purged, holds, _, _ = found[0]
        if since.epoch != self._named(epoch) or not mark.saw_all_below(purged or 0):
            return None
        if mark.entry[0] and not holds:
            return None
        return _gathered((table, pks) for _, _, _, table, pks in found if table is not None)

    def _named(self, epoch: str) -> str:
        return f"{epoch[:EPOCH_LENGTH]}{self._own_epoch}"

    def schema_mark(self) -> object:
        # Every change of the schema changes the snapshot, which is ten times cheaper to ask.
        state = self.commit_mark(), self._triggers.watched()
        if state != self._marked:
            self._schema, self._marked = self._triggers.mark(), state
        return self._schema

    def commit_mark(self) -> object:
        return self._glanced() or self._ask(SNAPSHOT)

    def _glanced(self) -> str | None:
        """Ask for the snapshot as cheaply as can be; None where that is not to be had.

        A hundred times a second psycopg's cursor would cost three times the question.
        """
        connection: Any = self._connection
        connection.ensure_connection()
        libpq = getattr(connection.connection, "pgconn", None)
        if libpq is None or connection.in_atomic_block or not connection.autocommit:
            return None
        with connection.wrap_database_errors:
            found = libpq.exec_(SNAPSHOT.encode())
        return found.get_value(0, 0).decode() if found.status == TUPLES_OK else None

    def moved(self, mark: object) -> bool:
        since, quiet = self._quiet
        present = self.commit_mark()
        if present in (mark, quiet if since == mark else mark):
            return False
        # Other tables' commits change the snapshot too: what counts is whether anything was logged.
        seen = Mark.of(str(quiet if since == mark else mark), (0, 0))
        if self._ask(f"SELECT EXISTS (SELECT FROM {LOG} WHERE {NEW})", seen.snapshot()):
            return True
        self._quiet = mark, present
        return False

    def _ask(self, sql: str, params: Sequence[Any] | None = None) -> Any:
        """Ask for one value, a hundred times a second: Django's cursor would cost as much again."""
        connection: Any = self._connection
        connection.ensure_connection()
        with connection.wrap_database_errors:
            if self._cursor is None or self._cursor.connection is not connection.connection:
                self._cursor = connection.connection.cursor()
            self._cursor.execute(sql, params)
            return self._cursor.fetchone()[0]

    # Installing.

    def missing(self, tables: Collection[Tracked]) -> list[Tracked]:
        return self._triggers.missing(tables)

    def accept(self, tables: Collection[Tracked]) -> None:
        self._triggers.accept(tables)

    def plan(self, tables: Collection[Tracked]) -> list[str]:
        statements = [] if self.installed() else self._triggers.log_tables()
        for tracked in self.missing(tables) if not statements else tables:
            statements += self._triggers.statements(tracked)
        return statements + self._notifying.plan(self.notify)

    def install(self, tables: Collection[Tracked]) -> list[str]:
        self._triggers.demand(tables)
        done: list[str] = []
        if not self.installed():
            done += self._patiently("the change log", self._make_log)
        for tracked in self.missing(tables):

            def watch(tracked: Tracked = tracked) -> list[str]:
                return self._watch(tracked)

            done += self._patiently(tracked.table, watch)
        self.accept(tables)
        if self._notifying.plan(self.notify):
            done += self._patiently("the change log", self._switch_notifying)
        return done

    def _switch_notifying(self) -> list[str]:
        statements = self._notifying.plan(self.notify)
        for statement in statements:
            self._run(statement)
        return statements

    def _make_log(self) -> list[str]:
        if self.installed():
            return []  # somebody else was faster
        statements = self._triggers.log_tables()
        for statement in statements:
            self._run(statement)
        self.renew()
        return statements

    def _watch(self, tracked: Tracked) -> list[str]:
        """Put triggers on a table; with them, in one transaction, begins a new epoch."""
        if not self.missing([tracked]):
            return []
        statements = self._triggers.statements(tracked)
        for statement in statements:
            self._run(statement)
        self._triggers.record(tracked)
        self.renew()
        return statements

    def _patiently(self, what: str, work: Callable[[], list[str]]) -> list[str]:
        """Do something that needs a lock on a table, and never make its writers queue for long."""
        for left in reversed(range(self.tries)):
            try:
                with transaction.atomic(using=self._connection.alias):
                    usual = self._rows("SELECT current_setting('lock_timeout')")[0][0]
                    self._set("lock_timeout", f"{int(self.lock_seconds * 1000)}ms")
                    self._rows("SELECT pg_advisory_xact_lock(%s)::text", (LOCK,))
                    done = work()
                    self._set("lock_timeout", usual)  # a migration's transaction goes on
                    return done
            except OperationalError as problem:
                if not _waited_too_long(problem):
                    raise
                self.tell(f"{what} is in use; {left} more tries")
            except DatabaseError as problem:
                raise CaptureError(f"{what} cannot be changed: {problem}".strip()) from problem
            if left:
                time.sleep(self.lock_seconds)
        raise CaptureBusy(
            f"Somebody holds a lock on {what}: a transaction that has written to it and stays "
            "open, or a change of its schema. Try again, or see who by "
            "`SELECT pid, query, xact_start FROM pg_stat_activity ORDER BY xact_start`."
        )

    def _set(self, name: str, value: str) -> None:
        self._rows("SELECT set_config(%s, %s, true)", (name, value))

    def renew(self) -> None:
        try:
            with transaction.atomic(using=self._connection.alias):
                self._run(
                    f"INSERT INTO {META} VALUES ('epoch', %s) "
                    "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                    (secrets.token_hex(8),),
                )
                # A dump from elsewhere brings entries and marks of transactions that are yet to be.
                self._run(f"DELETE FROM {META} WHERE name = 'purged' OR starts_with(name, 'seen:')")
                self._run(f"DELETE FROM {LOG} WHERE xid >= {NEXT}")
        except DatabaseError:
            if self._may_write():
                raise
            self._own_epoch = secrets.token_hex(2)  # a role that only reads can do so much

    def _may_write(self) -> bool:
        return bool(self._rows("SELECT has_table_privilege(%s, 'INSERT')", (META,))[0][0])

    def plan_removal(self) -> list[str]:
        return [statement for _, some in self._triggers.removal() for statement in some]

    def remove(self) -> list[str]:
        done: list[str] = []
        for what, statements in self._triggers.removal():

            def work(statements: list[str] = statements) -> list[str]:
                for statement in statements:
                    self._run(statement)
                return statements

            done += self._patiently(what, work)
        return done

    def purge(self, keep_seconds: float, batch: int, *, wait: bool) -> int:
        return Purging(self._connection).purge(keep_seconds, batch, wait=wait)

    def status(self) -> dict[str, Any]:
        if not self.installed():
            return {"installed": False}
        count, oldest, newest, size = self._rows(
            "SELECT count(*), extract(epoch FROM min(at))::float8, "
            f"extract(epoch FROM max(at))::float8, pg_total_relation_size('{LOG}') "
            f"FROM {LOG}"
        )[0]
        epoch, snapshot = self._rows(f"SELECT {EPOCH}, pg_current_snapshot()::text")[0]
        mark = Mark.of(snapshot, (0, 0))
        return {
            "installed": True,
            "epoch": self._named(epoch),
            "entries": count,
            "bytes": size,
            "oldest": oldest,
            "newest": newest,
            "tables": self._triggers.recorded(),
            "more": {
                "notifications": "on" if self._notifying.is_on() else "off",
                "open transactions": f"{len(mark.open)}, the oldest {mark.xmax - mark.xmin} back",
            },
        }

    def _rows(self, sql: str, params: Sequence[Any] | None = None) -> list[Any]:
        return ask(self._connection, sql, params)

    def _run(self, sql: str, params: Sequence[Any] | None = None) -> None:
        run(self._connection, sql, params)


def _gathered(entries: Iterable[tuple[str, list[str] | None]]) -> list[Change]:
    """Return one change for each table: all its keys, or any row."""
    keys: dict[str, set[Any] | None] = {}
    for table, pks in entries:
        known = keys.setdefault(table, set())
        if pks is None or known is None:
            keys[table] = None
        else:
            known.update(pks)
    return [
        Change(table=table, pks=None if found is None else frozenset(found))
        for table, found in keys.items()
    ]


def _waited_too_long(problem: OperationalError) -> bool:
    """Tell whether a lock was not to be had in time (55P03), or others waited for ours (40P01)."""
    cause: Any = problem.__cause__
    code = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    return code in ("55P03", "40P01")
