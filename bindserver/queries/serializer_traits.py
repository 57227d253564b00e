"""What can be told of a serializer by looking at it: whether it is made of DRF's own code alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.db.models import CharField, IntegerField
from rest_framework import serializers
from rest_framework.settings import api_settings

from bindserver.bindings.columns import ColumnsRow
from bindserver.bindings.row_keys import format_of
from bindserver.user_code import contained

REQUEST_FIELDS = (serializers.FileField, serializers.HyperlinkedRelatedField)
"""Fields that write addresses, which begin with the request's host."""

OWN_TYPE_FIELDS = (
    serializers.ModelField,
    serializers.MultipleChoiceField,
    serializers.ReadOnlyField,
    serializers.SerializerMethodField,
    serializers.SlugRelatedField,
)
"""Fields whose values may be of any type of Python's."""

Field = serializers.Field[Any, Any, Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What can be told of a serializer by looking at it.

    Attributes:
        listed: whether DRF's own list serializer renders many of it.
        fits: whether it may render without a request at all.
        own: whether it is made of DRF's own fields alone, so that it surely does.
        faithful: whether its values are JSON's, so that reading its text again gives them back.
        fields: the names of its fields.
    """

    listed: bool
    fits: bool
    own: bool
    faithful: bool
    fields: frozenset[str]


@lru_cache(maxsize=256)
def traits_of(serializer_class: type[serializers.BaseSerializer[Any]]) -> Traits:
    """Look at a serializer."""
    try:
        with contained():
            serializer: Any = serializer_class()
            fields = list(_walk(serializer))
            listed = type(serializer_class(many=True)) is serializers.ListSerializer
            names = frozenset(
                serializer.columns
                if isinstance(serializer, ColumnsRow)
                else getattr(serializer, "fields", {})
            )
    except Exception:  # it is code of the project's own, and may well need its context here
        return Traits(listed=False, fits=False, own=False, faithful=False, fields=frozenset())
    return Traits(
        listed=listed,
        fits=not any(isinstance(field, REQUEST_FIELDS) for field in fields),
        own=is_own(serializer),
        faithful=all(_is_faithful(field) for field in fields),
        fields=names,
    )


def is_own(serializer: Any) -> bool:
    """Return whether a serializer is made of DRF's own fields alone, down to the last one in it."""
    return all(_is_own(field) for field in _walk(serializer))


def _walk(field: Any) -> Iterator[Any]:
    yield field
    for inner in getattr(field, "fields", {}).values():
        if not inner.write_only:
            yield from _walk(inner)
    for name in ("child", "child_relation"):
        inner = getattr(field, name, None)
        if inner is not None:
            yield from _walk(inner)


def _is_own(field: Any) -> bool:
    """Return whether no code of the project's own renders a field."""
    if isinstance(field, serializers.SerializerMethodField):
        return False
    if isinstance(field, ColumnsRow):
        return True
    if not isinstance(field, serializers.BaseSerializer):
        return type(field).__module__.startswith("rest_framework.")
    return all(
        cls.__module__.startswith("rest_framework.")
        or not any(callable(value) or hasattr(value, "__get__") for value in _code_in(cls))
        for cls in type(field).__mro__[:-1]
    )


def _code_in(cls: type) -> Iterator[Any]:
    for name, value in vars(cls).items():
        validates = name.startswith("validate") or name in ("create", "update", "save")
        if not isinstance(value, type) and not validates:
            yield value


def _is_faithful(field: Any) -> bool:
    """Return whether reading the JSON text of a field's value gives the value back."""
    if isinstance(field, ColumnsRow):
        return False  # its values may be of any type of Python's
    if isinstance(field, serializers.BaseSerializer | serializers.ManyRelatedField):
        return True  # what is in it is looked at too
    if isinstance(field, OWN_TYPE_FIELDS) or not type(field).__module__.startswith(
        "rest_framework."
    ):
        return False
    if isinstance(field, serializers.PrimaryKeyRelatedField):
        related: Any = field
        queryset = related.queryset
        key = queryset.model._meta.pk if queryset is not None else None
        return field.pk_field is None and isinstance(key, IntegerField | CharField)
    if isinstance(field, serializers.DecimalField):
        return bool(getattr(field, "coerce_to_string", api_settings.COERCE_DECIMAL_TO_STRING))
    return format_of(field) is not None
