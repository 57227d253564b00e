"""Slots that a subquery tells: rows that are among those of an owner."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.db import connections
from django.db.models import QuerySet
from django.db.models.expressions import Col
from django.db.models.lookups import In
from django.db.models.sql import Query as SQLQuery

from bindserver.queries.expressions import keeps
from bindserver.queries.prepared import Statements
from bindserver.queries.slot_conditions import conditions_of, kind_of, replaced, required
from bindserver.queries.slots import NotBySlot
from bindserver.queries.within import Within, within_of


@dataclass(frozen=True, slots=True)
class Membership:
    """A condition that a row is among those of an owner, who is the last of a slot's values.

    Attributes:
        within: the condition.
        owner: the subquery's column that says whose a row is.
        kind: the Python type of its values.
        condition: the subquery's condition on it.
        subquery: the subquery, whoever is the owner.
    """

    within: Within
    owner: Col
    kind: type
    condition: Any
    subquery: SQLQuery

    def path(self) -> str:
        """Return which column of the subquery it is."""
        return f"{self.owner.alias}.{self.owner.target.column}"

    def rows_of(self, owners: Collection[Any]) -> Any:
        """Return the condition that rows are among those of some owners."""
        return self.within.rows_of(self.owner, owners, self.subquery)

    def owners(
        self,
        queryset: QuerySet[Any],
        wanted: Collection[Any],
        pks: Sequence[Any] | None,
        statements: Statements | None = None,
    ) -> Mapping[Any, Collection[Any]]:
        """Return the owners of each value of the column, all that are wanted among them.

        Args:
            queryset: the rows.
            wanted: the owners.
            pks: the primary keys of the rows that will be asked; None for any.
            statements: what is known of such reads.

        Raises:
            NotBySlot: an owner is of another type than its column's.
        """
        pairs: Iterable[Sequence[Any]]
        if pks is None or len(wanted) <= OWNERS_NAMED:
            pairs = self._pairs(In(self.owner, list(wanted)), queryset.db)
        else:
            known = statements or Statements(queryset.db)
            pairs = known.rows("owners", partial(self._pairs_of_rows, queryset), pks)
        found: dict[Any, set[Any]] = defaultdict(set)
        for value, whose in pairs:
            found[value].add(whose)
        for owner in {owner for owners in found.values() for owner in owners}:
            if type(owner) is not self.kind and owner is not None:
                raise NotBySlot(f"an owner is {type(owner).__name__}, and not {self.kind.__name__}")
        return found

    def _pairs(self, narrowed: In[Any], alias: str) -> QuerySet[Any, Any]:
        return self.within.pairs(self.owner, narrowed, self.subquery, alias)

    def _pairs_of_rows(self, queryset: QuerySet[Any], pks: Sequence[Any]) -> QuerySet[Any, Any]:
        alias = queryset.db
        return self._pairs(self.within.of_rows(queryset.model, pks, alias), alias)


OWNERS_NAMED = 50
"""More owners are not named when it is asked whose some rows are: all of theirs are told."""


def membership_of(queryset: QuerySet[Any], alias: str) -> tuple[Membership, Any, type] | None:
    """Return the first condition that a row is among those of an owner, which owner that is, and
    the Python type of the column's values."""
    vendor, query = connections[alias].vendor, queryset.query
    for part in required(query.where):
        within = within_of(part, query.base_table)
        if within is None or not keeps(queryset.model, within.source.target.attname):
            continue
        kinds = {kind_of(within.source.target, vendor), kind_of(within.value.target, vendor)}
        kind = kinds.pop()
        for condition in conditions_of(within.subquery.where, vendor).values():
            if kind is not None and not kinds and condition.source.alias in within.tables():
                without = within.subquery.clone()
                without.where = replaced(without.where, {id(condition.item): None})
                item, owner, owners_kind = condition
                member = Membership(within, owner, owners_kind, item, without)
                return member, condition.item.rhs, kind
    return None
