"""Queries that differ only in an equality argument: what they have in common, and what not.

Conditions like `category = 3`, which all rows of a query must meet, are its *slot*; the query
without them is its *shape*. A row of the shape belongs to the one slot that its own columns name,
so that one query reads for all slots, and each row is dealt to its own. That holds only where the
database takes two values for equal exactly when Python does: for whole numbers, and for dates and
UUIDs where the database has types for them. Texts are compared by collations; and truth values on
SQLite may be any number. There are only two of those: their conditions stay in the shape.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import connections
from django.db.models import Field, ForeignKey, OneToOneField, Q, QuerySet
from django.db.models.expressions import Col
from django.db.models.lookups import Exact
from django.db.models.sql.where import AND, WhereNode

from bindserver.database import database_of
from bindserver.exceptions import BindserverError
from bindserver.queries.evaluation import says_all
from bindserver.queries.expressions import keeps

Slot = tuple[Any, ...]
"""The values of a shape's columns."""


class NotBySlot(BindserverError):
    """A row cannot be dealt: only the database knows what its values are equal to."""


@dataclass(frozen=True, slots=True)
class Slots:
    """Some slots, and how a row says which one it belongs to.

    Attributes:
        columns: the attribute names of the columns.
        kinds: the Python types of their values.
        wanted: the slots.
    """

    columns: tuple[str, ...] = ()
    kinds: tuple[type, ...] = ()
    wanted: Collection[Slot] = frozenset({()})

    def find(self, values: Slot) -> Slot | None:
        """Return the slot of a row with these values, None if it is not wanted.

        Raises:
            NotDealt: a value is of another type than its column's.
        """
        for value, kind in zip(values, self.kinds, strict=True):
            if type(value) is not kind and value is not None:
                raise NotBySlot(f"a column has {type(value).__name__}, and not {kind.__name__}")
        return values if values in self.wanted else None


ALL = Slots()
"""For rows that nobody deals: there is one slot, and it is everyone's."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What queries have in common that differ only in their slots.

    Attributes:
        queryset: the rows of all slots.
        columns: the attribute names of the columns.
        kinds: the Python types of their values.
    """

    queryset: QuerySet[Any]
    columns: tuple[str, ...]
    kinds: tuple[type, ...]

    def slots(self, wanted: Collection[Slot]) -> Slots:
        """Return these slots, as a row is asked for its own."""
        return Slots(self.columns, self.kinds, frozenset(wanted))

    def among(self, wanted: Collection[Slot]) -> QuerySet[Any]:
        """Return the rows of these slots, and no others."""
        values = [set(column) for column in zip(*wanted, strict=True)]
        widest = max(range(len(values)), key=lambda index: len(values[index]))
        listed: dict[Slot, list[Any]] = {}
        for slot in wanted:
            listed.setdefault(slot[:widest] + slot[widest + 1 :], []).append(slot[widest])
        name = self.columns[widest]
        others = self.columns[:widest] + self.columns[widest + 1 :]
        condition = Q()
        for rest, some in listed.items():
            condition |= Q(**dict(zip(others, rest, strict=True)), **{f"{name}__in": some})
        return self.queryset.filter(condition)


def shape_of(queryset: QuerySet[Any], alias: str) -> tuple[Shape, Slot] | None:
    """Return the shape and the slot of a query that can be read by keys; None if it has none.

    Args:
        queryset: its rows, in order.
        alias: the database.
    """
    if not _is_plain(queryset):
        return None
    query = queryset.query
    found = _conditions(query.where, query.base_table, connections[alias].vendor)
    conditions = {name: item for name, item in found.items() if keeps(queryset.model, name)}
    if not conditions:
        return None
    columns = tuple(sorted(conditions))
    common = queryset.all()
    common.query.where = _without(query.where, {id(item) for item, _ in conditions.values()})
    kinds = tuple([conditions[name][1] for name in columns])
    slot = tuple([conditions[name][0].rhs for name in columns])
    return Shape(common, columns, kinds), slot


def _is_plain(queryset: QuerySet[Any]) -> bool:
    """Return whether nothing but a queryset's conditions can tell its rows from its shape's."""
    query: Any = queryset.query
    return (
        says_all(queryset)
        and query.deferred_loading == (frozenset(), True)
        and not isinstance(query.group_by, tuple)
        and not query.extra
    )


def _conditions(where: WhereNode, base: str, vendor: str) -> Mapping[str, tuple[Any, type]]:
    """Return the conditions that make the slot, and their columns' kinds, by column."""
    found: dict[str, tuple[Any, type]] = {}
    item: Any
    if where.negated or where.connector != AND:
        return found
    for item in where.children:
        if isinstance(item, WhereNode):
            for name, inner in _conditions(item, base, vendor).items():
                found.setdefault(name, inner)
        elif (column := _column(item, base)) is not None:
            kind = _kind(column, vendor)
            if type(item.rhs) is kind and _fits(item.rhs):
                found.setdefault(column.attname, (item, kind))
    return found


def _column(item: Any, base: str) -> Field[Any, Any] | None:
    """Return the column of the base table that a condition compares with a constant."""
    own = isinstance(item, Exact) and type(item).__module__.startswith("django.db.models.")
    if not own or type(item.lhs) is not Col or item.lhs.alias != base or item.bilateral_transforms:
        return None
    column: Field[Any, Any] = item.lhs.target
    return column


def _kind(field: Any, vendor: str) -> type | None:
    """Return the type of a column's values, None where the database may compare them otherwise."""
    while type(field) in (ForeignKey, OneToOneField):
        field = field.target_field
    return database_of(vendor).equated(field)


def _fits(value: Any) -> bool:
    """Return whether every database can compare a column with a value, if it can at all."""
    return not isinstance(value, int) or abs(value) < 2**63


def _without(where: WhereNode, conditions: Collection[int]) -> WhereNode:
    """Return a copy of what rows must meet, without some conditions, named by their `id`."""
    children = [
        _without(item, conditions) if isinstance(item, WhereNode) else item
        for item in where.children
        if id(item) not in conditions
    ]
    return WhereNode.create(children, where.connector, where.negated)
