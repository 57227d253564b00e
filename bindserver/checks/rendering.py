"""Checks of what a binding's rows are: whether they can be those that DRF would answer with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.core import checks
from django.core.checks import CheckMessage, Error
from rest_framework.serializers import Serializer

from bindserver.bindings.ambient import Ambient, read_by
from bindserver.bindings.binding import (
    Binding,
    alias_of,
    declared_columns,
    is_sent,
    model_of,
)
from bindserver.bindings.columns import serializer_for
from bindserver.bindings.model_serializers import plain_serializer
from bindserver.bindings.registry import BindingClass
from bindserver.bindings.row_keys import row_key
from bindserver.bindings.serializers import NoRequest
from bindserver.database.routers import elsewhere, say_using
from bindserver.exceptions import BindingError
from bindserver.queries.listed import list_serializer_of, renders_singly, why_listed


def check_database(binding: BindingClass) -> Iterator[CheckMessage]:
    """Check that a binding follows the database that its rows are read from."""
    model = model_of(binding)
    if binding.get_queryset is not Binding.get_queryset:
        queryset = model._base_manager.all()  # what the method says is seen when it is called
    elif binding.queryset is not None:
        queryset = binding.queryset
    else:
        queryset = model._default_manager.all()
    other = elsewhere(queryset, binding.using)
    if other is not None:
        yield Error(
            f"{binding.__name__} follows {alias_of(binding)!r}, and the rows of "
            f"{model.__name__} are read from {other!r}.",
            hint=say_using(other),
            obj=binding,
            id="bindserver.E041",
        )


def check_thread(binding: BindingClass) -> Iterator[CheckMessage]:
    """Check that what is published does not depend on what middleware sets for a request."""
    if is_sent(binding) and Ambient.STATE in read_by(binding, model_of(binding)):
        yield checks.Warning(
            f"{binding.__name__}, its serializer or its model's manager reads what a thread or a "
            "task has of its own, such as a tenant that middleware has set.",
            hint="The server's threads have none: what is served then without one, each subscriber "
            "is sent. Filter by self.user, self.auth or self.params.",
            obj=binding,
            id="bindserver.W053",
        )


def check_passwords(binding: BindingClass) -> Iterator[CheckMessage]:
    """Check that no users' password hashes are sent that nobody has named."""
    if not is_sent(binding):
        return
    for part in _serializers_in(_serializer_of(binding)):
        model, field = _model_of(part), part.fields.get("password")
        if model is None or not issubclass(model, AbstractBaseUser) or not _is_by_depth(type(part)):
            continue
        if field is not None and not field.write_only:
            yield Error(
                f"{binding.__name__} sends the password hashes of {model.__name__}: `depth` takes "
                "every column of related rows.",
                hint="Name a serializer for them, with the fields that are to be sent.",
                obj=binding,
                id="bindserver.E054",
            )


def _model_of(serializer: Any) -> type[Any] | None:
    model = getattr(getattr(serializer, "Meta", None), "model", None)
    return model if isinstance(model, type) else None


def _is_by_depth(kind: type[Any]) -> bool:
    """Return whether DRF has made a serializer, for `Meta.depth`."""
    return kind.__module__.startswith("rest_framework.")


def _serializers_in(serializer: Any) -> Iterator[Any]:
    """Yield a serializer and those in it."""
    waiting, seen = [serializer], set()
    while waiting:
        part = waiting.pop()
        if part is None or id(part) in seen:
            continue  # one may be handed down to its fields
        seen.add(id(part))
        waiting.append(getattr(part, "child", None))
        if isinstance(part, Serializer):
            yield part
            waiting += part.fields.values()


def check_list(binding: BindingClass) -> Iterator[CheckMessage]:
    """Check that lists of a binding's rows are rendered row by row."""
    cls = binding.serializer_class
    if cls is not None and not renders_singly(list_serializer_of(cls)):
        yield Error(
            f"{binding.__name__}: {why_listed(cls)}",
            hint="A list serializer that only validates or saves is allowed.",
            obj=binding,
            id="bindserver.E040",
        )


def check_key(binding: BindingClass) -> Iterator[CheckMessage]:
    """Check that there is a name for the primary key in a binding's rows."""
    serializer = _serializer_of(binding)
    if serializer is None or declared_columns(binding) is not None:
        return  # E060 tells of rows that are no model instances
    try:
        row_key(model_of(binding), serializer)
    except BindingError as problem:
        yield Error(
            f"{binding.__name__}: {problem}",
            hint="Clients tell rows apart by their key.",
            obj=binding,
            id="bindserver.E042",
        )


def _serializer_of(binding: BindingClass) -> Any:
    """Return a binding's serializer, None where only a subscriber's context can make it."""
    cls: Any = binding.serializer_class
    if cls is None:
        if binding.fields is None:
            return None
        if (declared := declared_columns(binding)) is not None:
            cls = serializer_for(declared[0], binding.fields, said=True)
        else:
            cls = plain_serializer(model_of(binding), binding.fields)
    try:
        serializer = cls(context=NoRequest())
        _ = getattr(serializer, "fields", {})
    except Exception:  # the project's code, which may well need its context; it is told when used
        return None
    return serializer
