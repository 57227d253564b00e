"""What the request's own database connection answers, and not the hub."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from django.db import connections, transaction

from bindserver.bindings.ambient import Ambient, read_by
from bindserver.bindings.binding import alias_of, model_of
from bindserver.bindings.refusals import refusing
from bindserver.bindings.registry import BindingClass, registry, tables_named
from bindserver.cycle.failure_log import WRONG_VALUE, is_of_values
from bindserver.cycle.inbox import Caller, Snapshot
from bindserver.database.sessions import stands_elsewhere, usually_by_row
from bindserver.exceptions import (
    InvalidParams,
)
from bindserver.hub.hub import hub
from bindserver.hub.reader import snapshot_here


def is_asked_here(binding: BindingClass) -> bool:
    """Return whether the request's own connection has the answer and not the hub: it means
    something else by a query (another schema or role)."""
    elsewhere = stands_elsewhere(alias_of(binding)) or _asks_thread(binding)
    return elsewhere and not is_shown_by_row(binding)


def are_elsewhere(events: set[str]) -> bool:
    """Return whether the rows that the hub has of these events are not meant: the request's own
    connection is in another schema or role, as a tenant's is, or its thread says whose they are."""
    known = [binding for binding in registry.served() if binding.event in events]
    aliases = set(map(alias_of, known))
    return any(map(_asks_thread, known)) or any(
        stands_elsewhere(alias, but_for_rows=True) for alias in aliases
    )


def _asks_thread(binding: BindingClass) -> bool:
    """Return whether the request's own thread says what is served, such as a tenant's rows."""
    return Ambient.STATE in read_by(binding, model_of(binding))


def is_shown_by_row(binding: BindingClass) -> bool:
    """Return whether the database shows the server some rows only of a binding: the hub refuses it,
    and the request's own connection is not asked either."""
    alias = alias_of(binding)
    known = hub.by_row(alias)
    tables = usually_by_row(alias) if known is None else known
    return not tables.isdisjoint(tables_named(binding))


def rows_here(binding: BindingClass, caller: Caller, params: Mapping[str, Any]) -> Snapshot:
    """Return a binding's rows, queried on the request's own connection.

    Raises:
        Refusal: the caller is not to have them.
    """
    with refusing(given=bool(params)):
        instance = binding(user=caller.user, auth=caller.auth, params=params)
    try:
        with _requests_transaction(alias_of(binding)):
            return snapshot_here(instance)
    except Exception as problem:
        if instance.wire_params and is_of_values(problem):
            raise InvalidParams(WRONG_VALUE) from problem
        raise


def _requests_transaction(alias: str) -> AbstractContextManager[None]:
    """Return the transaction that the project wants around each request, if it does."""
    if connections[alias].settings_dict["ATOMIC_REQUESTS"]:
        return transaction.atomic(using=alias)
    return nullcontext()
