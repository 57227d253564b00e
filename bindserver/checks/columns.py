"""Checks of bindings whose rows are dicts of columns, and of unions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from django.core.checks import CheckMessage, Error
from django.core.exceptions import EmptyResultSet, FieldError
from django.db import DatabaseError, InterfaceError, OperationalError, connections
from django.db.models import JSONField, QuerySet
from rest_framework import serializers

from bindserver.bindings.binding import alias_of, declared_columns, model_of
from bindserver.bindings.columns import ColumnsRow, has_dicts, serializer_for
from bindserver.bindings.registry import BindingClass
from bindserver.exceptions import BindingError
from bindserver.queries.column_expressions import expressions_of
from bindserver.queries.columns import (
    Columns,
    in_order,
    told_apart,
    why_multiplied,
    why_not_aggregated,
)
from bindserver.queries.compiler import ordered, why_not_combined

INSTANCES_ONLY = (serializers.ManyRelatedField, serializers.RelatedField)
"""Fields that render model instances, and none of a row's values."""


def check_union(binding: BindingClass) -> Iterator[CheckMessage]:
    """Check that a union, intersection or difference can be read, and its rows told apart."""
    queryset = _of_class(binding)
    if queryset is None or not queryset.query.combinator:
        return
    alias = alias_of(binding)

    def read() -> str:
        if problem := why_not_combined(queryset):
            return problem
        if _asks_for_version(alias, queryset):
            return ""
        _, rows = ordered(queryset.using(alias), binding.ordering, alias)
        rows.query.get_compiler(using=alias).as_sql()
        return ""

    if problem := _problem_of(read):
        yield Error(
            f"{binding.__name__}.queryset: {problem}.",
            hint="A union takes no filter after it, and no order or limit within its parts; each "
            "part selects the same columns. Often Q() | Q() in one filter says the same.",
            obj=binding,
            id="bindserver.E063",
        )


def _asks_for_version(alias: str, queryset: QuerySet[Any]) -> bool:
    """Return whether only the server itself tells if it can do this: a check asks no database."""
    return connections[alias].vendor == "mysql" and queryset.query.combinator != "union"


def check_aggregate(binding: BindingClass) -> Iterator[CheckMessage]:
    """Check that `aggregate` makes one row."""
    aggregates: Any = binding.aggregate
    if aggregates is None or callable(aggregates) or isinstance(aggregates, property):
        return
    if not isinstance(aggregates, Mapping):
        problem = "it is a dict of names and expressions, a method or a property"
    else:
        queryset = _of_class(binding, usual=True)
        assert queryset is not None
        problem = _problem_of(lambda: _why_no_row(aggregates, binding.limit, queryset))
    if problem:
        yield Error(
            f"{binding.__name__}.aggregate: {problem}.",
            hint='For example aggregate = {"total": Sum("price"), "count": Count("pk")}.',
            obj=binding,
            id="bindserver.E062",
        )


def _why_no_row(aggregates: Mapping[str, Any], limit: int | None, queryset: QuerySet[Any]) -> str:
    """Return why `aggregate()` would refuse these, in its words, without asking the database."""
    if problem := why_not_aggregated(aggregates, limit, queryset):
        return problem.removeprefix("`aggregate` ")
    query: Any = queryset.query.chain()
    for name, item in aggregates.items():
        made = item.resolve_expression(query, allow_joins=True, reuse=None, summarize=True)
        if not made.contains_aggregate:
            return f"{name!r} is no aggregate"
        query.append_annotation_mask([name])
        query.annotations[name] = made
    return ""


def check_columns(binding: BindingClass) -> Iterator[CheckMessage]:
    """Check that rows of `values()` can be told apart, in the order that they have."""
    queryset = _of_class(binding)
    if queryset is None or not has_dicts(queryset) or binding.aggregate is not None:
        return
    alias = alias_of(binding)

    def tell() -> str:
        columns = told_apart(queryset)
        columns.row_key(model_of(binding), _serializer_of(binding, columns))
        if columns.by is None or queryset.query.combinator:
            return ""
        return why_multiplied(in_order(queryset, binding.ordering, columns), alias)

    if problem := _problem_of(tell):
        yield Error(
            f"{binding.__name__}.queryset: {problem}.",
            hint="Rows of values() are told apart by what they are grouped by, by all of their "
            "columns after distinct(), or else by the primary key.",
            obj=binding,
            id="bindserver.E060",
        )


def check_sources(binding: BindingClass) -> Iterator[CheckMessage]:
    """Check that a serializer finds what it renders among the columns."""
    names = declared_columns(binding)
    if names is None or binding.serializer_class is None:
        return
    serializer = _made(binding.serializer_class)
    json_columns = _json_columns(binding)
    for name, field in getattr(serializer, "fields", {}).items():
        if problem := _why_unrendered(field, names[0], json_columns):
            yield Error(
                f"{binding.__name__}: the field {name!r} of {type(serializer).__name__} {problem}.",
                hint=f"The columns of a row are {', '.join(names[0])}.",
                obj=binding,
                id="bindserver.E061",
            )


def _why_unrendered(field: Any, names: Any, json_columns: set[str]) -> str:
    """Return why a serializer's field makes nothing of a row of columns, or nothing."""
    if field.write_only or not (path := getattr(field, "source_attrs", None)):
        return ""
    if path[0] not in names:
        needed = field.required and field.default is serializers.empty and not field.allow_null
        return f"renders {field.source!r}, which is no column" if needed else ""
    related = isinstance(field, INSTANCES_ONLY)
    if related and not isinstance(field, serializers.StringRelatedField):
        return "renders a related instance, and the column holds its key: use IntegerField or alike"
    if path[0] not in json_columns and (path[1:] or isinstance(field, serializers.BaseSerializer)):
        return f"looks into {path[0]!r}, which is a plain value"
    return ""


def _json_columns(binding: BindingClass) -> set[str]:
    """Return the columns whose values something may be found in."""
    if binding.queryset is None or not has_dicts(binding.queryset):
        return set()
    found = expressions_of(binding.queryset.query).items()
    return {
        name
        for name, item in found
        if isinstance(getattr(item, "_output_field_or_none", None), JSONField | None)
    }


def _serializer_of(binding: BindingClass, columns: Columns) -> Any:
    if binding.serializer_class is not None:
        return _made(binding.serializer_class)
    return serializer_for(columns.names, binding.fields, said=columns.said)()


def _made(serializer_class: Any) -> Any:
    """Return a serializer; one without fields where only a subscriber's context can make it."""
    try:
        serializer = serializer_class()
        _ = getattr(serializer, "fields", {})
    except Exception:  # the project's code, which may well need its context; it is told when used
        return ColumnsRow()
    return serializer


def _of_class(binding: BindingClass, *, usual: bool = False) -> QuerySet[Any] | None:
    """Return the queryset that a class declares; None where only a method tells.

    Args:
        binding: the class.
        usual: whether to return the model's own rows where none is declared.
    """
    if binding.queryset is not None:
        return binding.queryset.all()
    return QuerySet(model_of(binding)) if usual else None


REFUSING = (FieldError, TypeError, ValueError, BindingError, DatabaseError)
"""What Django, and we, raise for a query that makes no sense, before the database is asked."""


def _problem_of(ask: Callable[[], str]) -> str:
    """Return what is wrong in the words of whoever says so; nothing of what matches nothing, or if
    the database is asked, which may not be there."""
    try:
        return ask()
    except (EmptyResultSet, OperationalError, InterfaceError):
        return ""
    except REFUSING as problem:
        return str(problem).rstrip(".")
