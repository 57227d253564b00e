"""What an order is made of, where each part is a value of one row that the database compares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import FieldDoesNotExist, FieldError
from django.db import connections
from django.db.models import BooleanField, ExpressionWrapper, F, Func, Model, Q, QuerySet, Value
from django.db.models import functions as of_django
from django.db.models.expressions import Col, CombinedExpression, OrderBy
from django.db.models.sql.datastructures import Join

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


class Compared(Func):
    """Two values, compared by the database."""

    template = "(%(expressions)s)"
    output_field = BooleanField()


class IsNull(Func):
    """Whether a value is NULL."""

    template = "(%(expressions)s IS NULL)"
    output_field = BooleanField()


class IsFilled(Func):
    """Whether a value is not NULL."""

    template = "(%(expressions)s IS NOT NULL)"
    output_field = BooleanField()


class IsLong(Func):
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
        comes = Q(Compared(self.value, bound, arg_joiner=self._sign(or_equal)))
        return comes | Q(IsNull(self.value)) if self.nulls_first else comes

    def _sign(self, or_equal: bool) -> str:
        return (" >" if self.falls else " <") + ("= " if or_equal else " ")


def part_of(queryset: QuerySet[Any], item: Any, alias: str) -> Part | None:
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
