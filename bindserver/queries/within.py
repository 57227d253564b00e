"""Conditions `column IN (SELECT … WHERE owner = constant)`: whose rows are whose, by two columns.

Which values of the column belong to which owner, the subquery itself says when both are read from
it. So one question deals the rows of very many owners, where each would ask by itself.
"""

from __future__ import annotations

import copy
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from django.db.models import Model, QuerySet
from django.db.models.expressions import Col
from django.db.models.lookups import In
from django.db.models.sql import Query as SQLQuery
from django.db.models.sql.datastructures import BaseTable, Join
from django.db.models.sql.where import AND, WhereNode

from bindserver.queries.expressions import parts_of

VALUE, OWNER = "bindserver_value", "bindserver_owner"


@dataclass(frozen=True, slots=True)
class Within:
    """A condition that rows are among those of an owner.

    Attributes:
        item: the condition.
        source: the column, of the query's own table.
        value: what the subquery selects.
        subquery: the subquery.
    """

    item: Any
    source: Col
    value: Col
    subquery: SQLQuery

    def tables(self) -> Collection[str]:
        """Return the aliases of the subquery's tables."""
        return self.subquery.alias_map.keys()

    def anybodys(self, subquery: SQLQuery) -> In[Any]:
        """Return the condition with another subquery in its place."""
        twin = copy.copy(self.item)
        twin.rhs = subquery
        found: In[Any] = twin
        return found

    def rows_of(self, owner: Col, owners: Collection[Any], without: SQLQuery) -> In[Any]:
        """Return the condition that rows are among those of some owners.

        Args:
            owner: the subquery's column that says whose a row is.
            owners: its values.
            without: the subquery without a condition on it.
        """
        return self.anybodys(_narrowed(without, In(owner, list(owners))))

    def pairs(
        self, owner: Col, narrowed: In[Any], without: SQLQuery, alias: str
    ) -> QuerySet[Any, Any]:
        """Return the values of the column, and beside each an owner.

        Args:
            owner: as for `rows_of`.
            narrowed: which values, or which owners, are asked for.
            without: as for `rows_of`.
            alias: the database.
        """
        query = _narrowed(without, narrowed)
        query.clear_ordering(force=True)
        query.clear_select_clause()
        query.add_annotation(self.value, VALUE)
        query.add_annotation(owner, OWNER)
        model: Any = query.model
        pairs = QuerySet[Any](model, query=query, using=alias).values_list(VALUE, OWNER)
        return pairs.distinct()

    def of_rows(self, model: type[Model], pks: Collection[Any], alias: str) -> In[Any]:
        """Return the condition that values are those of some rows of the query's own table."""
        rows = QuerySet[Any](model, using=alias)  # managers may hide rows
        return In(self.value, rows.filter(pk__in=pks).values(self.source.target.attname).query)


def _narrowed(query: SQLQuery, condition: Any) -> SQLQuery:
    twin = query.clone()
    twin.where = WhereNode([twin.where, condition], AND)
    return twin


def within_of(item: Any, base: str) -> Within | None:
    """Return what a condition is, if it may say whose rows are whose."""
    own = isinstance(item, In) and type(item).__module__.startswith("django.db.models.")
    if not own or item.bilateral_transforms or type(item.lhs) is not Col:
        return None
    subquery = item.rhs
    if item.lhs.alias != base or type(subquery) is not SQLQuery or not _is_plain(subquery):
        return None
    value = _selected(subquery)
    return None if value is None else Within(item, item.lhs, value, subquery)


def _is_plain(query: Any) -> bool:
    """Return whether a subquery is rows of tables that are joined, under conditions of its own."""
    tables = all(
        type(source) is BaseTable or (type(source) is Join and source.filtered_relation is None)
        for source in query.alias_map.values()
    )
    put_together = (
        query.is_sliced
        or query.combinator
        or query.group_by is not None
        or query.distinct_fields
        or query.annotations
        or query.extra
        or query.extra_tables
    )
    return tables and not put_together and all(map(_is_inside(query), parts_of([query.where])))


def _is_inside(query: Any) -> Any:
    """Return what tells whether a part of a condition speaks of a query's own tables."""
    return lambda part: (
        not isinstance(part, SQLQuery)
        and (not hasattr(part, "alias") or part.alias in query.alias_map)
    )


def _selected(query: Any) -> Col | None:
    """Return the column that a subquery selects."""
    if query.select:
        (selected, *more) = query.select
        return selected if not more and type(selected) is Col else None
    if query.has_select_fields:
        return None
    column = query.model._meta.pk.get_col(query.get_initial_alias())
    return column if type(column) is Col else None  # a key of several columns has several
