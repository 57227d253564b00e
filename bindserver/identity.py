"""Who a query is: plain data and digests by which two are told apart."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from django.db.models import Model, Prefetch, QuerySet

from bindserver.exceptions import BindingError


def prefetched(queryset: QuerySet[Any]) -> list[list[str]]:
    """Return what a queryset's prefetches are, which its own SQL does not say."""
    prefetches = [
        item if isinstance(item, Prefetch) else Prefetch(item)
        for item in queryset._prefetch_related_lookups  # type: ignore[attr-defined]
    ]
    return [
        [item.prefetch_to, str(item.queryset.query) if item.queryset is not None else ""]
        for item in prefetches
    ]


def identify(value: Any) -> Any:
    """Return a serializer context's value as plain data that says who it is.

    Raises:
        BindingError: it is something that cannot be compared.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return [type(value).__name__, value]
    if isinstance(value, Model):
        return [value._meta.label, str(value.pk)]
    if isinstance(value, dict):
        return {str(name): identify(item) for name, item in sorted(value.items())}
    if isinstance(value, (list, tuple)):
        return [identify(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(json.dumps(identify(item)) for item in value)
    if getattr(value, "is_anonymous", False):
        return ["anonymous"]
    raise BindingError(
        f"get_serializer_context() returns plain values and model instances, not {type(value)}."
    )


def path_of(cls: type) -> str:
    """Return where a class is to be found."""
    return f"{cls.__module__}.{cls.__qualname__}"


def digest(parts: Any) -> str:
    """Return a short text that is equal for equal plain data."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
