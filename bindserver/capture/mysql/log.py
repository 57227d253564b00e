"""The change log on MariaDB and MySQL: row triggers, and numbers that are not in commit order.

An entry's number is given out when it is written and seen when it is committed, and no snapshot can
be asked for. So what a snapshot has seen is a `Mark`: the highest number, and the holes below it.
Each snapshot asks for the holes again. One is given up when nothing can come in it any more, which
`holes` finds out.

The marks of any process are the database's: one is kept there from time to time, and a new process
begins from it; a big load begins from the cycle's own. An older mark is always right, as it only
has more to read again.

What was proved holds in one run of the database server: a crash may take back what was seen.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from bindserver.capture.log_facts import LogEntry, LogSize, PurgePlan
from bindserver.capture.mysql.entries import RANGES, Entries
from bindserver.capture.mysql.holes import Holes, within
from bindserver.capture.mysql.install import Installer
from bindserver.capture.mysql.marks import Mark, parse
from bindserver.capture.mysql.purging import Purging
from bindserver.capture.mysql.schema import Schema
from bindserver.capture.mysql.trigger_sql import LOG
from bindserver.capture.notices import Notices
from bindserver.engine.changes import Change, Position

logger = logging.getLogger("bindserver.capture")

SCHEMA_SECONDS = 1.0
SLOW_POLL_SECONDS = 0.01
POLL_SHARE = 20
"""A look that takes long, as past many entries that are not committed yet, is taken so much less
often that looks take a twentieth of the time."""

TRUNCATE_SECONDS = 10.0

YOUNG_SECONDS = 0.05
"""How long to wait before looking again whether a run of the database server is a second old."""


class MySQLLog(Installer):
    """The change log of one MariaDB or MySQL database.

    Args:
        connection: Django's wrapper of the connection to use.
    """

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        super().__init__(connection)
        self._known: Mark | None = None
        self._run: tuple[object, str] = (None, "")
        self._entries = Entries(connection)
        self._holes = Holes(connection)
        self._schema: str | None = None
        self._truncates: int | None = None
        self._renew_at: float | None = None
        self._renewals = 0
        self._turn = 0
        self._polled: object = None
        self._poll_at = 0.0

    # Reading, inside a snapshot.

    def position(self, since: Position | None = None) -> Position:
        self.demand_sight()
        known = self._known or (parse(since.mark) if since is not None else Mark())
        facts = self._entries.facts(known)
        epoch = self._epoch(facts)
        ours = self._known is not None or (since is not None and since.epoch == epoch)
        if not ours or facts.get("anchor") != known.nonce:
            known = self._entries.kept_mark(facts)
        # What was in a hole that purging has passed was committed before, so this snapshot has it.
        mark = self._known = self._entries.advanced(known.above(int(facts.get("purged", 0))))
        return Position(epoch=epoch, mark=mark.text(), brief=mark.brief())

    def changes(self, since: Position) -> list[Change] | None:
        try:
            mark = parse(since.mark)
        except ValueError:  # of another capture, or another kind of database
            return None
        facts = self._entries.facts(mark)
        proved = (
            since.epoch == self._epoch(facts)
            and (mark.high == 0 or facts.get("anchor") == mark.nonce)
            and mark.low > int(facts.get("purged", 0))
        )
        if not proved:
            return None
        return self._entries.changes(mark)

    def _epoch(self, facts: dict[str, Any]) -> str:
        text = f"{facts.get('epoch', '')} {self._server_run()}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _server_run(self) -> str:
        """Return a text that differs when the connection is to another run of a server."""
        raw = self._connection.connection
        if self._run[0] is not raw:
            self._run = (raw, self._ask_run())
        return self._run[1]

    def _ask_run(self) -> str:
        """Name the run by the second in which it began.

        No run is named in that second, so the next one begins in a later one, if any was named.
        """
        while True:  # until both looks fall into one second of the server's clock
            before = self._rows("SELECT UNIX_TIMESTAMP(), @@server_id, @@hostname, @@port")[0]
            uptime = int(self._rows("SHOW GLOBAL STATUS LIKE 'Uptime'")[0][1])
            after = self._rows("SELECT UNIX_TIMESTAMP()")[0][0]
            if before[0] == after and uptime:
                return f"{int(after) - uptime} {before[1:]}"
            if not uptime:
                time.sleep(YOUNG_SECONDS)

    # Looking, between snapshots.

    def schema_mark(self) -> object:
        if self._schema is None:
            self._look()
        return self._schema

    def commit_mark(self) -> object:
        if self._known is None:
            return object()  # nothing is known yet that could have moved on
        now = time.monotonic()
        if now >= self._look_at:
            self._look()
        self._known = self._holes.retire(self._known)
        if now >= self._poll_at:
            self._polled = self._poll(self._known)
            spent = time.monotonic() - now
            self._poll_at = now + spent * POLL_SHARE if spent > SLOW_POLL_SECONDS else 0.0
        return (self._schema, self._polled, self._renewals)

    def moved(self, mark: object) -> bool:
        return self.commit_mark() != mark

    def notices(self, ring: Callable[[], None]) -> Notices | None:
        return None

    def _poll(self, known: Mark) -> object:
        """Return the newest entry's number, and one in a hole if there is any.

        After a snapshot an entry in a hole is in none any more; so equal answers mean that nobody
        has committed.
        """
        sql = f"SELECT MAX(id) FROM {LOG}"
        if known.holes:
            self._turn += 1
            first = self._turn * RANGES % len(known.holes) if len(known.holes) > RANGES else 0
            some = known.holes[first : first + RANGES]
            sql = f"({sql}) UNION ALL (SELECT id FROM {LOG} WHERE {within(some)} LIMIT 1)"
        # Asked a hundred times a second: Django's cursor would cost ten times the question.
        self._connection.ensure_connection()
        raw: Any = self._connection.connection
        with self._connection.wrap_database_errors:
            raw.query(sql)
            return raw.store_result().fetch_row(0)

    def _look(self) -> None:
        """Look at the schema, which a migration or a TRUNCATE may have changed."""
        self._look_at = time.monotonic() + SCHEMA_SECONDS
        schema = Schema(self._connection)
        self._schema = schema.mark([*self._watched, LOG])
        if self._known is not None and not schema.spaces:
            self._mind_truncates()

    def _mind_truncates(self) -> None:
        """Without tablespaces, count TRUNCATEs, of whatever tables of the server.

        One is counted when it begins, and may wait for its turn: so a second time a while later.
        """
        count = int(self._rows("SHOW GLOBAL STATUS LIKE 'Com_truncate'")[0][1])
        due = self._renew_at is not None and time.monotonic() >= self._renew_at
        if self._truncates not in (None, count) or due:
            logger.warning("bindserver: a table may have been truncated; a new epoch")
            self.renew()
            self._renewals += 1
            self._renew_at = None if due else time.monotonic() + TRUNCATE_SECONDS
        self._truncates = count

    def size(self) -> LogSize:
        ends = f"SELECT id, at, (SELECT MAX(id) FROM {LOG}) FROM {LOG} ORDER BY id LIMIT 1"
        for first, oldest, last in self._rows(ends):
            return LogSize(entries=last - first + 1, oldest=oldest)
        return LogSize(entries=0)

    def latest(self, table: str, key: Any) -> LogEntry | None:
        found = self._rows(
            f"SELECT id, at, pk IS NOT NULL OR raw IS NOT NULL FROM {LOG} WHERE tbl = %s "
            "AND (pk = %s OR (pk IS NULL AND raw IS NULL)) ORDER BY id DESC LIMIT 1",
            (table, str(key)),
        )
        for number, at, is_of_row in found:
            return LogEntry(float(at), f"entry {number}", bool(is_of_row))
        return None

    def status(self) -> dict[str, Any]:
        figures = super().status()
        if figures["installed"]:
            figures["epoch"] = self._epoch(self._entries.facts(Mark()))
        return figures

    def plan_purge(self, keep_seconds: float) -> PurgePlan:
        return Purging(self._connection, self._known).plan(keep_seconds)

    def purge(self, keep_seconds: float, batch: int, *, wait: bool) -> int:
        return Purging(self._connection, self._known).purge(keep_seconds, batch, wait=wait)
