"""Copies of the querysets that prefetches name: Django leaves in them what it has read by them.

`Prefetch("tags", Tag.objects.order_by("name"))` is read by that queryset itself, which is told the
first of the instances as a hint for database routers, and keeps it. A binding's class, which has
one queryset for all who ask, would look different after each read, and hold a row for ever.
"""

from __future__ import annotations

import copy
from typing import Any

from django.db.models import Prefetch, QuerySet

from bindserver.queries.internals import prefetches_of


def untouched(queryset: QuerySet[Any]) -> QuerySet[Any]:
    """Return a queryset that may be read, and leaves the one that was given as it is."""
    lookups = prefetches_of(queryset)
    if all(isinstance(lookup, str) for lookup in lookups):
        return queryset
    twin: Any = queryset.all()
    twin._prefetch_related_lookups = tuple([_untouched_lookup(lookup) for lookup in lookups])
    again: QuerySet[Any] = twin
    return again


def _untouched_lookup(lookup: Any) -> Any:
    if not isinstance(lookup, Prefetch):
        return lookup
    twin: Any = copy.copy(lookup)
    if lookup.queryset is not None:
        twin.queryset = with_own_hints(untouched(lookup.queryset))
    if hasattr(lookup, "querysets"):  # a GenericPrefetch has several
        twin.querysets = [
            item if item is None else with_own_hints(untouched(item)) for item in lookup.querysets
        ]
    return twin


def with_own_hints(queryset: QuerySet[Any]) -> QuerySet[Any]:
    """Return a copy of a queryset that is told hints which the first one never has."""
    twin: Any = queryset.all()
    twin._hints = dict(twin._hints)
    again: QuerySet[Any] = twin
    return again
