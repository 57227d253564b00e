"""What a viewset can serve from memory, and when it must not: whatever DRF would answer differently
by way of the database comes from the database."""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from django.core.paginator import Paginator
from django.db.models import QuerySet
from rest_framework import pagination
from rest_framework.renderers import JSONRenderer

from bindserver.bindings.ambient import asks_callers_thread, is_neutral_locale
from bindserver.bindings.binding import Binding, alias_of
from bindserver.bindings.row_keys import is_simple
from bindserver.cycle.inbox import Caller, Snapshot
from bindserver.cycle.owners import address_of
from bindserver.database.uncommitted import asks_itself
from bindserver.exceptions import InvalidParams, Refusal, TooManyRows, Unsound
from bindserver.http.request_free import Contextless, binding_for
from bindserver.http.waiting import Client, client_of, wait
from bindserver.hub.hub import hub
from bindserver.queries.compiler import queryset_of, reads_alike
from bindserver.queries.identity import IdentityEncoder
from bindserver.queries.serializer_traits import Traits, traits_of

LONG_NUMBER = re.compile(r'"-?\d{16,}"')
"""Text that may stand for an integer: DRF writes wide ones as numbers, the wire as strings."""

OVERSIZED_SECONDS = 60.0
"""How long a binding that has outgrown its limit is left to the database."""

REMEMBERED_DIGESTS = 512

_oversized_until: dict[type[Binding[Any]], float] = {}
_exact: OrderedDict[str, bool] = OrderedDict()


def held(
    view: Any, queryset: QuerySet[Any] | None, base: QuerySet[Any] | None, hooks: Mapping[str, Any]
) -> Snapshot | None:
    """Return the binding's rows as they are now, None where only the database may answer.

    Args:
        view: the viewset, with its request.
        queryset: what DRF would read; None if it is known to be the binding's own.
        base: the binding's own queryset, if it has been made already.
        hooks: methods of the view that would not be called, as they usually are.
    """
    binding: Binding[Any] = view.get_binding()
    alias = alias_of(binding)
    if not _is_usual(view, hooks) or asks_itself(alias) or not is_neutral_locale():
        return None
    if not is_made_alike(binding) or _asks_thread(view, binding):
        return None
    source = _source_of(view, binding) if is_simple(binding.get_model()._meta.pk) else None
    if source is None:
        return None
    if queryset is not None:
        own = base if base is not None else queryset_of(binding)
        if not isinstance(queryset, QuerySet):
            return None
        if queryset is not own and not reads_alike(queryset, own, alias):
            return None
    address = address_of(view.request.META.get("REMOTE_ADDR"))
    return _snapshot(source, binding, address, client_of(view.request))


def is_made_alike(binding: Binding[Any]) -> bool:
    """Return whether a binding's class, made anew in the same context, is the same: what a
    viewset's `get_binding()` has changed in an instance, its class knows nothing of."""
    if binding.is_plain() and not binding.params:
        return True
    try:
        again = type(binding)(user=binding.user, auth=binding.auth, params=binding.given_params)
    except InvalidParams:
        return False
    one, other = (
        IdentityEncoder().encode([kind.params, kind.own_attributes()]) for kind in (binding, again)
    )
    return bool(one == other)


def asks_code(binding: Binding[Any]) -> bool:
    """Return whether code of the project says what a binding's rows are, and may read for it."""
    kind = type(binding)
    return (
        kind.get_queryset is not Binding.get_queryset
        or kind.get_q is not Binding.get_q
        or kind.get_window is not Binding.get_window
        or any(
            value is not None and not isinstance(value, dict)
            for value in (kind.filters, kind.excludes)
        )
    )


def _is_usual(view: Any, hooks: Mapping[str, Any]) -> bool:
    return all(getattr(type(view), name) is usual for name, usual in hooks.items())


def _asks_thread(view: Any, binding: Binding[Any]) -> bool:
    """Return whether the request's own thread says what is served, as far as code shows."""
    own = [cls for cls in (view.serializer_class,) if cls is not None]
    return asks_callers_thread(binding, *own)


def _source_of(view: Any, binding: Binding[Any]) -> type[Binding[Any]] | None:
    """Return the binding whose view has the rows as the view's serializer renders them."""
    serializer_class: Any = view.get_serializer_class()
    traits = traits_of(serializer_class)
    if not (traits.fits and traits.listed and _is_readable(view.request.accepted_renderer, traits)):
        return None
    own = view.serializer_class is None or view.serializer_class is binding.serializer_class
    if traits.own and own:
        return type(binding)
    if type(binding).get_serializer_class is not Binding.get_serializer_class and own:
        return None  # made anew for each request, perhaps
    kind: Any = type(binding)
    source: type[Contextless] = binding_for(kind, serializer_class)
    return None if source.needs_request else source


def _is_readable(renderer: Any, traits: Traits) -> bool:
    """Return whether a renderer makes the same of JSON that was read again. Pages for people hold
    more than rows."""
    if type(renderer) is JSONRenderer:
        return True
    return renderer.media_type != "text/html" and traits.faithful


def _snapshot(
    source: type[Binding[Any]], binding: Binding[Any], address: str, client: Client
) -> Snapshot | None:
    if _oversized_until.get(source, 0.0) > time.monotonic():
        return None
    caller = Caller(user=binding.user, auth=binding.auth, address=address)
    try:
        answer = hub.snapshot(source, caller, binding.given_params, trusted=True)
    except Unsound:  # what it is made of may be served, or the viewset would have refused
        return None
    try:
        return wait(answer, client)
    except TooManyRows:
        _oversized_until[source] = time.monotonic() + OVERSIZED_SECONDS
        return None
    except (Refusal, TimeoutError):
        return None


def is_exact(rows: Sequence[str], digest: str | None = None) -> bool:
    """Return whether DRF would write the same text.

    Args:
        rows: rows' texts.
        digest: names the rows, if they are all of a view's.
    """
    if digest is None:
        return not any(map(LONG_NUMBER.search, rows))
    if digest not in _exact:
        _exact[digest] = not any(map(LONG_NUMBER.search, rows))
        if len(_exact) > REMEMBERED_DIGESTS:
            _exact.popitem(last=False)
    return _exact[digest]


def paginates_sequences(paginator: Any) -> bool:
    """Return whether a paginator takes any sequence, and so rows in memory."""
    if paginator is None:
        return True
    kind = type(paginator)
    if isinstance(paginator, pagination.PageNumberPagination):
        return (
            kind.paginate_queryset is pagination.PageNumberPagination.paginate_queryset
            and paginator.django_paginator_class is Paginator
        )
    if isinstance(paginator, pagination.LimitOffsetPagination):
        return (
            kind.paginate_queryset is pagination.LimitOffsetPagination.paginate_queryset
            and kind.get_count is pagination.LimitOffsetPagination.get_count
        )
    return False
