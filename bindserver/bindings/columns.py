"""Rows that are dicts of columns, as `values()` and `aggregate` give them, and their serializer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any

from django.db.models import QuerySet
from django.db.models.query import ValuesIterable
from rest_framework import serializers
from rest_framework.settings import api_settings

from bindserver.exceptions import BindingError

NAMES_KEPT = 1000
"""How many serializers of columns are kept, to be made once."""

PLAIN = "bindserver_plain"
"""The attribute of a serializer made of plain fields, or of columns, that says of which."""

ALL_FIELDS = "__all__"


def has_dicts(queryset: object) -> bool:
    """Return whether a queryset's rows are dicts of columns: it has `values()`."""
    return isinstance(queryset, QuerySet) and queryset._iterable_class is ValuesIterable


def names_in(queryset: QuerySet[Any]) -> tuple[str, ...]:
    """Return the names in the rows of a queryset with `values()`, in their order."""
    query: Any = queryset.query
    if query.selected:
        return tuple(query.selected)
    return (*query.extra_select, *query.values_select, *query.annotation_select)


def is_said(queryset: QuerySet[Any]) -> bool:
    """Return whether somebody has named the columns: a bare `values()` takes all there are."""
    rows: Any = queryset  # whose types say nothing of `_fields`
    return bool(rows._fields) or bool(rows.query.selected)


class ColumnsRow(serializers.BaseSerializer[Any]):
    """Renders a row as the dict that it is.

    Attributes:
        columns: the names that are served, in order.
    """

    columns: tuple[str, ...] = ()

    def to_representation(self, instance: Mapping[str, Any]) -> dict[str, Any]:
        """Return the columns that are served."""
        return {name: _written(instance[name]) for name in self.columns}


def _written(value: Any) -> Any:
    """Return a value as JSON is to have it: decimals as DRF's own fields write them, in which
    nothing is lost."""
    if isinstance(value, Decimal) and api_settings.COERCE_DECIMAL_TO_STRING:
        return f"{value:f}"
    return value


@lru_cache(maxsize=NAMES_KEPT)
def columns_row(names: tuple[str, ...], *, said: bool = True) -> type[ColumnsRow]:
    """Return a serializer of columns; always the same for the same names.

    Args:
        names: the columns.
        said: whether somebody has named them, so that they may be published.
    """
    body = {"columns": names, "bindserver_unsaid": not said, PLAIN: ("columns", names)}
    return type("Columns", (ColumnsRow,), body)


def serializer_for(
    names: Sequence[str], fields: Sequence[str] | str | None, *, said: bool
) -> type[ColumnsRow]:
    """Return what renders rows of columns where no serializer is named.

    Args:
        names: the columns that there are.
        fields: what the binding says is to be served of them.
        said: whether whoever has written the queryset has named them.

    Raises:
        BindingError: `fields` names something else.
    """
    if fields is None:
        return columns_row(tuple(names), said=said)
    if fields == ALL_FIELDS:
        return columns_row(tuple(names))
    unknown = [name for name in fields if name not in names]
    if unknown:
        raise BindingError(
            f"`fields` names {', '.join(map(repr, unknown))}, and the columns of the rows are "
            f"{', '.join(map(repr, names))}."
        )
    return columns_row(tuple(fields))
