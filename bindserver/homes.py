"""In which database the project's routers keep a model."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS, router


def home_of(model: Any) -> str | None:
    """Return the database that the project's routers write a model to; None if they do not say."""
    return _said(model, "db_for_write")


def is_elsewhere(model: Any, alias: str) -> bool:
    """Tell whether the project's routers write a model to another database, and migrate it not to
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
