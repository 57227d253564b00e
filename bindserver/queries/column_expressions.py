"""What the columns of a queryset with `values()` stand for, and from which rows they come."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.db.models import Field, Model
from django.db.models.expressions import Col, Ref
from django.db.models.sql import Query
from django.db.models.sql.datastructures import Join

from bindserver.bindings.row_keys import is_simple


def expressions_of(query: Any) -> dict[str, Any]:
    """Return what each name in the rows stands for."""
    found = dict(query.extra_select)
    found |= dict(zip(query.values_select, query.select, strict=False))
    for name, item in query.annotation_select.items():
        found[name] = referred(item)
    return found


def referred(item: Any) -> Any:
    """Return the expression that a reference to an annotation stands for, or what is none."""
    return getattr(item, "source", None) if isinstance(item, Ref) else item


def name_of_key(query: Any, expressions: Mapping[str, Any]) -> str:
    """Return under which name the primary key is selected, or nothing."""
    for name, item in expressions.items():
        if isinstance(item, Col) and item.alias == query.base_table and item.target.primary_key:
            return name
    return ""


def key_column(model: type[Model], name: str) -> tuple[str, Field[Any, Any]] | None:
    """Return the primary key's column where that can be the key as it is."""
    field: Any = model._meta.pk
    return (name, field) if name and says_itself(field) else None


def says_itself(field: Any) -> bool:
    """Return whether a column's values are numbers or texts, on the wire as in the database."""
    return is_simple(field) and not hasattr(field, "from_db_value")


def is_among_many(query: Any, expressions: Any) -> bool:
    """Return whether something is a column of a row of which one row of the model may have many."""
    return any(_is_many(query, col.alias) for item in expressions for col in _columns_in(item))


def _columns_in(item: Any) -> Iterator[Col]:
    """Yield the columns of the query's own tables that an expression is made of, but for those that
    an aggregate makes one of."""
    if isinstance(item, Col):
        yield item
    elif isinstance(item, Ref):
        yield from _columns_in(referred(item))
    elif hasattr(item, "get_external_cols"):
        yield from item.get_external_cols()
    elif not getattr(item, "contains_aggregate", False) and not isinstance(item, Query):
        for part in getattr(item, "get_source_expressions", tuple)():
            yield from _columns_in(part)


def _is_many(query: Any, alias: str) -> bool:
    """Return whether a table is joined by a relation to many, or behind one."""
    source = query.alias_map.get(alias)
    while isinstance(source, Join):
        field: Any = source.join_field
        if not (field.many_to_one or field.one_to_one):
            return True
        source = query.alias_map.get(source.parent_alias)
    return False
