"""Purging PostgreSQL's change log, behind a mark that positions are held against.

What may go is told by snapshots of the past, not by the entries' own times: an entry of a
transaction that stood open for days is as young as its commit. Every entry below a remembered
snapshot's `xmin` was over when that was taken, and every position since has seen it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from bindserver.capture.log_facts import PurgePlan
from bindserver.capture.postgresql.session import abreast, may_write
from bindserver.capture.postgresql.triggers import LOG, META
from bindserver.database.sql import ask, run

LOCK = 0x62696E65
"""The advisory lock of whoever purges."""

MARKS_KEPT = 24
"""How many snapshots of the time that the log is kept for are remembered, to purge by."""

NEWEST_OLD = f"(SELECT max(xid) FROM {LOG} WHERE xid < %s::xid8)"
"""The newest entry that was over at a horizon. It stays: positions of that time bear it."""


class Purging:
    """Purges the change log of one PostgreSQL database.

    Args:
        connection: Django's wrapper of the connection to use.
    """

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection

    def purge(self, keep_seconds: float, batch: int, *, wait: bool) -> int:
        """Delete at most `batch` entries that were over `keep_seconds` ago; return how many.

        With `wait` false, give up at once when somebody else purges.
        """
        with abreast(self._connection):
            if not wait and not may_write(self._connection, (LOG, "DELETE"), (META, "INSERT")):
                return 0  # a server with a role that only reads; somebody else does it
            if wait:
                self._rows("SELECT pg_advisory_xact_lock(%s)::text", (LOCK,))
            elif not self._rows("SELECT pg_try_advisory_xact_lock(%s)", (LOCK,))[0][0]:
                return 0
            self._forget_the_future(keep_seconds)
            self._remember(keep_seconds)
            horizon = self._horizon(keep_seconds)
            return self._delete(horizon, batch) if horizon else 0

    def plan(self, keep_seconds: float) -> PurgePlan:
        """Return what `purge` would delete, however many calls it took."""
        seen: list[object] = [*self._seen(keep_seconds)]
        if keep_seconds <= 0:  # what a purge would write down first is old enough
            seen = [self._rows("SELECT pg_snapshot_xmin(pg_current_snapshot())::text")[0][0]]
        count, oldest, last = self._rows(
            "SELECT count(*), extract(epoch FROM min(at))::float8, max(xid)::text "
            f"FROM {LOG} WHERE xid < {NEWEST_OLD}",
            (str(seen[0] if seen else 0),),
        )[0]
        return PurgePlan(entries=count, oldest=oldest, last=f"transaction {last}")

    def _forget_the_future(self, keep_seconds: float) -> None:
        """Forget what was written down by a clock that was wrong: nothing would be purged, or
        written down, until that time has come."""
        self._run(
            f"DELETE FROM {META} WHERE starts_with(name, 'seen:') "
            "AND value::numeric > extract(epoch FROM clock_timestamp()) + %s",
            (max(keep_seconds, 0.0),),
        )

    def _remember(self, keep_seconds: float) -> None:
        """Write down, now and then, below which id all transactions have ended by now."""
        self._run(
            f"INSERT INTO {META} SELECT 'seen:' || pg_snapshot_xmin(pg_current_snapshot())::text, "
            "extract(epoch FROM clock_timestamp())::text "
            f"WHERE NOT EXISTS (SELECT FROM {META} WHERE starts_with(name, 'seen:') "
            "AND value::numeric > extract(epoch FROM clock_timestamp()) - %s) "
            "ON CONFLICT (name) DO NOTHING",
            (keep_seconds / MARKS_KEPT,),
        )

    def _horizon(self, keep_seconds: float) -> int | None:
        """Return the newest such id that is old enough, and forget the older ones."""
        seen = self._seen(keep_seconds)
        if len(seen) > 1:
            names = [f"seen:{number}" for number in seen[1:]]
            self._run(f"DELETE FROM {META} WHERE name = ANY(%s)", (names,))
        return seen[0] if seen else None

    def _seen(self, keep_seconds: float) -> list[int]:
        """Return such ids that are old enough, the newest first."""
        found = self._rows(
            f"SELECT substr(name, 6)::bigint FROM {META} WHERE starts_with(name, 'seen:') "
            "AND value::numeric <= extract(epoch FROM clock_timestamp()) - %s ORDER BY 1 DESC",
            (keep_seconds,),
        )
        return [int(number) for (number,) in found]

    def _delete(self, horizon: int, batch: int) -> int:
        deleted = self._run(
            f"DELETE FROM {LOG} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {LOG} "
            f"WHERE xid < {NEWEST_OLD} ORDER BY xid LIMIT %s))",
            (str(horizon), batch),
        )
        if deleted:
            self._run(
                f"INSERT INTO {META} VALUES ('purged', %s) ON CONFLICT (name) DO UPDATE "
                "SET value = excluded.value WHERE bindserver_meta.value::bigint "
                "< excluded.value::bigint",
                (str(horizon),),
            )
        return deleted

    def _rows(self, sql: str, params: Sequence[Any] | None = None) -> list[Any]:
        return ask(self._connection, sql, params)

    def _run(self, sql: str, params: Sequence[Any] | None = None) -> int:
        return run(self._connection, sql, params)
