"""How rows of a query's tables lead back to the rows of its model: chains of equal columns.

A join, a subquery that names a column of the query around it, and `IN (SELECT …)` all connect rows
by a column that equals another. So the tables of a query hang together in a tree, and a row has a
say only in those rows of the model that it is connected to. Conditions only make them fewer.

What a row was connected to before a change is found all the same. Of the rows that connected it,
begin at the model's own: the first that was changed is known, the ones before are as they were. By
what the changed one held in its connecting column, now and before, the unchanged ones are found as
they are now. So each changed table needs its own old values, and those of no other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Model
from django.db.models.expressions import Col
from django.db.models.lookups import Exact, In
from django.db.models.sql import Query
from django.db.models.sql.constants import LOUTER
from django.db.models.sql.datastructures import Join
from django.db.models.sql.where import AND, OR, WhereNode

from bindserver.queries.dependencies import mentions_in, tables_in
from bindserver.queries.expressions import children_of, has_window


@dataclass(frozen=True, slots=True, order=True)
class Hop:
    """A table whose rows have in a column what a nearer table's have in another.

    Attributes:
        table: the one further away from the query's model.
        column: its column.
        nearer: the other table.
        nearer_column: its column.
    """

    table: str
    column: str
    nearer: str
    nearer_column: str


Chain = tuple[Hop, ...]
"""From a table to the query's model, hop by hop; none for the model's own rows."""

Chains = Mapping[str, tuple[Chain, ...] | None]
"""For each table of a query the chains from it to the model, or None where they cannot be told."""

WHOLE_NUMBERS = "integer"


@dataclass(frozen=True, slots=True)
class Link:
    """A column in a subquery that equals one of the query around it."""

    inner: Col
    outer: Col


@dataclass(frozen=True, slots=True)
class InnerQuery:
    """A subquery in a query.

    Attributes:
        query: what it is.
        compared: the column that is looked for in it, if it stands in `IN`.
        positive: whether a row that it is unknown for is left out as if it were false.
    """

    query: Query
    compared: Col | None = None
    positive: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where an alias stands in a query.

    Attributes:
        table: what it stands for.
        chain: how that leads back, if it is known.
        optional: whether there may be no row, and so NULLs.
    """

    table: str
    chain: Chain | None
    optional: bool


Scope = Mapping[str, Place]
"""The places of aliases."""


def chains_of(query: Query, sql: str, model: type[Model]) -> Chains:
    """Return how the tables of a compiled query lead back to its model's rows.

    Args:
        query: the query after compiling; all of its SQL is Django's.
        sql: what it was compiled to.
        model: the model that it begins from.
    """
    base = query.base_table
    anchors: dict[str, Chain] = {} if base is None or query.combinator else {base: ()}
    return {model._meta.db_table: None, **chains_from(query, sql, Anchors(anchors))}


def through_subquery(condition: Any, query: Query, anchors: Mapping[str, Chain]) -> Anchors | None:
    """Return from where it is known how a query's tables lead back, if it demands that a column is
    among what a subquery lists whose own conditions lead back.

    Args:
        condition: one that all rows must meet.
        query: whose condition it is.
        anchors: how some of the subquery's aliases lead back.
    """
    listed, column = condition.rhs, condition.lhs
    if not (_is_column_of(column, query.alias_map) and _lists_rows(listed)):
        return None
    (selected,) = listed.select
    if not _is_column_of(selected, listed.alias_map):
        return None
    chain = _connected(listed, anchors).get(selected.alias)
    if chain is None or kind_of(selected.target) != kind_of(column.target):
        return None
    place = str(query.alias_map[column.alias].table_name), str(column.target.column)
    nearer = str(listed.alias_map[selected.alias].table_name), str(selected.target.column)
    return Anchors({column.alias: (Hop(*place, *nearer), *chain)}, {id(listed): anchors})


@dataclass(frozen=True, slots=True)
class Anchors:
    """From where it is known how some tables of a query lead back.

    Attributes:
        chains: how some of its aliases do; none where nothing is known.
        within: the same of subqueries, by identity, which may stand in none of its own chains.
    """

    chains: Mapping[str, Chain]
    within: Mapping[int, Mapping[str, Chain]] = field(default_factory=dict)


def chains_from(query: Query, sql: str, anchors: Anchors) -> Chains:
    """Return how the tables of a compiled query lead back.

    Args:
        query: the query after compiling; all of its SQL is Django's.
        sql: what it was compiled to.
        anchors: from where that is known.
    """
    found: dict[str, list[Chain | None]] = {}
    aliases: set[str] = set()
    if not query.combinator:
        _explain(query, anchors, {}, found, aliases)
    mentions = mentions_in(sql, aliases)
    chains: dict[str, tuple[Chain, ...] | None] = {}
    for table in {*found, *tables_in(sql)}:
        known = found.get(table, [])
        proved = [chain for chain in known if chain is not None]
        complete = known and len(proved) == len(known) >= mentions(table)
        chains[table] = tuple(dict.fromkeys(proved)) if complete else None
    return chains


def _explain(
    query: Query,
    anchors: Anchors,
    around: Scope,
    found: dict[str, list[Chain | None]],
    aliases: set[str],
) -> None:
    """Note the chain of each table that a query mentions, those of subqueries among them.

    Args:
        query: the query.
        anchors: from where that is known.
        around: the aliases of the queries around it.
        found: takes the chains by table.
        aliases: takes all aliases.
    """
    scope: dict[str, Place] = dict(around)
    chains = _connected(query, anchors.chains)
    for alias, source in query.alias_map.items():
        if query.alias_refcount.get(alias, 0):
            chain, optional = chains.get(alias), source.join_type == LOUTER
            scope[alias] = Place(source.table_name, chain, optional)
            found.setdefault(source.table_name, []).append(chain)
            aliases.add(alias)
    for within in _subqueries(query):
        known = anchors.within.get(id(within.query))
        if known is None:
            links = [*_correlations(within.query, scope), *_membership(within, scope)]
            known = _anchors(links, within.query, scope)
        _explain(within.query, Anchors(known), scope, found, aliases)


