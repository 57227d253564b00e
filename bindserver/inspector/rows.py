"""Why a row is in a query or not, and what has written it last: read at once, in one snapshot."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import QuerySet

from bindserver.capture.log import has_log, log_of
from bindserver.capture.log_facts import LogEntry
from bindserver.conf import conf
from bindserver.database.pacing import Pacer
from bindserver.database.snapshot import guarded
from bindserver.exceptions import InvalidParams, QueryTimeout
from bindserver.logs import Repeats
from bindserver.queries import reaching
from bindserver.queries.query import Query
from bindserver.queries.row_conditions import Condition
from bindserver.queries.why import Reasons, reasons

_repeats = Repeats(logging.getLogger("bindserver.inspector"))


@dataclass(frozen=True, slots=True, kw_only=True)
class RowReport:
    """What there is to say of one row and one query.

    Attributes:
        row: the row's key, as it was given.
        pk: the same as Python has it.
        table: the row's.
        reasons: why the row is in the query or not.
        last: the log's newest entry that means the row; None where there is none.
        log: whether there is a change log, and it could be asked.
    """

    row: str
    pk: Any
    table: str
    reasons: Reasons
    last: LogEntry | None
    log: bool


def report(
    query: Query, row: str, for_nobody: Callable[[], QuerySet[Any]] | None = None
) -> RowReport:
    """Return what there is to say; called in a snapshot.

    Args:
        query: the query.
        row: the row's primary key, as text.
        for_nobody: returns what the same binding asks for where nobody is logged in.

    Raises:
        InvalidParams: it is no key of the query's model.
        QueryTimeout: it took longer than QUERY_SECONDS.
    """
    pks = reaching.primary_keys(query, [row])
    if not pks or None in pks:
        raise InvalidParams(f"{row[:100]!r} is no primary key of {query.model._meta.label}")
    (pk,) = pks
    pacer = Pacer(conf.QUERY_SECONDS)
    told = reasons(query, pk, pacer, _of_nobody(query.alias, for_nobody))
    log, last = _last(query, pk)
    table = query.model._meta.db_table
    return RowReport(row=row, pk=pk, table=table, reasons=told, last=last, log=log)


def _of_nobody(alias: str, for_nobody: Callable[[], QuerySet[Any]] | None) -> QuerySet[Any] | None:
    """Return what is asked for where nobody is logged in; None where the binding fails then, as one
    may that is only for those who are."""
    if for_nobody is None:
        return None
    try:
        with guarded(alias):
            return for_nobody()
    except Exception as problem:
        what = "a binding cannot be asked for nobody, to compare"
        _repeats.note(what, problem, logging.DEBUG, traceback=False)
        return None


def _last(query: Query, pk: Any) -> tuple[bool, LogEntry | None]:
    """Return whether there is a log, and its newest entry of a row: of all tables that it is in."""
    connection = connections[query.alias]
    try:
        with guarded(query.alias):
            if not has_log(connection):
                return False, None
            found = [
                entry
                for table, key in _keys(query, pk, connection)
                if (entry := log_of(connection).latest(table, key)) is not None
            ]
    except QueryTimeout:
        raise
    except DatabaseError as problem:  # a role that may not read the log
        what = "the change log cannot be asked what has written a row"
        _repeats.note(what, problem, logging.WARNING, traceback=False)
        return False, None
    return True, max(found, key=lambda entry: entry.at, default=None)


def _keys(query: Query, pk: Any, connection: BaseDatabaseWrapper) -> Iterator[tuple[str, Any]]:
    """Yield the tables that a row is in, and its key there."""
    for model in (query.model, *query.model._meta.all_parents):
        field: Any = model._meta.pk
        yield model._meta.db_table, field.get_db_prep_value(pk, connection)


# In words.


def verdict(told: RowReport) -> str:
    """Return in a sentence whether a row is in, and if not, why."""
    why, name = told.reasons, f"row {told.row}"
    if not why.exists:
        return f"{name} is out: there is no such row in {told.table}"
    if why.rank is not None:
        shown = f"rows {why.start + 1} to {why.stop}" if why.stop else f"rows after {why.start}"
        where = "in" if why.inside else "out"
        return f"{name} is {where}: it is number {why.rank} in order, and {shown} are shown"
    if why.matches:
        return f"{name} is in: it meets all conditions"
    failed = [condition for condition in why.conditions if condition.holds is False]
    if failed:
        count = "one condition" if len(failed) == 1 else f"{len(failed)} conditions"
        return f"{name} is out: it fails {count}"
    return f"{name} is out{f': {why.note}' if why.note else ''}"


def remark(condition: Condition) -> str:
    """Return what there is to say of a condition besides whether it holds; mostly nothing."""
    if condition.users:
        return f"it is for user {', '.join(sorted(map(str, condition.users)))}"
    return "it is another one, or none, for other users" if condition.of_caller else ""


def written(told: RowReport) -> str:
    """Return in a sentence what has written a row last."""
    entry = told.last
    if not told.log:
        return "nobody knows: there is no change log that could be read"
    if entry is None:
        return "longer ago than the change log goes back, or before it was installed"
    at = datetime.datetime.fromtimestamp(entry.at, datetime.UTC)
    how = "inserted or updated" if told.reasons.exists else "deleted"
    if not entry.is_of_row:
        how = f"any row of {told.table} may have been meant"
    return f"{at:%Y-%m-%d %H:%M:%S} UTC, {how}, {entry.position} of the change log"
