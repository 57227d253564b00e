"""The rows just before some rows in a query's order, as the database says, and nobody in Python.

To list all keys for one row that moved costs what there is. To ask for the last row before it costs
what an index says, or one look at the table. Values are compared by the database alone, each with
the row's own value, which a subquery names: so collations, NULLs and expressions count as they do
in ORDER BY. That holds where each part of the order is a value of one row that nothing but a change
of the row, or of one that it names, makes another; any other order is listed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.core.exceptions import FieldDoesNotExist, FieldError
from django.db import connections
from django.db.models import (
    BooleanField,
    CompositePrimaryKey,
    ExpressionWrapper,
    F,
    Func,
    Model,
    Q,
    QuerySet,
    Subquery,
    Value,
)
from django.db.models import functions as of_django
from django.db.models.expressions import Col, CombinedExpression, OrderBy
from django.db.models.sql.datastructures import Join

from bindserver.database.pacing import Pacer
from bindserver.queries.dependencies import Recorder
from bindserver.queries.prepared import Statements
from bindserver.queries.slots import Slot

SEARCHED = 10
"""Past so many rows that may have moved, listing all keys is cheaper than asking for each."""

PURE = frozenset(
    {
        *(of_django.Abs, of_django.Coalesce, of_django.Collate, of_django.Concat),
        *(of_django.ConcatPair, of_django.Length, of_django.Lower, of_django.Upper),
        *(of_django.Left, of_django.Right, of_django.Substr, of_django.Trim, of_django.LTrim),
        *(of_django.RTrim, of_django.Replace, of_django.NullIf, of_django.Greatest),
        *(of_django.Least, of_django.Cast, of_django.Round, of_django.Floor, of_django.Ceil),
        *(CombinedExpression, ExpressionWrapper, Value),
    }
)
"""Expressions whose value is that of what is in them, whenever it is asked for."""


class _Compared(Func):
    """Two values, compared by the database."""

    template = "(%(expressions)s)"
    output_field = BooleanField()


class _IsNull(Func):
    """Whether a value is NULL."""

    template = "(%(expressions)s IS NULL)"
    output_field = BooleanField()


class _IsFilled(Func):
    """Whether a value is not NULL."""

    template = "(%(expressions)s IS NOT NULL)"
    output_field = BooleanField()


class _IsLong(Func):
    """Whether MariaDB or MySQL may put a text in order by its beginning alone: see
    `max_sort_length`. A character weighs eight bytes at most, but for a few ligatures."""

    template = "(COALESCE(CHAR_LENGTH(%(expressions)s), 0) > 120)"
    output_field = BooleanField()


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an order.

    Attributes:
        value: what a row is ordered by, as a filter takes it.
        falls: whether the greatest comes first.
        nulls_first: whether NULLs come first.
    """

    value: Any
    falls: bool
    nulls_first: bool

    def ahead(self, bound: Any, *, or_equal: bool = False) -> Q:
        """Return the condition of rows that come before a value that is not NULL."""
        comes = Q(_Compared(self.value, bound, arg_joiner=self._sign(or_equal)))
        return comes | Q(_IsNull(self.value)) if self.nulls_first else comes

    def _sign(self, or_equal: bool) -> str:
        return (" >" if self.falls else " <") + ("= " if or_equal else " ")


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
        flags: list[Any] = [_IsNull(part.value) for part in self._parts]
        if self._cuts:
            flags += [_IsLong(part.value) for part in self._parts]
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
                same = Q(_IsNull(part.value))
                ahead = None if part.nulls_first else Q(_IsFilled(part.value))
            else:
                same = Q(_Compared(part.value, own, arg_joiner=" = "))
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
        return Q(_IsNull(part.value)) if part.nulls_first else None
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
        part = _part(queryset, item, alias)
        if part is None:
            return None
        parts.append(part)
    cuts = connections[alias].vendor == "mysql"
    if not parts:
        return None
    return Neighbours(of or (lambda _: queryset), parts, statements or Statements(alias), cuts=cuts)


def _part(queryset: QuerySet[Any], item: Any, alias: str) -> Part | None:
    """Return a part of an order, None where it may be anything else than a value of the row."""
    query = queryset.query
    ordered = _order_by(item)
    value = ordered.expression
    named = isinstance(item, str)
    if not all(_is_pure(query, leaf, as_order=named) for leaf in _leaves(value)):
        return None
    falls = bool(ordered.descending) is bool(query.standard_ordering)
    first: bool | None = None
    if ordered.nulls_first or ordered.nulls_last:
        first = bool(ordered.nulls_first) is bool(query.standard_ordering)
    if first is None:
        rises_from_null: bool = connections[alias].features.order_by_nulls_first
        first = rises_from_null is not falls
    return Part(value, falls, first)


def _order_by(item: Any) -> Any:
    if isinstance(item, str):
        return OrderBy(F(item.lstrip("-+")), descending=item.startswith("-"))
    return item if isinstance(item, OrderBy) else OrderBy(item)


def _leaves(value: Any) -> Iterator[Any]:
    """Yield what an expression is made of, and what of it nobody knows, as it is."""
    if type(value) in PURE:
        for source in value.get_source_expressions():
            if source is not None:
                yield from _leaves(source)
    else:
        yield value


def _is_pure(query: Any, leaf: Any, *, as_order: bool) -> bool:
    """Return whether a value is a column of the row, or of one that it names by a foreign key.

    Args:
        query: the query.
        leaf: the value.
        as_order: whether it is a name by itself, which may stand for another model's order.
    """
    kind = type(leaf)
    if kind is Col:
        return _is_forward(query, leaf.alias)
    if kind is not F:
        return False
    annotation = query.annotations.get(leaf.name)
    if annotation is None:
        return _is_forward_path(query, leaf.name, as_order=as_order)
    return all(_is_pure(query, inner, as_order=False) for inner in _leaves(annotation))


def _is_forward_path(query: Any, name: str, *, as_order: bool) -> bool:
    pieces = name.split("__")
    if pieces[0] in query._filtered_relations or pieces[0] in query.annotations:
        return False
    model: type[Model] = query.model
    for at, piece in enumerate(pieces):
        if piece == "pk":
            return at == len(pieces) - 1
        try:
            field: Any = model._meta.get_field(piece)
        except (FieldDoesNotExist, FieldError):
            return False
        if at == len(pieces) - 1:
            return _is_value(field, piece, as_order=as_order)
        if not _leads_forward(field):
            return False
        model = field.related_model
    return False


def _is_value(field: Any, name: str, *, as_order: bool) -> bool:
    """Return whether a field's name stands for its column."""
    if not getattr(field, "concrete", False) or getattr(field, "column", None) is None:
        return False
    if not field.is_relation:
        return True
    plain = name == field.attname or not as_order or not field.related_model._meta.ordering
    return plain and _leads_forward(field)


def _leads_forward(field: Any) -> bool:
    return bool(getattr(field, "concrete", False) and (field.many_to_one or field.one_to_one))


def _is_forward(query: Any, alias: str) -> bool:
    """Return whether a table of a query is joined by foreign keys alone, so that each row has one
    row of it."""
    source = query.alias_map.get(alias)
    while isinstance(source, Join):
        if not _leads_forward(source.join_field) or source.filtered_relation is not None:
            return False
        source = query.alias_map.get(source.parent_alias)
    return source is not None


def only_forward(queryset: QuerySet[Any]) -> bool:
    """Return whether no join of a query can bring a row more than once."""
    query: Any = queryset.query
    joined = [alias for alias, count in query.alias_refcount.items() if count]
    return all(_is_forward(query, alias) for alias in joined)
