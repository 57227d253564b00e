"""What querysets and queries keep under names of Django's own, which its types leave out."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.db.models.sql import Query


def prefetches_of(queryset: QuerySet[Any]) -> tuple[Any, ...]:
    """Return what a queryset prefetches, in its order: names and `Prefetch` objects."""
    untyped: Any = queryset
    return tuple(untyped._prefetch_related_lookups)


def known_instances(queryset: QuerySet[Any]) -> dict[Any, dict[Any, Any]]:
    """Return the instances that a queryset gives its rows, by field and key, as related managers
    put them in."""
    untyped: Any = queryset
    known: dict[Any, dict[Any, Any]] = untyped._known_related_objects
    return known


def filtered_relations(query: Query) -> dict[str, Any]:
    """Return the `FilteredRelation` objects of a query, by their names."""
    untyped: Any = query
    relations: dict[str, Any] = untyped._filtered_relations
    return relations


def alike(queryset: QuerySet[Any]) -> QuerySet[Any]:
    """Return the same queryset with nothing read, though its class has an `all` of its own."""
    untyped: Any = queryset
    twin: QuerySet[Any] = untyped._chain()
    return twin


def alias_named(queryset: QuerySet[Any]) -> str | None:
    """Return the alias of the database that somebody has named for a queryset, None for a
    router's."""
    untyped: Any = queryset
    alias: str | None = untyped._db
    return alias
