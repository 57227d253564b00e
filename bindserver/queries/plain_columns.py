"""Serializers of plain fields, whose rows are read as columns, without model instances."""

from __future__ import annotations

from typing import Any

from django.db.models import Field, ForeignKey, Model
from rest_framework import serializers

from bindserver.queries.evaluation import is_bare, is_own_column

PLAIN_FIELDS = frozenset(
    {
        serializers.BooleanField,
        serializers.CharField,
        serializers.ChoiceField,
        serializers.DateField,
        serializers.DateTimeField,
        serializers.DecimalField,
        serializers.DurationField,
        serializers.EmailField,
        serializers.FloatField,
        serializers.IntegerField,
        serializers.IPAddressField,
        serializers.JSONField,
        serializers.PrimaryKeyRelatedField,
        serializers.SlugField,
        serializers.TimeField,
        serializers.URLField,
        serializers.UUIDField,
        getattr(serializers, "BigIntegerField", serializers.IntegerField),  # since DRF 3.17
    }
)


def plain_columns(
    model: type[Model], serializer: Any
) -> list[tuple[str, str, serializers.Field[Any, Any, Any, Any] | None]] | None:
    """Return (name, column, serializer field) of a serializer that needs no model instances."""
    if type(serializer).to_representation is not serializers.Serializer.to_representation:
        return None
    if not is_bare(model):
        return None
    concrete = {field.name: field for field in model._meta.concrete_fields}
    columns = []
    for name, field in serializer.fields.items():
        column = concrete.get(field.source)
        if field.write_only or column is None or not _is_plain(field, column):
            return None
        if not is_own_column(model, column.attname):
            return None
        related = isinstance(field, serializers.PrimaryKeyRelatedField)
        columns.append((name, column.attname, None if related else field))
    return columns


def _is_plain(field: serializers.Field[Any, Any, Any, Any], column: Field[Any, Any]) -> bool:
    own = type(column).__module__.startswith("django.db.models.fields")
    if type(field) not in PLAIN_FIELDS or not own:
        return False
    if isinstance(field, serializers.PrimaryKeyRelatedField):
        return (
            field.pk_field is None
            and isinstance(column, ForeignKey)
            and column.target_field.primary_key
        )
    return not column.is_relation
