"""Checks of what a binding takes and sends: its params, fields and serializer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured
from rest_framework import serializers

from bindserver.bindings.binding import (
    SAY,
    UNSAID,
    Binding,
    declared_columns,
    is_sent,
    model_of,
)
from bindserver.bindings.columns import serializer_for
from bindserver.bindings.model_serializers import plain_serializer
from bindserver.bindings.params import RESERVED_NAMES, field_of
from bindserver.bindings.registry import BindingClass
from bindserver.exceptions import BindingError


def check_params(binding: BindingClass) -> Iterator[CheckMessage]:
    """Check the params that a binding declares."""
    if not isinstance(binding.params, dict):
        yield Error(
            f"{binding.__name__}.params is a dict of names and fields.",
            hint='For example {"category": serializers.IntegerField(required=False)}.',
            obj=binding,
            id="bindserver.E010",
        )
        return
    for name, declared in binding.params.items():
        if name in RESERVED_NAMES:
            yield Error(
                f"{binding.__name__} has a param named {name!r}, which URLs use otherwise.",
                hint=f"None of these: {', '.join(sorted(RESERVED_NAMES))}.",
                obj=binding,
                id="bindserver.E011",
            )
        try:
            field_of(declared)
        except TypeError as problem:
            yield Error(
                f"{binding.__name__}.params[{name!r}]: {problem}.",
                hint='For example {"category": serializers.IntegerField(required=False)}.',
                obj=binding,
                id="bindserver.E012",
            )


def check_serializer(binding: BindingClass) -> Iterator[CheckMessage]:
    """Check that a binding says once which fields are sent, and that DRF can make it."""
    if binding.fields is not None and binding.serializer_class is not None:
        yield Error(
            f"{binding.__name__} has both fields and a serializer_class.",
            hint="Keep one of them.",
            obj=binding,
            id="bindserver.E007",
        )
        return
    overridden = binding.get_serializer_class is not Binding.get_serializer_class
    if binding.fields is None and binding.serializer_class is None and not overridden:
        if is_sent(binding) and not _names_columns(binding):
            yield Error(
                UNSAID.format(binding.__name__), hint=SAY, obj=binding, id="bindserver.E008"
            )
        return
    yield from _check_fields(binding)


def _names_columns(binding: BindingClass) -> bool:
    """Return whether somebody has named the columns of rows that are no model instances."""
    declared = declared_columns(binding)
    return binding.aggregate is not None or (declared is not None and declared[1])


def _check_fields(binding: BindingClass) -> Iterator[CheckMessage]:
    named = binding.fields is None or isinstance(binding.fields, list | tuple)
    if not named and binding.fields != "__all__":
        problem = f'{binding.__name__}.fields is a list of names, or "__all__".'
    else:
        problem = _serializer_problem(binding)
    if problem:
        yield Error(
            problem,
            hint="Name fields of the model, as in a DRF ModelSerializer.",
            obj=binding,
            id="bindserver.E009",
        )


def _serializer_problem(binding: BindingClass) -> str:
    """Return why a binding's serializer cannot be made, or nothing."""
    cls: Any = binding.serializer_class
    if cls is not None and not (
        isinstance(cls, type) and issubclass(cls, serializers.BaseSerializer)
    ):
        return f"{binding.__name__}.serializer_class is no DRF serializer."
    if binding.fields is None:
        return ""
    try:
        if (declared := declared_columns(binding)) is not None:
            _ = serializer_for(declared[0], binding.fields, said=True)
            return ""
        _ = plain_serializer(model_of(binding), binding.fields)().fields
    except (AssertionError, BindingError, TypeError, ValueError, ImproperlyConfigured) as problem:
        # DRF goes on with the name of a class that we have made, and nobody has written.
        return f"{binding.__name__}.fields: {str(problem).partition(' in `')[0].rstrip('.')}."
    return ""
