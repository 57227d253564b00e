"""How changed rows reach a query: which of its rows they may be, or have a say in."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import QuerySet

from bindserver.engine.changes import Change
from bindserver.queries.following import Following
from bindserver.queries.query import Query
from bindserver.queries.row_reader import batches

KEYS_PER_QUERY = 500


def primary_keys(query: Query, raw: Iterable[Any]) -> set[Any] | None:
    """Return primary keys as Python has them, None if one cannot be told."""
    to_python = query.model._meta.pk.to_python
    try:
        return {to_python(value) for value in raw}
    except ValidationError:
        return None


def reached(query: Query, change: Change, told: Collection[str], budget: int) -> set[Any] | None:
    """Return the primary keys of rows that changed rows of a table may reach, or have reached.

    Args:
        change: the rows, by keys.
        told: the table's columns whose old values are told by every change.
        budget: how many rows may be reached.

    Returns:
        None when any row may be reached, or more than `budget`.
    """
    raw, lookups = change.pks, query.paths.get(change.table)
    if raw is None or len(raw) > budget:
        return None
    if lookups is None or change.table == query.model._meta.db_table:
        chains = query.chains.get(change.table)
        following = Following(query.model, query.alias, budget)
        return None if chains is None else following.reached(change, chains, told)
    found: set[Any] = set()
    base = QuerySet[Any](query.model, using=query.alias)  # managers may hide rows
    for lookup in lookups:
        for some in batches(list(raw), KEYS_PER_QUERY):
            pks = base.filter(**{f"{lookup}__in": some}).values_list("pk", flat=True)
            found.update(pks[: budget + 1])
            if len(found) > budget:
                return None
    return found
