"""Rows that are no model instances: by which of their columns they are told apart.

A queryset with `values()` gives a dict for each row. Where it has neither groups nor `distinct()`,
and no relation to many brings a row several times, that is one for each row of the model, which the
primary key tells apart. Groups are told apart by what they are grouped by, and what is left by all
that can differ.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db.models import F, Field, Model, OrderBy, QuerySet
from django.db.models.expressions import Col
from rest_framework.utils.encoders import JSONEncoder

from bindserver.bindings.binding import Binding
from bindserver.bindings.columns import ColumnsRow, has_dicts, is_said, names_in
from bindserver.bindings.row_keys import RowKey, field_named, names_of_key
from bindserver.engine.protocol import SAFE_INTEGER
from bindserver.exceptions import BindingError
from bindserver.queries.column_expressions import expressions_of, key_column, name_of_key
from bindserver.queries.telling_apart import by_distinct, by_groups, by_repetition, single_column

KEY_NAMES = ("key", "group_key")
"""Under which of these names a key is added that no column says."""


UNION = "it is a union"


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """What rows of columns have, and by what they are told apart.

    Attributes:
        names: the columns, in order.
        said: whether somebody has named them.
        by: the columns that tell rows apart; None where the primary key alone does.
        beside_pk: whether the columns tell rows of one primary key apart.
        pk: under which name the primary key is selected; empty where it is not.
        single: the column that holds the key by itself, and its field, where one does.
        whole: why rows cannot be read by their keys; None where they can.
        aggregates: the expressions of the one row; None where there is a row for each.
    """

    names: tuple[str, ...]
    said: bool = True
    by: tuple[str, ...] | None = None
    beside_pk: bool = False
    pk: str = ""
    single: tuple[str, Field[Any, Any]] | None = None
    whole: str | None = None
    aggregates: Mapping[str, Any] | None = None

    @property
    def needs_pk(self) -> bool:
        """Whether a row's primary key must be read, selected or not."""
        return self.by is None or self.beside_pk

    def row_key(self, model: type[Model], serializer: Any) -> RowKey:
        """Return the field that holds the key in rows.

        Raises:
            BindingError: no name is left to add it under.
        """
        has = _readable(serializer)
        if self.single is not None:
            name, field = self.single
            if isinstance(serializer, ColumnsRow):
                holder = name if name in has else None
            else:
                holder = field_named(serializer, name, field)
            if holder is not None:
                return RowKey(holder, own=True)
        own = names_of_key(model) if self.by is None else [self.single[0]] if self.single else []
        for name in (*own, *KEY_NAMES):
            if name not in has:
                return RowKey(name, own=False)
        raise BindingError(
            f"Rows are told apart by a key, which is added under one of the names "
            f"{', '.join([*own, *KEY_NAMES])}, and all of these are columns. Give one another name."
        )

    def key_of(self, row: Mapping[str, Any], pk: Any) -> Any:
        """Return what tells a row apart: a column's value, or canonical JSON of several.

        Args:
            row: the row.
            pk: its primary key, where that is needed.
        """
        if self.by is None:
            return pk
        if self.single is not None:
            return row[self.single[0]]
        first = [pk] if self.beside_pk else []
        return canonical_key([*first, *[row[name] for name in self.by]])


def canonical_key(values: Sequence[Any]) -> str:
    """Return the text by which a row is known that these values tell apart: a JSON list without
    spaces, of the values as JSON says them."""
    told = [_told(value) for value in values]
    return json.dumps(
        told, cls=JSONEncoder, ensure_ascii=False, separators=(",", ":"), sort_keys=True
    )


