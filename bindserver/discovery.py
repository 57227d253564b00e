"""Which tables the bindings read, found out before anyone subscribes by trying each one."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from django.contrib.auth import get_user_model
from django.db import router

from bindserver.binding import Binding, model_of
from bindserver.conf import conf
from bindserver.dependencies import Recorder
from bindserver.pace import Pacer
from bindserver.queries import OverBudget, Query
from bindserver.registry import BindingClass

logger = logging.getLogger("bindserver")


def tables_of(bindings: Iterable[BindingClass], alias: str) -> set[str]:
    """Return the tables that bindings on a database read, as far as a trial shows.

    Each is tried as an anonymous user without params. What a trial cannot show is found when a
    subscriber's view loads: the server then watches these tables too.
    """
    users = get_user_model()
    tables = {users._meta.db_table} if router.db_for_read(users) == alias else set()
    for binding in bindings:
        if (binding.using or "default") == alias:
            tables |= _declared(binding) | _tried(binding, alias)
    return tables


def _declared(binding: BindingClass) -> set[str]:
    model = model_of(binding)
    return {m._meta.db_table for m in (model, *model._meta.all_parents)}


def _tried(binding: BindingClass, alias: str) -> set[str]:
    recorder = Recorder()
    query: Query | None = None
    try:
        with recorder.watching(alias):
            instance: Binding[object] = binding()  # type: ignore[type-var]
            query = Query(instance)
            query.load(recorder, Pacer(conf.QUERY_SECONDS), budget=1)
    except OverBudget:
        pass
    except Exception as problem:
        # A binding may well need a user or params that only a subscriber brings.
        logger.info("%s could not be tried without a subscriber: %s", binding.__name__, problem)
    return recorder.own | recorder.other | (query.tables if query else set())
