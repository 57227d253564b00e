"""Queries that differ only in an equality argument: what they have in common, and what not.

Conditions like `category = 3`, which all rows of a query must meet, are its *slot*; the query
without them is its *shape*. A row of the shape belongs to the slot that its own columns name, or
those of what it is joined to (`members = user`): then it comes once for each of them, with the
joined column beside it. So one query reads for all slots, and each row is dealt to its own. That
holds only where the
database takes two values for equal exactly when Python does: for whole numbers, and for dates and
UUIDs where the database has types for them. Texts are compared by collations; and truth values on
SQLite may be any number. There are only two of those: their conditions stay in the shape.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db import connections
from django.db.models import ForeignKey, Model, OneToOneField, QuerySet
from django.db.models.expressions import Col
from django.db.models.lookups import Exact, In
from django.db.models.sql.datastructures import Join
from django.db.models.sql.where import AND, OR, WhereNode

from bindserver.database import database_of
from bindserver.exceptions import BindserverError
from bindserver.queries.evaluation import says_all
from bindserver.queries.expressions import keeps

Slot = tuple[Any, ...]
"""The values of a shape's columns."""

BESIDE = "bindserver_slot_"
"""What the names begin with by which joined columns are read beside a row."""


class NotBySlot(BindserverError):
    """A row cannot be dealt: only the database knows what its values are equal to."""


@dataclass(frozen=True, slots=True)
class Slots:
    """Some slots, and how a row says which one it belongs to.

    Attributes:
        columns: the names by which a row has the columns; of joined ones they begin with `BESIDE`.
        kinds: the Python types of their values.
        wanted: the slots.
    """

    columns: tuple[str, ...] = ()
    kinds: tuple[type, ...] = ()
    wanted: Collection[Slot] = frozenset({()})

    def take(self, instance: Model) -> Slot | None:
        """Return the slot of an instance, None if it is not wanted; what is not the instance's own
        is taken away from it.

        Raises:
            NotBySlot: as `find`.
        """
        values = tuple([getattr(instance, name) for name in self.columns])
        for name in self.columns:
            if name.startswith(BESIDE):
                del vars(instance)[name]
        return self.find(values)

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
        columns: the names by which a row has the columns.
        kinds: the Python types of their values.
        sources: what the columns are in SQL.
    """

    queryset: QuerySet[Any]
    columns: tuple[str, ...]
    kinds: tuple[type, ...]
    sources: tuple[Col, ...]

    @property
    def is_joined(self) -> bool:
        """Whether a row may belong to several slots, by what it is joined to."""
        return any(name.startswith(BESIDE) for name in self.columns)

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
        source = self.sources[widest]
        others = self.sources[:widest] + self.sources[widest + 1 :]
        every = WhereNode(connector=OR)
        for rest, some in listed.items():
            equal = [Exact(other, value) for other, value in zip(others, rest, strict=True)]
            conditions: list[Any] = [*equal, In(source, some)]
            every.children.append(WhereNode(conditions, AND))
        queryset = self.queryset.all()
        # Not by `filter`: that would join anew what has several rows.
        queryset.query.where = WhereNode([queryset.query.where, every], AND)
        return queryset


class Condition(NamedTuple):
    """A condition that makes a part of a slot.

    Attributes:
        item: the condition.
        source: its column, in SQL.
        kind: the Python type of the column's values.
    """

    item: Any
    source: Col
    kind: type


def shape_of(
    queryset: QuerySet[Any], alias: str, *, joined: bool = True
) -> tuple[Shape, Slot] | None:
    """Return the shape and the slot of a query that can be read by keys; None if it has none.

    Args:
        queryset: its rows, in order.
        alias: the database.
        joined: whether conditions on joined tables may be a part of the slot.
    """
    if not _is_plain(queryset):
        return None
    query = queryset.query
    found = _conditions(query.where, connections[alias].vendor)
    conditions = {
        at: condition for at, condition in found.items() if _may_deal(queryset, condition, joined)
    }
    # Of two joins each row would come for all pairs of what it is joined to.
    beside = [source.alias for _, source, _ in conditions.values()]
    aliases = {query.base_table, *[name for name in beside if name != query.base_table][:1]}
    conditions = {at: found for at, found in conditions.items() if found.source.alias in aliases}
    if not conditions:
        return None
    ordered = [conditions[at] for at in sorted(conditions)]
    common = queryset.all()
    common.query.where = _without(query.where, {id(item) for item, _, _ in ordered})
    names = [_name_of(source, number, query) for number, (_, source, _) in enumerate(ordered)]
    for name, (_, source, _) in zip(names, ordered, strict=True):
        if name.startswith(BESIDE):
            common.query.add_annotation(source, name)
    shape = Shape(
        queryset=common,
        columns=tuple(names),
        kinds=tuple([kind for _, _, kind in ordered]),
        sources=tuple([source for _, source, _ in ordered]),
    )
    return shape, tuple([item.rhs for item, _, _ in ordered])


def _name_of(source: Col, number: int, query: Any) -> str:
    own = source.alias == query.base_table
    return str(source.target.attname) if own else f"{BESIDE}{number}"


def _may_deal(queryset: QuerySet[Any], condition: Condition, joined: bool) -> bool:
    """Return whether rows can be dealt by the column of a condition."""
    query: Any = queryset.query
    if condition.source.alias == query.base_table:
        return keeps(queryset.model, condition.source.target.attname)
    join = query.alias_map.get(condition.source.alias)
    # Where rows are put together, the column would put them together otherwise.
    plain = isinstance(join, Join) and join.filtered_relation is None and query.group_by is None
    return joined and plain and not query.distinct_fields


def _is_plain(queryset: QuerySet[Any]) -> bool:
    """Return whether nothing but a queryset's conditions can tell its rows from its shape's."""
    query: Any = queryset.query
    return (
        says_all(queryset)
        and query.deferred_loading == (frozenset(), True)
        and not isinstance(query.group_by, tuple)
        and not query.extra
    )


def _conditions(where: WhereNode, vendor: str) -> Mapping[tuple[str, str], Condition]:
    """Return the conditions that may make the slot, by table and column."""
    found: dict[tuple[str, str], Condition] = {}
    item: Any
    if where.negated or where.connector != AND:
        return found
    for item in where.children:
        if isinstance(item, WhereNode):
            for at, inner in _conditions(item, vendor).items():
                found.setdefault(at, inner)
        elif (source := _column(item)) is not None:
            kind = _kind(source.target, vendor)
            if kind is not None and type(item.rhs) is kind and _fits(item.rhs):
                at = (source.alias, source.target.attname)
                found.setdefault(at, Condition(item, source, kind))
    return found


def _column(item: Any) -> Col | None:
    """Return the column that a condition compares with a constant."""
    own = isinstance(item, Exact) and type(item).__module__.startswith("django.db.models.")
    if not own or type(item.lhs) is not Col or item.bilateral_transforms:
        return None
    return item.lhs


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
