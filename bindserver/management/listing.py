"""`manage.py bindings list`: which bindings there are, and how each is kept live."""

from __future__ import annotations

from collections.abc import Iterator

from django.core.management.base import CommandError
from django.db import DatabaseError, connections
from django.urls import NoReverseMatch, reverse

from bindserver.bindings.binding import model_of
from bindserver.bindings.registry import BindingClass, registry
from bindserver.capture.sources import source_of
from bindserver.conf import conf
from bindserver.database.diagnosis import explained
from bindserver.exceptions import BindserverError, UnknownEvent
from bindserver.queries.tables import columns_told, read_whole, unshared

LISTS = "show the bindings there are"


def listed_lines() -> Iterator[str]:
    """Yield what there is to say of all bindings, of what changes are learned from, and where
    clients connect."""
    for binding in registry.all():
        yield from _lines(binding)
    for alias in registry.aliases():
        yield f"capture on {alias}: {_capture(alias)}"
    yield f"WebSocket: {conf.WEBSOCKET_PATH}"


def demand_event(event: str) -> None:
    """See that a binding has an event.

    Raises:
        CommandError: none has; the message names those there are.
    """
    try:
        registry.find(event)
    except UnknownEvent:
        known = ", ".join(sorted(binding.event or "" for binding in registry.published()))
        told = f"There are: {known}." if known else "No binding has any."
        raise CommandError(f"No binding has the event {event!r}. {told}") from None


def _lines(binding: BindingClass) -> Iterator[str]:
    event = binding.event or "(not published)"
    params = ", ".join(sorted(binding.params)) or "none"
    model = model_of(binding)._meta.label
    yield (
        f"{event}: {binding.__module__}.{binding.__name__} of {model}, params: {params}"
        f"{_elsewhere(binding)}{_address(binding)}"
    )
    if (rows := columns_told(binding)) is not None:
        yield f"  rows of columns: {rows}"
    for why in unshared(binding):
        yield f"  each subscriber has a view of their own: {why}"
    if (whole := read_whole(binding)) is not None:
        yield f"  read whole at each change that touches it: {whole}"


def _elsewhere(binding: BindingClass) -> str:
    """Return on which database a binding is, if not on the usual one."""
    return f", database: {binding.using}" if binding.using else ""


def _address(binding: BindingClass) -> str:
    """Return where HTTP serves a binding, if anywhere."""
    if binding.event is None:
        return ""
    try:
        return f", HTTP: {reverse('bindserver:snapshot', args=[binding.event])}"
    except NoReverseMatch:  # the project does not include our routes
        return ""


def _capture(alias: str) -> str:
    """Return the name of a database's capture, or why there is none."""
    if alias not in connections:
        return "there is no such database in DATABASES"
    try:
        with explained(alias):
            return source_of(connections[alias]).name
    except (BindserverError, DatabaseError) as problem:
        return f"none ({problem})"
