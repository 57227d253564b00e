"""In which database the project's routers keep a model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS, router
from django.db.models import QuerySet


def home_of(model: Any) -> str | None:
    """Return the database that the project's routers write a model to; None if they do not say."""
    return _said(model, "db_for_write")


def is_elsewhere(model: Any, alias: str) -> bool:
    """Return whether the project's routers write a model to another database, and migrate it not to
    this one. To a replica, or a second name of a database, they migrate nothing at all."""
    return home_of(model) not in (None, alias) and _is_not_migrated(model, alias)


def misplaced(model: Any, using: str | None) -> str | None:
    """Return the database that a model is kept in, if it is not the one that a binding of it names,
    or, where it names none, not the default one."""
    alias = using or DEFAULT_DB_ALIAS
    home = home_of(model)
    if home is None and _is_not_migrated(model, alias):
        home = _said(model, "db_for_read")
    if home in (None, alias):
        return None
    return home if using is None or _is_not_migrated(model, alias) else None


def elsewhere(queryset: Any, using: str | None) -> str | None:
    """Return the database that a queryset, or one that it prefetches, is read from in DRF's hands,
    if that is not the one of a binding that names `using`."""
    home = misplaced(queryset.model, using)
    if home is not None:
        return home
    for one in _with_prefetched(queryset):
        if one._db not in (None, using or DEFAULT_DB_ALIAS):
            named: str = one._db
            return named
    return None


def say_using(alias: str) -> str:
    """Return the words that tell how a binding follows another database."""
    return f'Write `using = "{alias}"` in the binding.'


def _with_prefetched(queryset: Any) -> Iterator[Any]:
    yield queryset
    for item in queryset._prefetch_related_lookups:
        # A GenericPrefetch has several.
        for inner in (getattr(item, "queryset", None), *getattr(item, "querysets", ())):
            if isinstance(inner, QuerySet):
                yield from _with_prefetched(inner)


def _is_not_migrated(model: Any, alias: str) -> bool:
    return not router.allow_migrate_model(alias, model) and any(
        router.allow_migrate_model(alias, other) for other in apps.get_models()
    )


def _said(model: Any, question: str) -> str | None:
    for known in router.routers:
        choose = getattr(known, question, None)
        answer: str | None = None
        if choose is not None and not getattr(known, "reads_snapshots", False):
            answer = choose(model)
        if answer is not None:
            return answer
    return None
