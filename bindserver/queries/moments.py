"""The dates and times that a queryset compares with."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

from django.db.models import Lookup, QuerySet, Value

from bindserver.queries.expressions import parts_of
from bindserver.queries.internals import prefetches_of

MOMENTS = (datetime.date, datetime.time)  # a datetime is a date


def moments_in(queryset: QuerySet[Any]) -> list[Any]:
    """Return the dates and times that a queryset and what it prefetches compare with, in order."""
    found = [value for part in parts_of([queryset.query]) for value in _constants(part)]
    for item in prefetches_of(queryset):
        inner = getattr(item, "queryset", None)
        found += moments_in(inner) if isinstance(inner, QuerySet) else []
    return [value for value in found if isinstance(value, MOMENTS)]


def _constants(part: Any) -> Iterator[Any]:
    if isinstance(part, Value):
        yield part.value
    elif isinstance(part, Lookup):
        several = isinstance(part.rhs, (list, tuple))
        yield from part.rhs if several else [part.rhs]
