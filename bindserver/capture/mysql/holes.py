"""Holes in the numbers of MariaDB's and MySQL's log: which of them may still be filled.

An entry that is written and not committed is locked by its transaction. So a read that would lock
it and does not wait tells whether there is one: it fails where somebody may commit it yet, it finds
it where somebody just has, and it finds nothing where there is nothing. It must have found nothing
several times, seconds apart, for the moment between a number's giving out and the entry's writing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from django.db import OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper

from bindserver.capture.mysql.marks import Mark, Span
from bindserver.capture.mysql.trigger_sql import LOG
from bindserver.database.sql import ask, run

PROBE_SECONDS = 4.0
PROBES = 3
PROBE_SPANS = 500

LOCKED = {1205, 3572}
"""What a row's being locked is called: by MariaDB, by MySQL."""


class Holes:
    """Looks after the holes of one mark, on one connection, outside of transactions.

    Args:
        connection: Django's wrapper of the connection to use.
    """

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection
        self._free: dict[Span, int] = {}
        self._probe_at = 0.0

    def retire(self, mark: Mark) -> Mark:
        """Return a mark without the holes in which nothing will come any more, every few seconds;
        else as it is."""
        if not mark.holes or time.monotonic() < self._probe_at:
            return mark
        self._probe_at = time.monotonic() + PROBE_SECONDS
        free = set(self.free_of(mark.holes[:PROBE_SPANS]))
        self._free = {span: self._free.get(span, 0) + 1 for span in free}
        dead = {span for span, times in self._free.items() if times >= PROBES}
        return mark.without(dead) if dead else mark

    def free_of(self, spans: Sequence[Span]) -> Iterator[Span]:
        """Yield those spans in which no entry is, be it locked by who may commit it yet."""
        if not spans:
            return
        if not self._filled(spans):
            yield from spans
        elif len(spans) > 1:
            middle = len(spans) // 2
            yield from self.free_of(spans[:middle])
            yield from self.free_of(spans[middle:])

    def _filled(self, spans: Sequence[Span]) -> bool:
        # READ COMMITTED locks no gap, which would keep writers out.
        run(self._connection, "SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE")
        sql = f"SELECT id FROM {LOG} WHERE {within(spans)} LIMIT 1 FOR UPDATE NOWAIT"
        try:
            return bool(ask(self._connection, sql))
        except OperationalError as problem:
            if problem.args[0] not in LOCKED:
                raise
            return True


def within(spans: Sequence[Span]) -> str:
    """Return the condition for entries in these spans."""
    return " OR ".join(
        f"id = {start}" if start == end else f"id BETWEEN {start} AND {end}" for start, end in spans
    )
