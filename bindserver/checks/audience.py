"""Checks of who is served, by which name, and by which session."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from channels.layers import get_channel_layer
from django.core import checks
from django.core.checks import CheckMessage, Error
from rest_framework.permissions import OperandHolder, SingleOperandHolder
from rest_framework.settings import api_settings

from bindserver.bindings.binding import alias_of
from bindserver.bindings.permissions import asks_about_objects
from bindserver.bindings.registry import BindingClass
from bindserver.database.sessions import switcher_of
from bindserver.engine.protocol import MAX_EVENT_LENGTH, RESERVED_EVENTS

OURS = "bindserver."
"""Begins the names of events that are the server's own, such as the inspector's."""

STREAM = "stream"
"""Where the address of a snapshot would be, there are event streams of several bindings."""

GROUP_NAME = re.compile(r"[a-zA-Z0-9\-_.]{1,99}")


def check_event(binding: BindingClass) -> Iterator[CheckMessage]:
    """Check the name that a binding has on the wire."""
    event: object = binding.event
    if event is None:
        return
    if (
        not isinstance(event, str)
        or not 0 < len(event) <= MAX_EVENT_LENGTH
        or event.startswith(("$", OURS))
        or "/" in event
        or event in RESERVED_EVENTS
        or event == STREAM
    ):
        yield Error(
            f"{binding.__name__}.event cannot be {event!r}.",
            hint='An event is a short name such as "products"; it has no slash, does not begin '
            'with "$" or "bindserver.", and is neither "stream" nor one of Socket.IO\'s own names.',
            obj=binding,
            id="bindserver.E003",
        )


def check_groups(binding: BindingClass) -> Iterator[CheckMessage]:
    """Check the channel-layer groups of a websocket view or a `WebsocketBinding`."""
    groups: Any = getattr(binding, "groups", ())
    group = getattr(binding, "group", None)
    if isinstance(groups, str) or not all(_names_group(name) for name in groups):
        yield Error(
            f"{binding.__name__}.groups cannot be {groups!r}.",
            hint='A list such as ["products"]: names of at most 99 letters, digits and "-_.".',
            obj=binding,
            id="bindserver.E030",
        )
    elif group is not None and not _names_group(group):
        yield Error(
            f"{binding.__name__}.group cannot be {group!r}.",
            hint='A name such as "products", of at most 99 letters, digits and "-_.".',
            obj=binding,
            id="bindserver.E030",
        )
    elif (groups or group) and get_channel_layer() is None:
        yield checks.Warning(
            f"{binding.__name__} has groups, and there is no channel layer to tell them.",
            hint="Set CHANNEL_LAYERS, or take the groups away.",
            obj=binding,
            id="bindserver.W030",
        )


def _names_group(name: object) -> bool:
    return isinstance(name, str) and GROUP_NAME.fullmatch(name) is not None


def check_permissions(binding: BindingClass) -> Iterator[CheckMessage]:
    """Check the permission classes, and that none is there for what it does not decide."""
    classes: object = binding.permission_classes
    if classes is None:
        classes = api_settings.DEFAULT_PERMISSION_CLASSES
    if not isinstance(classes, (list, tuple)) or not all(map(_is_permission, classes)):
        yield Error(
            f"{binding.__name__}.permission_classes is no list of permission classes.",
            hint="For example [IsAuthenticated], from rest_framework.permissions.",
            obj=binding,
            id="bindserver.E018",
        )
    elif binding.event is not None and asks_about_objects(classes):
        yield checks.Warning(
            f"{binding.__name__}: has_object_permission of a permission class filters no rows.",
            hint="Rows that a user may not see are left out by get_queryset().",
            obj=binding,
            id="bindserver.W002",
        )


def _is_permission(kind: object) -> bool:
    return isinstance(kind, (OperandHolder, SingleOperandHolder)) or (
        isinstance(kind, type) and hasattr(kind, "has_permission")
    )


def check_session(binding: BindingClass) -> Iterator[CheckMessage]:
    """Check that all who are served read the same database: the server reads as nobody."""
    alias = alias_of(binding)
    if binding.event is None and not binding.hears_messages():
        return  # Python's alone, which asks the caller's own connection
    if switcher := switcher_of(alias):
        yield Error(
            f"{binding.__name__} is served from database {alias!r}, where the {switcher} switches "
            "schemas: subscribers would be sent the rows of the schema that the server is in, "
            "whoever they are.",
            hint="Take its event away, and use `.all()` or a viewset: they ask the connection of "
            "whoever calls. Or name in `using` another alias of DATABASES with Django's own "
            "backend, whose search_path is fixed: one for each schema that is to be served.",
            obj=binding,
            id="bindserver.E050",
        )