def _told(value: Any) -> Any:
    """Return a value as something that JSON tells from any other."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > SAFE_INTEGER:
        return str(value)
    return value


def _readable(serializer: Any) -> set[str]:
    """Return the names that a serializer gives to what rows have."""
    if isinstance(serializer, ColumnsRow):
        return set(serializer.columns)
    fields: Mapping[str, Any] = getattr(serializer, "fields", {})
    return {name for name, field in fields.items() if not field.write_only}


def columns_of(binding: Binding[Any], queryset: QuerySet[Any]) -> Columns | None:
    """Return what rows of a binding have as columns; None where they are model instances.

    Args:
        binding: the binding.
        queryset: its rows, with their conditions.

    Raises:
        BindingError: its rows cannot be told apart.
    """
    if binding.aggregate is not None:
        return _one_row(binding, queryset)
    return told_apart(queryset) if has_dicts(queryset) else None


def _one_row(binding: Binding[Any], queryset: QuerySet[Any]) -> Columns:
    name, aggregates = type(binding).__name__, binding.conditions("aggregate")
    if problem := why_not_aggregated(aggregates, binding.limit, queryset):
        raise BindingError(f"{name}: {problem}")
    return Columns(
        names=tuple(aggregates), by=(), whole="it is one row of aggregates", aggregates=aggregates
    )


def why_not_aggregated(
    aggregates: Mapping[str, Any], limit: int | None, queryset: QuerySet[Any]
) -> str:
    """Return why there is no one row of these aggregates, and what to write; or nothing."""
    if not aggregates:
        return '`aggregate` names no columns; write such as {"total": Sum("price")}'
    odd = [
        name
        for name, item in aggregates.items()
        if not (isinstance(name, str) and hasattr(item, "resolve_expression"))
    ]
    if odd:
        return f'`aggregate` has no expression for {odd[0]!r}; write such as Sum("price")'
    if limit:
        return "`aggregate` has one row, so that a `limit` says nothing; take it away"
    if queryset.query.combinator:
        return "`aggregate` cannot be had of a union; filter by what it is made of, with Q() | Q()"
    if queryset.query.is_sliced:
        return "`aggregate` cannot be had of a slice; filter by `pk__in` with the slice"
    if queryset.query.distinct_fields:
        return "`aggregate` cannot be had of rows that are distinct on some columns"
    return ""


def told_apart(queryset: QuerySet[Any]) -> Columns:
    """Return by what the rows of a queryset with `values()` are told apart.

    Raises:
        BindingError: they cannot be.
    """
    query: Any = queryset.query
    names, said = names_in(queryset), is_said(queryset)
    expressions = expressions_of(query)
    pk = name_of_key(query, expressions)
    if query.combinator:
        return _combined(queryset, names, said)
    if isinstance(query.group_by, tuple):
        by, whole = by_groups(query, expressions, pk), "its rows are groups"
    elif query.distinct and not query.distinct_fields:
        by, whole = by_distinct(query, expressions, pk), "its rows are distinct values"
    else:
        by, whole = by_repetition(query, expressions), "a relation to many brings rows repeatedly"
        if by is not None:
            return Columns(names=names, said=said, by=by, beside_pk=True, pk=pk, whole=whole)
    if by is None:
        return Columns(names=names, said=said, pk=pk, single=key_column(queryset.model, pk))
    single = single_column(query, expressions, by)
    return Columns(names=names, said=said, by=by, pk=pk, single=single, whole=whole)


def _combined(queryset: QuerySet[Any], names: tuple[str, ...], said: bool) -> Columns:
    """Return by what the rows of a union are told apart: of one model's own rows their key is
    enough, and of any others all of their columns."""
    query: Any = queryset.query
    parts = [_part(one, query) for one in query.combined_queries]
    pks = {name_of_key(query, part) if part else "" for part in parts}
    alike = len({(one.model, tuple(_targets(part))) for one, part in _pairs(query, parts)}) == 1
    if alike and all(parts) and len(pks) == 1 and "" not in pks:
        pk = pks.pop()
        single = key_column(queryset.model, pk)
        return Columns(
            names=names, said=said, by=(pk,), pk=pk, single=single, whole="it is a union"
        )
    return Columns(names=names, said=said, by=names, whole="it is a union")


def _pairs(query: Any, parts: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    return zip(query.combined_queries, parts, strict=True)


def _part(part: Any, query: Any) -> dict[str, Any]:
    """Return what a part of a union selects, if that is columns of its own table alone."""
    found = expressions_of(part if part.values_select or part.annotation_select else query)
    own = all(isinstance(item, Col) and item.alias == part.base_table for item in found.values())
    return {} if part.combinator or part.group_by or not own else found


def _targets(part: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    return ((name, item.target.attname) for name, item in part.items())


def in_order(
    queryset: QuerySet[Any], ordering: Sequence[Any] | str | None, columns: Columns
) -> QuerySet[Any]:
    """Return rows that the primary key does not tell apart in an order that leaves nothing open."""
    query: Any = queryset.query
    if query.is_sliced or (ordering is None and query.extra_order_by):
        return queryset
    given = query.order_by if ordering is None else ordering
    if not given and columns.beside_pk:
        given = queryset.model._meta.ordering or ()
    items: list[Any] = [given] if isinstance(given, str) else list(given)
    said = {name for item in items if (name := _column_in(item))}
    last = [*(["pk"] if columns.beside_pk else []), *(columns.by or ())]
    return queryset.order_by(*items, *[name for name in last if name not in said])


def _column_in(item: Any) -> str | None:
    """Return the name that an item of an order begins with."""
    if isinstance(item, OrderBy):
        item = item.expression
    if isinstance(item, F):
        return str(getattr(item, "name", ""))
    return item.lstrip("-") if isinstance(item, str) else None


def why_multiplied(queryset: QuerySet[Any], alias: str) -> str:
    """Return why an order makes other rows of groups or of distinct rows, and what to write; or
    nothing where it does not. Django groups by what rows are ordered by."""
    query: Any = queryset.query
    grouped = isinstance(query.group_by, tuple)
    if query.combinator or not (grouped or query.distinct) or query.distinct_fields:
        return ""
    bare = query.chain()
    bare.clear_ordering(force=True)
    try:
        extra, groups = _made_by(query.chain(), alias)
        _, usual = _made_by(bare, alias)
    except EmptyResultSet:
        return ""
    if extra or not groups <= usual:
        return (
            "the order names what is no column of the rows, and Django then makes other rows: "
            "a row for each value of that. Order by columns that values() selects"
        )
    return ""


def _made_by(query: Any, alias: str) -> tuple[bool, set[Any]]:
    """Return whether an order adds columns, and what the rows are grouped by."""
    compiler = query.get_compiler(using=alias)
    extra, _, groups = compiler.pre_sql_setup()
    return bool(extra), {(sql, repr(given)) for sql, given in groups}