def _connected(query: Query, anchors: Mapping[str, Chain]) -> dict[str, Chain]:
    """Return the chains of the aliases that joins connect to those whose chains are known."""
    chains = dict(anchors)
    joins = [
        join
        for alias, join in query.alias_map.items()
        if isinstance(join, Join) and query.alias_refcount.get(alias, 0)
    ]
    fresh = list(chains)
    while fresh:
        near = fresh.pop()
        for join in joins:
            for this, that in _ends(join, query):
                if this[0] == near and that[0] not in chains:
                    hop = _hop(query.alias_map[that[0]].table_name, that[1], chains, query, this)
                    if hop is not None:
                        chains[that[0]] = (hop, *chains[near])
                        fresh.append(that[0])
    return chains


End = tuple[str, Any]
"""An alias, and one of its fields."""


def _ends(join: Any, query: Query) -> Iterator[tuple[End, End]]:
    """Yield the pairs of fields that a join has equal, both ways."""
    for left, right in join.join_fields or ():
        one, other = (join.parent_alias, left), (join.table_alias, right)
        yield one, other
        yield other, one


def _hop(
    table: str, field: Any, chains: Mapping[str, Chain], query: Query, near: End
) -> Hop | None:
    """Return the hop from a field of a table to one of an alias that is nearer; None where the
    database may hold for equal what their fields read otherwise."""
    if kind_of(field) != kind_of(near[1]):
        return None
    nearer = query.alias_map[near[0]].table_name
    return Hop(table, str(field.column), nearer, str(near[1].column))


def kind_of(field: Any) -> str:
    """Return what kind of values a field's column holds: a foreign key's are those it refers to."""
    while field.is_relation and field.concrete:
        field = field.target_field
    kind = str(field.get_internal_type())
    return WHOLE_NUMBERS if kind.endswith(("IntegerField", "AutoField")) else kind


def _anchors(links: list[Link], query: Query, scope: Scope) -> dict[str, Chain]:
    """Return the chains of a subquery's aliases that links tell; one is enough to tell all."""
    for link in links:
        place = scope[link.outer.alias]
        inner, outer = link.inner.target, link.outer.target
        if place.chain is not None and kind_of(inner) == kind_of(outer):
            source = query.alias_map[link.inner.alias].table_name
            hop = Hop(source, str(inner.column), place.table, str(outer.column))
            return {link.inner.alias: (hop, *place.chain)}
    return {}


def _correlations(query: Query, scope: Scope) -> Iterator[Link]:
    """Yield the columns that every row of a subquery has equal to those of a row around it."""
    if query.combinator:
        return
    for condition in demanded(query.where):
        if isinstance(condition, Exact):
            sides = (condition.lhs, condition.rhs)
            for inner, outer in (sides, sides[::-1]):
                within = _is_column_of(inner, query.alias_map)
                around = _is_column_of(outer, scope) and outer.alias not in query.alias_map
                if within and around:
                    yield Link(inner, outer)


def _is_column_of(part: Any, aliases: Mapping[str, Any]) -> bool:
    return isinstance(part, Col) and part.alias in aliases


def demanded(where: Any) -> Iterator[Any]:
    """Yield the conditions that all rows must meet."""
    if where.negated or (where.connector != AND and len(where.children) > 1):
        return
    for child in where.children:
        if isinstance(child, WhereNode):
            yield from demanded(child)
        else:
            yield child


def _membership(within: InnerQuery, scope: Scope) -> Iterator[Link]:
    """Yield the column that is looked for in a subquery, and that where it is looked for.

    A NULL in either makes the answer unknown rather than false, for whatever row: that matters
    where it is negated, and then neither may be NULL.
    """
    query, compared = within.query, within.compared
    if compared is None or compared.alias not in scope or not _lists_rows(query):
        return
    (selected,) = query.select
    if not isinstance(selected, Col) or selected.alias not in query.alias_map:
        return
    optional = query.alias_map[selected.alias].join_type == LOUTER
    nulls = optional or scope[compared.alias].optional
    if within.positive or not (nulls or selected.target.null or compared.target.null):
        yield Link(selected, compared)


def _lists_rows(query: Query) -> bool:
    """Return whether a subquery gives one column of each of its rows, whatever others there are."""
    return (
        len(query.select) == 1
        and not query.annotation_select
        and query.group_by is None
        and not (query.is_sliced or query.combinator or query.distinct_fields)
        and not has_window(query)
    )


def _subqueries(query: Query) -> Iterator[InnerQuery]:
    """Yield the subqueries in a query, those within them left out."""
    waiting: list[tuple[Any, bool]] = [(part, part is query.where) for part in children_of(query)]
    while waiting:
        part, positive = waiting.pop()
        if isinstance(part, Query):
            yield InnerQuery(part)
        elif isinstance(part, In) and isinstance(part.rhs, Query):
            compared = part.lhs if isinstance(part.lhs, Col) else None
            yield InnerQuery(part.rhs, compared, positive)
            waiting.append((part.lhs, False))
        else:
            inside = {id(child): child for child in children_of(part)}.values()
            waiting += [(child, _stays(part, positive)) for child in inside]


def _stays(part: Any, positive: bool) -> bool:
    """Return whether what is unknown in a part leaves the row out, where that is so around it."""
    return (
        positive
        and isinstance(part, WhereNode)
        and not part.negated
        and part.connector in (AND, OR)
    )
