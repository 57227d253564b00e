"""Under which name a binding's rows say their keys, told before any is read."""

from __future__ import annotations

from typing import Any

from bindserver.bindings.binding import Binding, model_of
from bindserver.bindings.columns import has_dicts
from bindserver.bindings.row_keys import row_key
from bindserver.bindings.serializers import context_of, serializer_of, without_request
from bindserver.queries.columns import Columns, told_apart
from bindserver.queries.listed import child_of


def key_name(binding: Binding[Any]) -> str:
    """Return the name of the row field that holds a binding's key."""
    model, columns = model_of(binding), _columns_declared(binding)
    context = without_request(context_of(binding))
    given = None if columns is None else (columns.names, columns.said)
    serializer = child_of(serializer_of(binding, given), model, context.handed())
    if columns is not None:
        name = columns.row_key(model, serializer).name
    else:
        name = row_key(model, serializer).name
    context.insist()
    return name


def _columns_declared(binding: Binding[Any]) -> Columns | None:
    """Return what rows have as columns, if a binding's class says so: its `get_queryset` may need a
    subscriber, or read the database."""
    if binding.aggregate is not None:
        return Columns(names=tuple(binding.conditions("aggregate")), by=())
    queryset = binding.queryset
    return told_apart(queryset) if queryset is not None and has_dicts(queryset) else None
