"""Which tables the bindings read, found out before anyone subscribes by trying each one."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connections, router
from django.db.models import Model
from rest_framework.permissions import (
    AllowAny,
    IsAdminUser,
    IsAuthenticated,
    IsAuthenticatedOrReadOnly,
)
from rest_framework.settings import api_settings

from bindserver.bindings import permissions
from bindserver.bindings.binding import Binding, alias_of, model_of
from bindserver.bindings.registry import BindingClass
from bindserver.conf import conf
from bindserver.database.pacing import Pacer
from bindserver.database.uncached import past_caches
from bindserver.database.views import database_views
from bindserver.exceptions import BindingError, Denied
from bindserver.queries.dependencies import Recorder
from bindserver.queries.depends_on import behind
from bindserver.queries.query import Query
from bindserver.queries.reading import load
from bindserver.queries.rows import OverBudget
from bindserver.user_code import apart

logger = logging.getLogger("bindserver.queries")

ASK_NOTHING = (AllowAny, IsAuthenticated, IsAdminUser, IsAuthenticatedOrReadOnly)
"""Permission classes that read no table beside the user's."""


Reads = dict[str, frozenset[str] | None]
"""Tables, and which of their columns are read; None where that may be any."""


def reads_of(bindings: Iterable[BindingClass], alias: str) -> Reads:
    """Return the tables that are to be watched on a database, those that bindings read and the
    users', with their columns."""
    return to_watch(read_by_each(bindings, alias), alias)


def to_watch(reads: Mapping[BindingClass, Reads], alias: str) -> Reads:
    """Return the same of what each binding is known to read."""
    users = get_user_model()
    every = list(reads.values())
    if router.db_for_read(users) == alias:
        every.append({users._meta.db_table: None})
    found: Reads = {}
    for one in every:
        _join(found, one)
    return found


def _join(found: Reads, more: Reads) -> None:
    """Take what is read besides."""
    for table, columns in more.items():
        known = found.get(table, frozenset())
        found[table] = None if known is None or columns is None else known | columns


def read_by_each(bindings: Iterable[BindingClass], alias: str) -> dict[BindingClass, Reads]:
    """Return what each binding on a database reads, as far as a trial shows; in place of database
    views the tables that it says stand behind them.

    Each is tried as an anonymous user without params. What a trial cannot show is found when a
    subscriber's view loads: the server then watches these tables and columns too.
    """
    users, views = get_user_model(), database_views(connections[alias])
    found: dict[BindingClass, Reads] = {}
    for binding in bindings:
        if alias_of(binding) == alias:
            reads = _tried(binding, alias)
            for table in _declared(binding):
                reads.setdefault(table, None)
            if _asks_for_rights(binding) and router.db_for_read(users) == alias:
                _join(reads, dict.fromkeys(_rights_of(users)))
            found[binding] = _followed(binding, reads, views)
    return found


def _followed(binding: BindingClass, reads: Reads, views: frozenset[str]) -> Reads:
    try:
        stands = behind(binding, views)
    except BindingError:  # which a check tells
        return reads
    tables = {*stands.instead(set(reads)), *stands.tables}
    return {table: None if table in stands.tables else reads.get(table) for table in tables}


def _asks_for_rights(binding: BindingClass) -> bool:
    classes = binding.permission_classes
    if classes is None:
        classes = api_settings.DEFAULT_PERMISSION_CLASSES
    return any(kind not in ASK_NOTHING for kind in classes)


def _rights_of(users: type[Model]) -> set[str]:
    """Return the tables that tell what users may do, their groups among them."""
    models = [users, *(field.related_model for field in users._meta.many_to_many)]
    through = [
        _table_between(field)
        for model in models
        if isinstance(model, type)
        for field in model._meta.many_to_many
    ]
    return {*through, *(m._meta.db_table for m in models if isinstance(m, type))}


def _table_between(field: Any) -> str:
    return str(field.remote_field.through._meta.db_table)


def _declared(binding: BindingClass) -> set[str]:
    model = model_of(binding)
    return {m._meta.db_table for m in (model, *model._meta.all_parents)}


def _tried(binding: BindingClass, alias: str) -> Reads:
    recorder = Recorder()
    query: Query | None = None
    shown = False
    try:
        with recorder.watching(alias), past_caches():
            query = apart(partial(_ask_anonymously, binding))
            apart(partial(load, query, recorder, Pacer(conf.QUERY_SECONDS), budget=1))
        shown = True
    except OverBudget:
        shown = True
    except Exception as problem:
        # A binding may well need a user or params that only a subscriber brings.
        logger.info("%s could not be tried without a subscriber: %s", binding.__name__, problem)
    tables = recorder.own | (query.tables if query else set())
    columns = query.columns_read() if query is not None and shown else {}
    reads: Reads = {table: columns.get(table) for table in tables}
    return reads | dict.fromkeys(recorder.other)


def _ask_anonymously(binding: BindingClass) -> Query:
    instance: Binding[Any] = binding()
    with suppress(Denied):  # nobody is known here
        permissions.ask(instance)
    return Query(instance)


def unshared(binding: BindingClass) -> tuple[str, ...]:
    """Return why two subscribers of a binding do not share a view, though they ask the same.

    Nothing where they do, or where a trial as an anonymous user without params does not tell.
    """
    one, other = _asked(binding), _asked(binding)
    if one is None or other is None:
        return ()
    return other.unshared if one.identity != other.identity else ()


def read_whole(binding: BindingClass) -> str | None:
    """Return why a binding's rows cannot be read by their keys; None where they can, or where a
    trial does not tell."""
    query = _asked(binding)
    return None if query is None else query.whole


def columns_told(binding: BindingClass) -> str | None:
    """Return what a binding's rows are, and by what they are told apart, in words; None where they
    are model instances, or where a trial does not tell."""
    query = _asked(binding)
    if query is None or (columns := query.columns) is None:
        return None
    if columns.aggregates is not None:
        return f"one row of {', '.join(columns.names)}"
    by = ["the primary key"] if columns.needs_pk else []
    return f"{', '.join(columns.names)}; told apart by {', '.join([*by, *(columns.by or ())])}"


def _asked(binding: BindingClass) -> Query | None:
    """Return the query of an anonymous user without params, if there is one."""
    try:
        return apart(lambda: Query(binding()))
    except Exception as problem:  # as above
        logger.info("%s could not be tried without a subscriber: %s", binding.__name__, problem)
        return None
