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
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from django.db import OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper

from bindserver.capture.holes import LOCKED, PROBE_SPANS, Holes, within
from bindserver.capture.marks import Mark, parse
from bindserver.capture.mysql_install import Installer
from bindserver.capture.mysql_schema import Schema
from bindserver.capture.mysql_trigger_sql import LOG, META
from bindserver.engine.changes import Change, Position

logger = logging.getLogger("bindserver")

MAX_ENTRIES = 200_000
"""More entries than this since a position are told by table, not by key."""

RANGES = 100
"""How many spans one query names; more are merged to larger ones."""

SCHEMA_SECONDS = 1.0
SLOW_POLL_SECONDS = 0.01
POLL_SHARE = 20
"""A look that takes long, as past many entries that are not committed yet, is taken so much less
often that looks take a twentieth of the time."""

TRUNCATE_SECONDS = 10.0

KEPT_LENGTH = 60_000
"""How long the text of the kept mark may be; its column holds 65,535 bytes."""

YOUNG_SECONDS = 0.05
"""How long to wait before looking again whether a run of the database server is a second old."""

HOLE_SECONDS = 30
"""Servers have given up a hole before it is so old, if nothing can come in it any more."""


class MySQLLog(Installer):
    """The change log of one MariaDB or MySQL database.

    Args:
        connection: Django's wrapper of the connection to use.
    """

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        super().__init__(connection)
        self._known: Mark | None = None
        self._run: tuple[object, str] = (None, "")
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
        facts = self._facts(known)
        epoch = self._epoch(facts)
        ours = self._known is not None or (since is not None and since.epoch == epoch)
        if not ours or facts.get("anchor") != known.nonce:
            known = self._kept_mark(facts)
        # What was in a hole that purging has passed was committed before, so this snapshot has it.
        mark = self._known = self._advanced(known.above(int(facts.get("purged", 0))))
        return Position(epoch=epoch, mark=mark.text(), brief=mark.brief())

    def _advanced(self, mark: Mark) -> Mark:
        """Return a mark with what can be seen now."""
        if not mark.holes:
            count, newest, nonce = self._rows(
                f"SELECT COUNT(*), MAX(id), (SELECT nonce FROM {LOG} ORDER BY id DESC LIMIT 1) "
                f"FROM {LOG} WHERE id > %s",
                (mark.high,),
            )[0]
            if count == int(newest or mark.high) - mark.high:  # no number is missing
                return replace(mark, high=int(newest), nonce=int(nonce)) if count else mark
        found = self._rows(f"SELECT id, nonce FROM {LOG} WHERE {_after(mark)} ORDER BY id")
        fresh = [(int(number), int(nonce)) for number, nonce in found if mark.lacks(int(number))]
        return mark.seen([number for number, _ in fresh], fresh[-1][1]) if fresh else mark

    def changes(self, since: Position) -> list[Change] | None:
        try:
            mark = parse(since.mark)
        except ValueError:  # of another capture, or another kind of database
            return None
        facts = self._facts(mark)
        proved = (
            since.epoch == self._epoch(facts)
            and (mark.high == 0 or facts.get("anchor") == mark.nonce)
            and mark.low > int(facts.get("purged", 0))
        )
        if not proved:
            return None
        wanted = _after(mark)
        count = self._rows(
            f"SELECT COUNT(*) FROM (SELECT 1 FROM {LOG} WHERE {wanted} LIMIT {MAX_ENTRIES + 1}) few"
        )
        if count[0][0] > MAX_ENTRIES:
            tables = self._rows(f"SELECT DISTINCT tbl FROM {LOG} WHERE {wanted}")
            return [Change(table=table, pks=None) for (table,) in tables]
        found = self._rows(f"SELECT id, tbl, pk, raw FROM {LOG} WHERE {wanted}")
        return _changes(entry for number, *entry in found if mark.lacks(int(number)))

    def _facts(self, mark: Mark) -> dict[str, Any]:
        """Return what is kept beside the log, and the random number of a mark's newest entry."""
        found = self._rows(
            f"SELECT name, value FROM {META} WHERE name IN ('epoch', 'purged', 'mark') "
            f"UNION ALL SELECT 'anchor', nonce FROM {LOG} WHERE id = %s",
            (mark.high,),
        )
        facts = {str(name): value for name, value in found}
        if "anchor" in facts:
            facts["anchor"] = int(facts["anchor"])
        elif mark.high == 0:
            facts["anchor"] = 0
        return facts

    def _kept_mark(self, facts: dict[str, Any]) -> Mark:
        """Return the mark that is kept in the database, or that of having seen nothing."""
        mark = parse(facts["mark"]) if "mark" in facts else Mark()
        return mark if self._facts(mark).get("anchor") == mark.nonce else Mark()

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

    def status(self) -> dict[str, Any]:
        shown = super().status()
        return {**shown, "epoch": self._epoch(self._facts(Mark()))} if shown["installed"] else shown

    # Purging.

    def purge(self, keep_seconds: float, batch: int, *, wait: bool) -> int:
        with self._alone("purge", 30 if wait else 0) as mine:
            if not mine:
                return 0
            usual = self._rows("SELECT @@innodb_lock_wait_timeout")[0]
            self._execute("SET SESSION innodb_lock_wait_timeout = 1")
            try:
                return self._purge(int(time.time() - keep_seconds), batch)
            except OperationalError as problem:
                if wait or problem.args[0] not in LOCKED:
                    raise
                return 0
            finally:
                self._execute("SET SESSION innodb_lock_wait_timeout = %s", usual)

    def _purge(self, cutoff: int, batch: int) -> int:
        # Entries go from the oldest on, never past one that is locked: it would be missing in what
        # is left. Nor past the kept mark, whose newest entry is what it is proved by.
        kept = self._keep_mark()
        young = self._rows(f"SELECT id FROM {LOG} WHERE at >= %s ORDER BY id LIMIT 1", (cutoff,))
        before = min([kept.high, *[int(number) for (number,) in young]])
        before = self._unlocked(kept, before)
        oldest = self._rows(
            f"SELECT id FROM {LOG} WHERE id < %s ORDER BY id LIMIT %s", (before, batch)
        )
        if not oldest:
            return 0
        last = int(oldest[-1][0])
        self._execute(
            f"INSERT INTO {META} VALUES ('purged', %s) ON DUPLICATE KEY UPDATE "
            "value = GREATEST(CAST(value AS UNSIGNED), CAST(VALUES(value) AS UNSIGNED))",
            (str(last),),
        )
        # The limit keeps the server from looking at, and so waiting for, the entry behind.
        return self._execute(
            f"DELETE FROM {LOG} WHERE id <= %s ORDER BY id LIMIT %s", (last, len(oldest))
        )

    def _unlocked(self, mark: Mark, before: int) -> int:
        """Return up to where no hole of a mark has an entry that may be committed yet.

        Nor do the servers ask any more for what is in those: behind a hole that they do ask for
        nothing could be proved to them, and big views would be loaded again and again.
        """
        spans = [span for span in mark.holes if span[0] < before]
        free = set(self._holes.free_of(spans[:PROBE_SPANS]))
        recent = self._rows(
            f"SELECT id FROM {LOG} WHERE at >= %s ORDER BY id LIMIT 1",
            (int(time.time() - HOLE_SECONDS),),
        )
        asked = int(recent[0][0]) if recent else before
        return min([before, *(span[0] for span in spans if span not in free or span[0] >= asked)])

    def _keep_mark(self) -> Mark:
        """Keep the present mark in the database, for whoever begins, and return what is there."""
        # The cycle's own mark stays: what moved on since then is for its next turn to see.
        mark = self._advanced(self._known or self._kept_mark(self._facts(Mark())))
        text = self._facts(mark).get("mark")
        if text is None:
            self._execute(
                f"INSERT IGNORE INTO {META} VALUES ('mark', %s)", (mark.brief(KEPT_LENGTH),)
            )
        elif mark.is_ahead_of(parse(text)) or not self._is_here(parse(text)):
            self._execute(
                f"UPDATE {META} SET value = %s WHERE name = 'mark' AND value = %s",
                (mark.brief(KEPT_LENGTH), text),
            )
        return parse(self._facts(mark)["mark"])

    def _is_here(self, mark: Mark) -> bool:
        return bool(self._facts(mark).get("anchor") == mark.nonce)


def _after(mark: Mark) -> str:
    """Return the condition for entries that a mark may lack."""
    spans = mark.ranges(RANGES)
    return f"{within(spans)} OR id > {mark.high}" if spans else f"id > {mark.high}"


def _changes(entries: Iterable[Sequence[Any]]) -> list[Change]:
    pks: dict[str, set[Any] | None] = {}
    for table, text, raw in entries:
        pk = text if text is not None else raw
        known = pks.setdefault(table, set())
        if pk is None:
            pks[table] = None
        elif known is not None:
            known.add(pk)
    return [
        Change(table=table, pks=None if found is None else frozenset(found))
        for table, found in pks.items()
    ]
