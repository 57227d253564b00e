"""The conditions of a query that compare a column with a constant, and may make its slot."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from django.db.models import ForeignKey, OneToOneField
from django.db.models.expressions import Col
from django.db.models.lookups import Exact
from django.db.models.sql.where import AND, WhereNode

from bindserver.database import database_of


class SlotCondition(NamedTuple):
    """A condition that makes a part of a slot.

    Attributes:
        item: the condition.
        source: its column, in SQL.
        kind: the Python type of the column's values.
    """

    item: Any
    source: Col
    kind: type


def required(where: WhereNode) -> Iterator[Any]:
    """Yield the conditions that all rows must meet."""
    if where.negated or where.connector != AND:
        return
    for item in where.children:
        if isinstance(item, WhereNode):
            yield from required(item)
        else:
            yield item


def conditions_of(where: WhereNode, vendor: str) -> Mapping[tuple[str, str], SlotCondition]:
    """Return the conditions that may make the slot, by table and column."""
    found: dict[tuple[str, str], SlotCondition] = {}
    for item in required(where):
        if (source := _column(item)) is not None:
            kind = kind_of(source.target, vendor)
            if kind is not None and type(item.rhs) is kind and _fits(item.rhs):
                at = (source.alias, source.target.attname)
                found.setdefault(at, SlotCondition(item, source, kind))
    return found


def _column(item: Any) -> Col | None:
    """Return the column that a condition compares with a constant."""
    own = isinstance(item, Exact) and type(item).__module__.startswith("django.db.models.")
    if not own or type(item.lhs) is not Col or item.bilateral_transforms:
        return None
    return item.lhs


def kind_of(field: Any, vendor: str) -> type | None:
    """Return the type of a column's values, None where the database may compare them otherwise."""
    while type(field) in (ForeignKey, OneToOneField):
        field = field.target_field
    return database_of(vendor).equated(field)


def _fits(value: Any) -> bool:
    """Return whether every database can compare a column with a value, if it can at all."""
    return not isinstance(value, int) or abs(value) < 2**63


def with_constant(condition: Any, value: Any) -> Any:
    """Return a condition with another constant in it."""
    twin = copy.copy(condition)
    twin.rhs = value
    return twin


def replaced(where: WhereNode, conditions: Mapping[int, Any]) -> WhereNode:
    """Return a copy of what rows must meet, with others in place of some conditions, named by
    their `id`; None for nothing."""
    children: list[Any] = []
    for item in where.children:
        if isinstance(item, WhereNode):
            children.append(replaced(item, conditions))
        elif (other := conditions.get(id(item), item)) is not None:
            children.append(other)
    return WhereNode.create(children, where.connector, where.negated)
