"""The change log on SQLite: row triggers, in the one writer's order.

SQLite has one writer at a time, so the log's ids are in commit order, and a snapshot's position is
the newest entry that it sees. Each entry bears a random number: a position whose entry is gone, or
bears another number, belongs to another history (a restored backup), and proves nothing.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.db import OperationalError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from bindserver.capture.log_facts import LogEntry, LogSize, PurgePlan
from bindserver.capture.notices import Notices
from bindserver.capture.sqlite.size_trigger import BOUND, bounding
from bindserver.capture.sqlite.triggers import LOG, Triggers, quote
from bindserver.capture.sqlite.watching import FileNotices
from bindserver.capture.tables import Tracked, named_in_entry, no_such
from bindserver.conf import conf
from bindserver.database.sql import ask, run
from bindserver.engine.changes import Change, Position, gathered
from bindserver.exceptions import REMOVED, CaptureBusy, CaptureError, LogRemoved

META = "bindserver_meta"
MAX_ENTRIES = 200_000
"""More entries than this since a position are told by table, not by key."""

TABLES = (
    f"CREATE TABLE IF NOT EXISTS {LOG} ("
    "id INTEGER PRIMARY KEY AUTOINCREMENT, tbl TEXT NOT NULL, pk, "
    "nonce INTEGER NOT NULL DEFAULT (random()), "
    "at INTEGER NOT NULL DEFAULT (CAST(strftime('%s','now') AS INTEGER)))",
    f"CREATE TABLE IF NOT EXISTS {META} (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
)
NO_ENTRY = (0, 0)

ENTRY_BYTES = 24
"""What an entry takes besides its texts."""


class SQLiteLog:
    """The change log of one SQLite database.

    Args:
        connection: Django's wrapper of the connection to use.
    """

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.tries = 1  # SQLite's own timeout is patience enough
        self.tell: Callable[[str], None] = lambda sentence: None
        self.notify: bool | None = None
        self._connection = connection
        self._triggers = Triggers(connection)

    # Reading, inside a snapshot.

    def installed(self) -> bool:
        found = self._rows(
            "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name IN (%s, %s)",
            (LOG, META),
        )
        return bool(found[0][0] == 2)

    def position(self, since: Position | None = None) -> Position:
        newest = self._rows(f"SELECT id, nonce FROM {LOG} ORDER BY id DESC LIMIT 1")
        number, nonce = newest[0] if newest else NO_ENTRY
        return Position(epoch=self._epoch(), mark=f"{number}.{nonce}")

    def changes(self, since: Position) -> list[Change] | None:
        if since.epoch != self._epoch():
            return None
        number, nonce = (int(part) for part in since.mark.split("."))
        if not self._holds(number, nonce):
            return None
        count = self._rows(
            f"SELECT count(*) FROM (SELECT 1 FROM {LOG} WHERE id > %s LIMIT {MAX_ENTRIES + 1})",
            (number,),
        )
        if count[0][0] > MAX_ENTRIES:
            tables = self._rows(f"SELECT DISTINCT tbl FROM {LOG} WHERE id > %s", (number,))
            return gathered((*named_in_entry(name), None) for (name,) in tables)
        entries = self._rows(f"SELECT DISTINCT tbl, pk FROM {LOG} WHERE id > %s", (number,))
        return gathered(
            (*named_in_entry(name), None if value is None else (value,)) for name, value in entries
        )

    def _holds(self, number: int, nonce: int) -> bool:
        """Return whether the entry is a part of this history, and all after it are here."""
        if (number, nonce) == NO_ENTRY:
            oldest = self._rows(f"SELECT min(id) FROM {LOG}")[0][0]
            return oldest in (None, 1)
        found = self._rows(f"SELECT nonce FROM {LOG} WHERE id = %s", (number,))
        return bool(found and found[0][0] == nonce)

    def _epoch(self) -> str:
        found = self._rows(f"SELECT value FROM {META} WHERE name = 'epoch'")
        return str(found[0][0]) if found else ""

    def schema_mark(self) -> object:
        return self._rows("PRAGMA schema_version")[0][0]

    def commit_mark(self) -> object:
        # Asked a hundred times a second: Django's cursor would cost ten times the question.
        self._connection.ensure_connection()
        raw: Any = self._connection.connection
        with self._connection.wrap_database_errors:
            return raw.execute("PRAGMA data_version").fetchone()[0]

    def moved(self, mark: object) -> bool:
        return self.commit_mark() != mark

    def notices(self, ring: Callable[[], None]) -> Notices | None:
        files = {name: file for _, name, file in self._rows("PRAGMA database_list")}
        if not files.get("main"):
            return None  # in memory
        # Without links in between: what belongs to it stands beside the file itself.
        return FileNotices(self._connection.alias, Path(files["main"]).resolve(), ring)

    # Installing.

    def missing(self, tables: Collection[Tracked]) -> list[Tracked]:
        return self._triggers.missing(tables)

    def old_columns(self, tables: Collection[Tracked]) -> Mapping[str, frozenset[str]]:
        return {t.table: frozenset(self._triggers.foreign_keys(t)) for t in tables}

    def columns(self, tables: Collection[Tracked]) -> Mapping[str, frozenset[str]]:
        return self._triggers.columns(tables)

    def demand(self, tables: Collection[Tracked]) -> None:
        self._demand_wal()
        self._demand_tables(tables)

    def accept(self, tables: Collection[Tracked]) -> None:
        """Nothing: what lacks nothing is as it was."""

    def plan(self, tables: Collection[Tracked]) -> list[str]:
        statements = [] if self.installed() else list(TABLES)
        return statements + self._triggers.statements(self.missing(tables))

    def _plan_bound(self) -> list[str]:
        """Return the statements that bound the log as the settings say."""
        present = self._rows("SELECT sql FROM sqlite_master WHERE name = %s", (BOUND,))
        wanted = bounding(conf.LOG_MAX_ENTRIES)
        if present and present[0][0] == wanted:
            return []
        return [f"DROP TRIGGER IF EXISTS {BOUND}", wanted]

    def install(self, tables: Collection[Tracked], *, whole: bool = True) -> list[str]:
        self.demand(tables)
        with self._told_of_locks(), self._patience(whole), self._writing():
            if not (whole or self.installed()):
                raise LogRemoved(REMOVED)
            is_new, missing = not self.installed(), self.missing(tables)
            statements = self.plan(tables)
            for statement in statements:
                self._run(statement)
            if is_new:
                self.renew()
            else:
                for item in missing:
                    self._log_any_row(item.table)
            if whole:
                for statement in self._plan_bound():  # no harm to what is known: no new epoch
                    self._run(statement)
        return statements

    def _log_any_row(self, table: str) -> None:
        self._run(f"INSERT INTO {LOG}(tbl) VALUES (%s)", (table,))

    def renew(self) -> None:
        self._run(f"INSERT OR REPLACE INTO {META} VALUES ('epoch', %s)", (_new_epoch(),))

    def plan_removal(self) -> list[str]:
        statements = [f"DROP TRIGGER {quote(name)}" for name in self._triggers.present()]
        return [*statements, *(f"DROP TABLE {t}" for t in (LOG, META) if self.installed())]

    def remove(self) -> list[str]:
        with self._writing():
            statements = self.plan_removal()
            for statement in statements:
                self._run(statement)
        return statements

    def plan_purge(self, keep_seconds: float) -> PurgePlan:
        count, oldest, last = self._rows(
            f"SELECT count(*), min(at), max(id) FROM {LOG} WHERE id < %s",
            (self._stays_from(keep_seconds),),
        )[0]
        return PurgePlan(entries=count, oldest=oldest, last=f"entry {last}")

    def _stays_from(self, keep_seconds: float) -> int:
        """Return the number of the oldest entry that is kept.

        Entries go from the oldest on without a gap, so that a position whose entry is here has all
        later ones too. The newest entry stays: it is the anchor of the present position. One from
        the future was written by a clock that was wrong, and holds up nothing.
        """
        now = time.time()
        young = self._rows(
            f"SELECT id FROM {LOG} WHERE at BETWEEN %s AND %s ORDER BY id LIMIT 1",
            (int(now - keep_seconds), int(now + max(keep_seconds, 0.0))),
        )
        newest = int(self._rows(f"SELECT max(id) FROM {LOG}")[0][0] or 0)
        return min(int(young[0][0]), newest) if young else newest

    def purge(self, keep_seconds: float, batch: int, *, wait: bool) -> int:
        before = self._stays_from(keep_seconds)
        oldest = self._rows(f"SELECT min(id) FROM {LOG}")[0][0] or 0
        if oldest >= before:
            return 0
        with self._patience(wait), self._connection.cursor() as cursor:
            try:
                cursor.execute(
                    f"DELETE FROM {LOG} WHERE id IN "
                    f"(SELECT id FROM {LOG} WHERE id < %s ORDER BY id LIMIT %s)",
                    (before, batch),
                )
            except OperationalError as problem:
                if wait or "locked" not in str(problem):
                    raise
                return 0
            return int(cursor.rowcount)

    @contextmanager
    def _told_of_locks(self) -> Iterator[None]:
        """Have a lock that another connection holds be called that.

        Raises:
            CaptureBusy: there is one.
        """
        try:
            yield
        except OperationalError as problem:
            if "locked" not in str(problem):
                raise
            raise CaptureBusy(
                "another connection is writing to the database, and nobody else can until it has "
                "committed"
            ) from problem

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Take the write lock first: wanted after a look, it fails if others wrote since."""
        connection: Any = self._connection
        connection.ensure_connection()  # which is when Django reads the mode
        usual = connection.transaction_mode
        connection.transaction_mode = "IMMEDIATE"
        try:
            with transaction.atomic(using=self._connection.alias, durable=True):
                yield
        finally:
            connection.transaction_mode = usual

    @contextmanager
    def _patience(self, wait: bool) -> Iterator[None]:
        """Without `wait`, have a lock that another connection holds end a write at once."""
        if wait:
            yield
            return
        usual = int(self._rows("PRAGMA busy_timeout")[0][0])
        self._run("PRAGMA busy_timeout = 0")
        try:
            yield
        finally:
            self._run(f"PRAGMA busy_timeout = {usual}")

    def size(self) -> LogSize:
        # The ends of an index: entries are numbered almost without a gap; counting would read them.
        ends = f"SELECT id, at, (SELECT max(id) FROM {LOG}) FROM {LOG} ORDER BY id LIMIT 1"
        for first, oldest, last in self._rows(ends):
            return LogSize(entries=last - first + 1, oldest=oldest)
        return LogSize(entries=0)

    def latest(self, table: str, key: Any) -> LogEntry | None:
        found = self._rows(
            f"SELECT id, at, pk IS NOT NULL FROM {LOG} WHERE tbl = %s AND (pk = %s OR pk IS NULL) "
            "ORDER BY id DESC LIMIT 1",
            (table, key),
        )
        for number, at, is_of_row in found:
            return LogEntry(float(at), f"entry {number}", bool(is_of_row))
        return None

    def status(self) -> dict[str, Any]:
        if not self.installed():
            return {"installed": False}
        count, oldest, newest, texts = self._rows(
            f"SELECT count(*), min(at), max(at), total(length(tbl) + length(pk)) FROM {LOG}"
        )[0]
        return {
            "installed": True,
            "epoch": self._epoch(),
            "entries": count,
            "bytes": int(texts) + count * ENTRY_BYTES,
            "oldest": oldest,
            "newest": newest,
            "tables": sorted({trigger.table for trigger in self._triggers.present().values()}),
            "more": {"journal mode": self._journal_mode()},
        }

    def _demand_wal(self) -> None:
        mode = self._journal_mode()
        if mode != "wal":
            raise CaptureError(
                f"The SQLite database is in journal mode {mode!r}; the change log needs WAL, so "
                "that reading does not block your writers. Switch it yourself, once, with "
                "`PRAGMA journal_mode=WAL`, or let Django do it: "
                'OPTIONS = {"init_command": "PRAGMA journal_mode=WAL"}.'
            )

    def _demand_tables(self, tables: Collection[Tracked]) -> None:
        kinds = dict(self._rows("SELECT name, type FROM sqlite_master"))
        names = sorted({tracked.table for tracked in tables})
        if absent := [name for name in names if name not in kinds]:
            raise CaptureError(f"{no_such(absent, self._connection)}.")
        for name in names:
            if kinds[name] != "table":
                raise CaptureError(
                    f"{name} is a database {kinds[name]}, which cannot be watched; watch the "
                    "tables behind it."
                )

    def _journal_mode(self) -> str:
        return str(self._rows("PRAGMA journal_mode")[0][0]).lower()

    def _rows(self, sql: str, params: Sequence[Any] | None = None) -> list[Any]:
        return ask(self._connection, sql, params)

    def _run(self, sql: str, params: Sequence[Any] | None = None) -> None:
        run(self._connection, sql, params)


def _new_epoch() -> str:
    return secrets.token_hex(8)
