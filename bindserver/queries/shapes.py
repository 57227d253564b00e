"""Queries that differ only in an equality argument: what they have in common, and what not.

Conditions like `category = 3`, which all rows of a query must meet, are its *slot*; the query
without them is its *shape*. A row of the shape belongs to the slot that its own columns name, or
those of what it is joined to (`members = user`): then it comes once for each of them, with the
joined column beside it. Or those that a subquery names, as in `project__in=Project.objects.filter(
members=user)`: of whom each value is, the subquery is asked. So one query reads for all slots, and
each row is dealt to its own.

That holds only where the database takes two values for equal exactly when Python does: for whole
numbers, and for dates and UUIDs where the database has types for them. Texts are compared by
collations; and truth values on SQLite may be any number. There are only two of those: their
conditions stay in the shape.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence, Set
from dataclasses import dataclass
from typing import Any

from django.db import connections
from django.db.models import QuerySet
from django.db.models.expressions import Col
from django.db.models.lookups import Exact, In
from django.db.models.sql.datastructures import Join
from django.db.models.sql.where import AND, OR, WhereNode

from bindserver.bindings.columns import has_dicts
from bindserver.queries.evaluation import says_all
from bindserver.queries.expressions import keeps
from bindserver.queries.memberships import Membership, membership_of
from bindserver.queries.prepared import Statements
from bindserver.queries.slot_conditions import SlotCondition, conditions_of, replaced, with_constant
from bindserver.queries.slots import BESIDE, Slot, Slots


@dataclass(frozen=True, slots=True)
class Shape:
    """What queries have in common that differ only in their slots.

    Attributes:
        queryset: the rows of all slots.
        columns: the names by which a row has the columns.
        kinds: the Python types of their values.
        sources: what the columns are in SQL.
        conditions: what the slot is made of in the query that it was found in.
        membership: whose rows are whose, where the last column stands for that.
    """

    queryset: QuerySet[Any]
    columns: tuple[str, ...]
    kinds: tuple[type, ...]
    sources: tuple[Col, ...]
    conditions: tuple[Any, ...]
    membership: Membership | None = None

    @property
    def is_joined(self) -> bool:
        """Whether a row may belong to several slots, by what it is joined to."""
        return any(name.startswith(BESIDE) for name in self.columns)

    def told(self) -> list[str]:
        """Return what its columns are, for an identity."""
        owner = [] if self.membership is None else [self.membership.path()]
        return [*self.columns, *owner]

    def in_words(self, slot: Slot) -> str:
        """Return the conditions that a slot stands for."""
        names = [f"{source.alias}.{source.target.column}" for source in self.sources]
        if self.membership is not None:
            names[-1] = self.membership.path()
        return ", ".join(f"{name} = {value}" for name, value in zip(names, slot, strict=True))

    def slots(
        self,
        wanted: Collection[Slot],
        pks: Sequence[Any] | None = None,
        statements: Statements | None = None,
    ) -> Slots:
        """Return slots, as a row is asked for its own. Of a membership, the database is asked whose
        rows are whose.

        Args:
            wanted: the slots.
            pks: the primary keys of the rows that will be asked; None for any.
            statements: what is known of such reads.
        """
        some = wanted if isinstance(wanted, Set) else frozenset(wanted)
        owners = None
        if self.membership is not None:
            whose = {slot[-1] for slot in some}
            owners = self.membership.owners(self.queryset, whose, pks, statements)
        return Slots(self.columns, self.kinds, some, owners)

    def among(self, wanted: Collection[Slot]) -> QuerySet[Any]:
        """Return the rows of these slots, and no others."""
        if not self.columns:
            return self.queryset
        values = [set(column) for column in zip(*wanted, strict=True)]
        widest = max(range(len(values)), key=lambda index: len(values[index]))
        listed: dict[Slot, list[Any]] = {}
        for slot in wanted:
            listed.setdefault(slot[:widest] + slot[widest + 1 :], []).append(slot[widest])
        others = [*range(widest), *range(widest + 1, len(values))]
        every = WhereNode(connector=OR)
        for rest, some in listed.items():
            conditions: list[Any] = [self._among(widest, some)]
            for index, value in zip(others, rest, strict=True):
                conditions.append(self._among(index, [value]))
            every.children.append(WhereNode(conditions, AND))
        queryset = self.queryset.all()
        # Not by `filter`: that would join anew what has several rows.
        queryset.query.where = WhereNode([queryset.query.where, every], AND)
        return queryset

    def alone(self, queryset: QuerySet[Any], slot: Slot) -> QuerySet[Any]:
        """Return the rows of one slot as those of another are read that are not read together.

        Args:
            queryset: the query that the shape was found in.
            slot: the slot.
        """
        named: dict[int, Any] = {
            id(item): with_constant(item, value)
            for item, value in zip(self.conditions, slot, strict=True)
        }
        if self.membership is not None:
            within = self.membership.within
            subquery = within.subquery.clone()
            subquery.where = replaced(subquery.where, named)
            named[id(within.item)] = within.anybodys(subquery)
        twin = queryset.all()
        twin.query.where = replaced(queryset.query.where, named)
        return twin

    def _among(self, index: int, values: list[Any]) -> Any:
        """Return the condition that rows have some values in a place of their slots."""
        source = self.sources[index]
        if self.membership is not None and index == len(self.sources) - 1:
            return self.membership.rows_of(values)
        return Exact(source, values[0]) if len(values) == 1 else In(source, values)


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
    found = conditions_of(query.where, connections[alias].vendor)
    conditions = {
        at: condition for at, condition in found.items() if _may_deal(queryset, condition, joined)
    }
    # Of two joins each row would come for all pairs of what it is joined to.
    beside = [source.alias for _, source, _ in conditions.values()]
    aliases = {query.base_table, *[name for name in beside if name != query.base_table][:1]}
    conditions = {at: found for at, found in conditions.items() if found.source.alias in aliases}
    ordered = [conditions[at] for at in sorted(conditions)]
    named = {source.alias for _, source, _ in ordered}
    member = membership_of(queryset, alias) if joined and named <= {query.base_table} else None
    if not conditions and member is None:
        return None
    common = queryset.all()
    others: dict[int, Any] = {id(item): None for item, _, _ in ordered}
    slot = tuple([item.rhs for item, _, _ in ordered])
    parts = [item for item, _, _ in ordered]
    if member is not None:
        membership, owner, kind = member
        item = membership.within.item
        others[id(item)] = membership.within.anybodys(membership.subquery)
        ordered.append(SlotCondition(item, membership.within.source, kind))
        slot = (*slot, owner)
        parts.append(membership.condition)
    common.query.where = replaced(query.where, others)
    names = [_name_of(source, number, query) for number, (_, source, _) in enumerate(ordered)]
    for name, (_, source, _) in zip(names, ordered, strict=True):
        if name.startswith(BESIDE):
            common.query.add_annotation(source, name)
    shape = Shape(
        queryset=common,
        columns=tuple(names),
        kinds=tuple([kind for _, _, kind in ordered]),
        sources=tuple([source for _, source, _ in ordered]),
        conditions=tuple(parts),
        membership=None if member is None else member[0],
    )
    return shape, slot


def undealt(queryset: QuerySet[Any]) -> tuple[Shape, Slot] | None:
    """Return a query as a shape of one slot: for queries that differ in something else than their
    conditions, such as which of their rows are shown."""
    if not _is_plain(queryset):
        return None
    return Shape(queryset=queryset.all(), columns=(), kinds=(), sources=(), conditions=()), ()


def _name_of(source: Col, number: int, query: Any) -> str:
    own = source.alias == query.base_table
    return str(source.target.attname) if own else f"{BESIDE}{number}"


def _may_deal(queryset: QuerySet[Any], condition: SlotCondition, joined: bool) -> bool:
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
        and not has_dicts(queryset)
        and query.deferred_loading == (frozenset(), True)
        and not isinstance(query.group_by, tuple)
        and not query.extra
    )
