"""The rows just before some rows in a query's order, as the database says, and nobody in Python.

To list all keys for one row that moved costs what there is. To ask for the last row before it costs
what an index says, or one look at the table. Values are compared by the database alone, each with
the row's own value, which a subquery names: so collations, NULLs and expressions count as they do
in ORDER BY. That holds where each part of the order is a value of one row that nothing but a change
of the row, or of one that it names, makes another; any other order is listed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

from django.db import connections
from django.db.models import CompositePrimaryKey, Q, QuerySet, Subquery

from bindserver.database.pacing import Pacer
from bindserver.queries.dependencies import Recorder
from bindserver.queries.order_parts import Compared, IsFilled, IsLong, IsNull, Part, part_of
from bindserver.queries.prepared import Statements
from bindserver.queries.slots import Slot

SEARCHED = 10
"""Past so many rows that may have moved, listing all keys is cheaper than asking for each."""


class Neighbours:
    """Asks for the rows before some rows of a query.

    Args:
        of: returns the rows of a slot, in their order.
        parts: what that order is made of; the key settles it.
        statements: what is known of these reads.
        cuts: whether the database puts long texts in order by their beginnings.
    """

    def __init__(
        self,
        of: Callable[[Slot], QuerySet[Any]],
        parts: Sequence[Part],
        statements: Statements,
        *,
        cuts: bool = False,
    ) -> None:
        self._of = of
        self._parts = parts
        self._statements = statements
        self._cuts = cuts

    def before(
        self, pks: Collection[Any], recorder: Recorder, pacer: Pacer, slot: Slot = ()
    ) -> dict[Any, Any] | None:
        """Return the primary key just before each of some rows, None for the first row.

        Args:
            pks: primary keys of rows of the query.
            recorder: notes what is read.
            pacer: rests, and stops what takes too long.
            slot: the slot that they are of.

        Returns:
            None if one of them is no row of the query any more, or has texts that are too long.
        """
        nulls = self._nulls(pks, recorder, slot)
        if nulls is None or nulls.keys() != set(pks):
            return None
        found: dict[Any, Any] = {}
        for pk in pks:
            recorder.expect_own()
            make = partial(self._asked_before, nulls[pk])
            rows = self._statements.rows(("before", nulls[pk]), make, (*slot, pk))
            found[pk] = next((before for (before,) in rows), None)
            pacer.pause()
        return found

    def _asked_before(self, nulls: Sequence[bool], values: Sequence[Any]) -> QuerySet[Any, Any]:
        """Return what asks for the row before the last one of a slot's values and a key."""
        queryset, pk = self._rows(values[:-1]), values[-1]
        rows = queryset.filter(self._condition(queryset, pk, nulls)).reverse()
        return rows.values_list("pk")[:1]

    def _nulls(
        self, pks: Collection[Any], recorder: Recorder, slot: Slot
    ) -> dict[Any, tuple[bool, ...]] | None:
        """Return which values of some rows are NULL: a column may hold some of which its model
        knows nothing. None where a value is cut when rows are put in order."""
        recorder.expect_own()
        make = partial(self._asked_nulls, len(slot))
        count, nulls = len(self._parts), dict[Any, tuple[bool, ...]]()
        for pk, *told in self._statements.rows("nulls", make, (*slot, *pks)):
            if any(told[count:]):
                return None
            nulls[pk] = tuple([bool(flag) for flag in told[:count]])
        return nulls

    def _asked_nulls(self, count: int, values: Sequence[Any]) -> QuerySet[Any, Any]:
        flags: list[Any] = [IsNull(part.value) for part in self._parts]
        if self._cuts:
            flags += [IsLong(part.value) for part in self._parts]
        asked = self._rows(values[:count]).order_by().filter(pk__in=list(values[count:]))
        return asked.values_list("pk", *flags)

    def _rows(self, slot: Sequence[Any]) -> QuerySet[Any]:
        return self._of(tuple(slot)).select_related(None).prefetch_related(None)

    def _condition(self, queryset: QuerySet[Any], pk: Any, nulls: Sequence[bool]) -> Q:
        """Return the condition of rows that come before one: the first part says so, or is equal
        and the next one says so."""
        condition: Q | None = None
        for part, null in reversed(list(zip(self._parts, nulls, strict=True))):
            own = _own(queryset, part, pk)
            if null:
                same = Q(IsNull(part.value))
                ahead = None if part.nulls_first else Q(IsFilled(part.value))
            else:
                same = Q(Compared(part.value, own, arg_joiner=" = "))
                ahead = part.ahead(own)
            tied = None if condition is None else same & condition
            condition = _either(ahead, tied)
        if condition is None:
            return Q(pk__in=[])
        bound = _bound(queryset, self._parts[0], pk, null=nulls[0])
        return condition if bound is None else bound & condition


def _bound(queryset: QuerySet[Any], part: Part, pk: Any, *, null: bool) -> Q | None:
    """Return what an index finds the rows by that come before one, or beside it."""
    if null:
        return Q(IsNull(part.value)) if part.nulls_first else None
    return part.ahead(_own(queryset, part, pk), or_equal=True)


def _own(queryset: QuerySet[Any], part: Part, pk: Any) -> Subquery:
    """Return a row's own value, as the database knows it."""
    row = queryset.order_by().filter(pk=pk)
    return Subquery(row.annotate(bindserver_own=part.value).values("bindserver_own")[:1])


def _either(one: Q | None, other: Q | None) -> Q | None:
    if one is None or other is None:
        return other if one is None else one
    return one | other


def neighbours_of(
    queryset: QuerySet[Any],
    alias: str,
    *,
    of: Callable[[Slot], QuerySet[Any]] | None = None,
    statements: Statements | None = None,
) -> Neighbours | None:
    """Return who asks for the neighbours of a query's rows; None where all keys are to be listed.

    Args:
        queryset: the query, in its order, the key in it.
        alias: the database.
        of: returns the same of another slot; None where there is only this one.
        statements: what is known of such reads.
    """
    query = queryset.query
    composite = isinstance(query.model._meta.pk, CompositePrimaryKey) if query.model else True
    if composite or query.is_sliced or query.combinator or query.extra or query.extra_order_by:
        return None
    parts: list[Part] = []
    for item in query.order_by:
        part = part_of(queryset, item, alias)
        if part is None:
            return None
        parts.append(part)
    cuts = connections[alias].vendor == "mysql"
    if not parts:
        return None
    return Neighbours(of or (lambda _: queryset), parts, statements or Statements(alias), cuts=cuts)
