"""Purging MariaDB's and MySQL's change log: never past what may be committed yet, nor past the mark
that whoever begins takes up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper

from bindserver.capture.log_facts import PurgePlan
from bindserver.capture.mysql.entries import Entries
from bindserver.capture.mysql.holes import LOCKED, PROBE_SPANS, Holes
from bindserver.capture.mysql.marks import Mark, parse
from bindserver.capture.mysql.session import alone, execute, purging
from bindserver.capture.mysql.trigger_sql import LOG, META
from bindserver.database.sql import ask

PATIENCE_SECONDS = 30
"""How long to wait, where that is wanted, for somebody else who purges."""

KEPT_LENGTH = 60_000
"""How long the text of the kept mark may be; its column holds 65,535 bytes."""

HOLE_SECONDS = 30
"""Servers have given up a hole before it is so old, if nothing can come in it any more."""


class Purging:
    """Purges the change log of one database.

    Args:
        connection: Django's wrapper of the connection to use.
        known: what this process has seen of the log, if it has read it.
    """

    def __init__(self, connection: BaseDatabaseWrapper, known: Mark | None) -> None:
        self._connection = connection
        self._known = known
        self._entries = Entries(connection)
        self._holes = Holes(connection)

    def purge(self, keep_seconds: float, batch: int, *, wait: bool) -> int:
        """Delete at most `batch` entries older than `keep_seconds`; return how many.

        With `wait` false, give up at once when somebody else purges, or holds an entry.
        """
        with alone(self._connection, "purge", PATIENCE_SECONDS if wait else 0) as mine:
            if not mine:
                return 0
            try:
                with purging(self._connection):
                    return self._purge(keep_seconds, batch)
            except OperationalError as problem:
                if wait or problem.args[0] not in LOCKED:
                    raise
                return 0

    def plan(self, keep_seconds: float) -> PurgePlan:
        """Return what `purge` would delete, however many calls it took."""
        text, present = self._marks_to_keep()
        kept = parse(text or "") if present is None else parse(present.brief(KEPT_LENGTH))
        count, oldest, last = self._rows(
            f"SELECT COUNT(*), MIN(at), MAX(id) FROM {LOG} WHERE id < %s",
            (self._stays_from(kept, keep_seconds),),
        )[0]
        return PurgePlan(entries=int(count), oldest=oldest, last=f"entry {last}")

    def _purge(self, keep_seconds: float, batch: int) -> int:
        before = self._stays_from(self._keep_mark(), keep_seconds)
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

    def _stays_from(self, kept: Mark, keep_seconds: float) -> int:
        """Return the number of the oldest entry that is kept.

        Entries go from the oldest on, never past one that is locked: it would be missing in what
        is left. Nor past the kept mark, whose newest entry is what it is proved by.
        """
        before = min(kept.high, self._first_younger(keep_seconds, kept.high))
        return self._unlocked(kept, before)

    def _unlocked(self, mark: Mark, before: int) -> int:
        """Return up to where no hole of a mark has an entry that may be committed yet.

        Nor do the servers ask any more for what is in those: behind a hole that they do ask for
        nothing could be proved to them, and big views would be loaded again and again.
        """
        spans = [span for span in mark.holes if span[0] < before]
        free = set(self._holes.free_of(spans[:PROBE_SPANS]))
        asked = self._first_younger(HOLE_SECONDS, before)
        return min([before, *(span[0] for span in spans if span not in free or span[0] >= asked)])

    def _first_younger(self, seconds: float, otherwise: int) -> int:
        """Return the first entry that is younger, by the clock that has dated it.

        One from the future was dated when that was wrong, and holds up nothing.
        """
        found = self._rows(
            f"SELECT id FROM {LOG} WHERE at BETWEEN FLOOR(UNIX_TIMESTAMP() - %s) "
            "AND UNIX_TIMESTAMP() + %s ORDER BY id LIMIT 1",
            (seconds, max(seconds, 0.0)),
        )
        return int(found[0][0]) if found else otherwise

    def _keep_mark(self) -> Mark:
        """Keep the present mark in the database, for whoever begins, and return what is there."""
        text, present = self._marks_to_keep()
        if present is not None:
            brief = present.brief(KEPT_LENGTH)
            if text is None:
                self._execute(f"INSERT IGNORE INTO {META} VALUES ('mark', %s)", (brief,))
            else:
                self._execute(
                    f"UPDATE {META} SET value = %s WHERE name = 'mark' AND value = %s",
                    (brief, text),
                )
        return parse(self._entries.facts(Mark())["mark"])

    def _marks_to_keep(self) -> tuple[str | None, Mark | None]:
        """Return the text of the mark that is kept, if any, and the present one, if that is better.

        The cycle's own mark stays: what moved on since then is for its next turn to see.
        """
        entries = self._entries
        mark = entries.advanced(self._known or entries.kept_mark(entries.facts(Mark())))
        text = entries.facts(mark).get("mark")
        better = text is None or mark.is_ahead_of(parse(text)) or not entries.is_here(parse(text))
        return text, mark if better else None

    def _rows(self, sql: str, params: Sequence[Any] | None = None) -> list[Any]:
        return ask(self._connection, sql, params)

    def _execute(self, sql: str, params: Sequence[Any] | None = None) -> int:
        return execute(self._connection, sql, params)
