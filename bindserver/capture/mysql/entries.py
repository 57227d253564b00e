"""The entries of MariaDB's and MySQL's change log, and what is kept beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from bindserver.capture.mysql.holes import within
from bindserver.capture.mysql.marks import Mark, parse
from bindserver.capture.mysql.trigger_sql import LOG, META
from bindserver.database.sql import ask
from bindserver.engine.changes import Change, gathered

MAX_ENTRIES = 200_000
"""More entries than this since a position are told by table, not by key."""

RANGES = 100
"""How many spans one query names; more are merged to larger ones."""


class Entries:
    """Reads the log of one database.

    Args:
        connection: Django's wrapper of the connection to use.
    """

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection

    def facts(self, mark: Mark) -> dict[str, Any]:
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

    def is_here(self, mark: Mark) -> bool:
        """Return whether a mark's newest entry is in the log, and so is a part of its history."""
        return bool(self.facts(mark).get("anchor") == mark.nonce)

    def kept_mark(self, facts: dict[str, Any]) -> Mark:
        """Return the mark that is kept in the database, or that of having seen nothing."""
        mark = parse(facts["mark"]) if "mark" in facts else Mark()
        return mark if self.is_here(mark) else Mark()

    def advanced(self, mark: Mark) -> Mark:
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

    def changes(self, mark: Mark) -> list[Change]:
        """Return what changed since a mark."""
        wanted = _after(mark)
        count = self._rows(
            f"SELECT COUNT(*) FROM (SELECT 1 FROM {LOG} WHERE {wanted} LIMIT {MAX_ENTRIES + 1}) few"
        )
        if count[0][0] > MAX_ENTRIES:
            tables = self._rows(f"SELECT DISTINCT tbl FROM {LOG} WHERE {wanted}")
            return gathered((table, "", None) for (table,) in tables)
        found = self._rows(f"SELECT id, tbl, pk, raw FROM {LOG} WHERE {wanted}")
        return gathered(
            (table, *_told(text, raw))
            for number, table, text, raw in found
            if mark.lacks(int(number))
        )

    def _rows(self, sql: str, params: Sequence[Any] | None = None) -> list[Any]:
        return ask(self._connection, sql, params)


def _after(mark: Mark) -> str:
    """Return the condition for entries that a mark may lack."""
    spans = mark.ranges(RANGES)
    return f"{within(spans)} OR id > {mark.high}" if spans else f"id > {mark.high}"


def _told(text: str | None, raw: bytes | None) -> tuple[str, tuple[str | bytes] | None]:
    """Return "" and the key that an entry names, None if it names none; or a column, and what it
    held before."""
    if text is not None and raw is not None:
        return raw.decode(), (text,)
    pk = text if text is not None else raw
    return "", None if pk is None else (pk,)
