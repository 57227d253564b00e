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

from collections.abc import Callable, Sequence
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from bindserver.capture.log_facts import LogEntry, LogSize, PurgePlan
from bindserver.capture.notices import Notices
from bindserver.capture.postgresql.install import NEXT, Installer
from bindserver.capture.postgresql.listening import ListenNotices
from bindserver.capture.postgresql.purging import Purging
from bindserver.capture.postgresql.snapshots import Mark
from bindserver.capture.postgresql.triggers import LOG, META
from bindserver.capture.tables import named_in_entry
from bindserver.engine.changes import Change, Position, gathered
from bindserver.exceptions import CaptureError

MAX_KEYS = 200_000
"""More keys than this since a position are told by table."""

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


class PostgreSQLLog(Installer):
    """The change log of one PostgreSQL database.

    Args:
        connection: Django's wrapper of the connection to use.
    """

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        super().__init__(connection)
        self._schema: object = None
        self._marked: object = None
        self._cursor: Any = None
        self._quiet: tuple[object, object] = None, None

    # Reading, inside a snapshot.

    def position(self, since: Position | None = None) -> Position:
        if since is not None:
            self.own_epoch = since.epoch[EPOCH_LENGTH:]
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
        return gathered(
            (*named_in_entry(name), values) for _, _, _, name, values in found if name is not None
        )

    def _named(self, epoch: str) -> str:
        return f"{epoch[:EPOCH_LENGTH]}{self.own_epoch}"

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

    def notices(self, ring: Callable[[], None]) -> Notices | None:
        return ListenNotices(self._connection, ring)

    def _ask(self, sql: str, params: Sequence[Any] | None = None) -> Any:
        """Ask for one value, a hundred times a second: Django's cursor would cost as much again."""
        connection: Any = self._connection
        connection.ensure_connection()
        with connection.wrap_database_errors:
            if self._cursor is None or self._cursor.connection is not connection.connection:
                self._cursor = connection.connection.cursor()
            self._cursor.execute(sql, params)
            return self._cursor.fetchone()[0]

    def purge(self, keep_seconds: float, batch: int, *, wait: bool) -> int:
        return Purging(self._connection).purge(keep_seconds, batch, wait=wait)

    def plan_purge(self, keep_seconds: float) -> PurgePlan:
        return Purging(self._connection).plan(keep_seconds)

    def size(self) -> LogSize:
        entries, size, oldest = self._rows(
            "SELECT pg_stat_get_live_tuples(log), pg_total_relation_size(log), "
            f"(SELECT extract(epoch FROM at)::float8 FROM {LOG} ORDER BY xid LIMIT 1) "
            f"FROM (SELECT '{LOG}'::regclass AS log) AS it"
        )[0]
        return LogSize(entries=entries, bytes=size, oldest=oldest)

    def latest(self, table: str, key: Any) -> LogEntry | None:
        found = self._rows(
            f"SELECT xid::text, extract(epoch FROM at)::float8, pks IS NOT NULL FROM {LOG} "
            "WHERE tbl = %s AND (pks IS NULL OR %s = ANY(pks)) ORDER BY xid DESC, at DESC LIMIT 1",
            (table, str(key)),
        )
        for xid, at, is_of_row in found:
            return LogEntry(at, f"transaction {xid}", is_of_row)
        return None

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
