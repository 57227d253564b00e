"""Why a row is in a query or not: each of its conditions, and where it stands."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from django.db.models import QuerySet

from bindserver.database.pacing import Pacer
from bindserver.queries.query import Query
from bindserver.queries.row_conditions import Condition, conditions_of

APART = "each of the conditions is met, but not all of them by one and the same joined row"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasons:
    """Why a row is in a query or not.

    Attributes:
        exists: whether there is such a row at all.
        matches: whether it is among the rows that the query asks for, limits aside.
        rank: which of these it is, from 1; None where it is none, or there is no limit.
        start: how many rows are left out before those that are shown.
        stop: up to which are shown; None for all.
        conditions: what is asked of the row; none where it cannot be taken apart.
        note: what there is to say besides.
    """

    exists: bool
    matches: bool
    rank: int | None
    start: int
    stop: int | None
    conditions: tuple[Condition, ...]
    note: str = ""

    @property
    def inside(self) -> bool:
        """Whether the row is in the query."""
        if self.rank is None:
            return self.matches and self.stop is None and not self.start
        return self.start < self.rank and (self.stop is None or self.rank <= self.stop)


def reasons(
    query: Query, pk: Any, pacer: Pacer, for_nobody: QuerySet[Any] | None = None
) -> Reasons:
    """Return why a row is in a query or not; reads the database, in the caller's snapshot.

    Args:
        query: the query.
        pk: the row's primary key, as Python has it.
        pacer: stops what takes too long.
        for_nobody: what the same binding asks for where nobody is logged in, if that is known.

    Raises:
        QueryTimeout: it took too long.
    """
    with query.representation.surroundings.around():
        return _reasons(query, pk, pacer, for_nobody)


def _reasons(query: Query, pk: Any, pacer: Pacer, for_nobody: QuerySet[Any] | None) -> Reasons:
    base = QuerySet[Any](query.model, using=query.alias)  # managers may hide rows
    queryset, start, stop = query.uncut()
    told = Reasons(
        exists=base.filter(pk=pk).exists(),
        matches=False,
        rank=None,
        start=start,
        stop=stop,
        conditions=(),
    )
    if not told.exists:
        return told
    pacer.pause()
    if queryset.query.combinator or query.columns is not None:
        note = "the rows are those of a union, or of columns: no row of a table is asked by itself"
        return replace(told, matches=_is_among(query, queryset, pk, pacer), note=note)
    conditions = tuple(conditions_of(query, queryset, pk, for_nobody))
    matches = queryset.order_by().filter(pk=pk).exists()
    sliced = stop is not None or start > 0
    return replace(
        told,
        matches=matches,
        rank=_rank(query, queryset, pk, pacer) if matches and sliced else None,
        conditions=conditions,
        note=APART if not matches and all(c.holds for c in conditions) else "",
    )


def _is_among(query: Query, queryset: QuerySet[Any], pk: Any, pacer: Pacer) -> bool:
    if query.columns is not None:
        return False
    return _rank(query, queryset, pk, pacer) is not None


def _rank(query: Query, queryset: QuerySet[Any], pk: Any, pacer: Pacer) -> int | None:
    """Return which of a query's rows one is, from 1."""
    for rank, known in enumerate(query.plan.pks_of(queryset), 1):
        if known == pk:
            return rank
        pacer.pause()
    return None
