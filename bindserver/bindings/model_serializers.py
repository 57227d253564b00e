"""Serializers made from the names of a model's fields."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from django.db.models import Model
from rest_framework import serializers

from bindserver.bindings.columns import PLAIN

SERIALIZERS_KEPT = 1000
"""How many serializers that were made of plain fields are kept, to be made once."""


def says_fields(serializer_class: type[Any]) -> bool:
    """Return whether somebody has said which fields a serializer has; `every_field` has not."""
    return not getattr(serializer_class, "bindserver_unsaid", False)


@functools.lru_cache(maxsize=SERIALIZERS_KEPT)
def every_field(model: type[Model]) -> type[serializers.ModelSerializer[Any]]:
    """Return a `ModelSerializer` of all fields, for a binding that has not said which."""
    body = {"bindserver_unsaid": True, PLAIN: (model, "__all__")}
    return type(f"{model.__name__}Row", (plain_serializer(model, "__all__"),), body)


def plain_serializer(
    model: type[Model], fields: Sequence[str] | str
) -> type[serializers.ModelSerializer[Any]]:
    """Return a `ModelSerializer` of the model's named fields, or of "__all__"; always the same."""
    return _plain_serializer(model, tuple(fields) if isinstance(fields, list) else fields)


@functools.lru_cache(maxsize=SERIALIZERS_KEPT)
def _plain_serializer(
    model: type[Model], fields: Sequence[str] | str
) -> type[serializers.ModelSerializer[Any]]:
    meta = type("Meta", (), {"model": model, "fields": fields})
    body = {"Meta": meta, PLAIN: (model, fields)}
    return type(f"{model.__name__}Row", (serializers.ModelSerializer,), body)
