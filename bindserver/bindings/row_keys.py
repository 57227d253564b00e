"""Which field of a row holds its primary key, as clients are told; and rows that lack it get it.

A row's own fields say what the serializer says, whatever their names are. So a field holds the key
only if it renders the primary key itself, so that no two keys look alike; else the key is added,
under a name that no field has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from django.db.models import (
    BooleanField,
    CharField,
    DecimalField,
    FloatField,
    IntegerField,
    Model,
    TextField,
    UUIDField,
)
from rest_framework import ISO_8601, serializers
from rest_framework.settings import api_settings

from bindserver.engine.changes import Key
from bindserver.engine.protocol import SAFE_INTEGER
from bindserver.exceptions import BindingError

NEVER = (
    serializers.BaseSerializer,
    serializers.DictField,
    serializers.FileField,
    serializers.ListField,
    serializers.ManyRelatedField,
    serializers.MultipleChoiceField,
    serializers.RelatedField,
    serializers.SerializerMethodField,
)
"""Fields that do not render a key, or two keys alike; but for those of related keys."""

NUMBERS: dict[type, type] = {
    serializers.BooleanField: BooleanField,
    serializers.DecimalField: DecimalField,
    serializers.FloatField: FloatField,
    serializers.IntegerField: IntegerField,
}
"""Fields that would leave a part of another column's values out."""

FORMATS: dict[type, str] = {
    serializers.DateTimeField: "DATETIME_FORMAT",
    serializers.DateField: "DATE_FORMAT",
    serializers.TimeField: "TIME_FORMAT",
}
"""Fields that may leave a part of a value out, and the settings that say how they write."""


class RowKey(NamedTuple):
    """The field of rows that holds their key.

    Attributes:
        name: its name.
        own: whether it is the serializer's own, and not added.
    """

    name: str
    own: bool

    def put(self, pk: Any, data: Any) -> tuple[Key, Mapping[str, Any]]:
        """Return a row's key on the wire, and the row with it.

        Args:
            pk: the primary key as Python has it.
            data: the row as the serializer renders it.

        Raises:
            BindingError: the row is no object, or what it has under the name is no key.
        """
        if not isinstance(data, Mapping):
            raise BindingError(
                f"A binding's serializer renders each row as a dict, not as {type(data).__name__}."
            )
        if self.name not in data:
            key = wire_key(pk)
            return key, {self.name: key, **data}
        said = data[self.name]
        key = wire_key(said)
        if said is None or (not self.own and key != wire_key(pk)):
            raise BindingError(
                f"A row's {self.name!r} is {said!r}, which is not its primary key {pk!r}. Leave "
                "the field as it is, or give the other one another name."
            )
        # Found by what it says itself, as a text or an integer that JavaScript can count.
        return key, data if key is said else {**data, self.name: key}


def wire_key(value: Any) -> Key:
    """Return a rendered primary key as the wire carries it."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= SAFE_INTEGER:
        return value
    return str(value)


def row_key(model: type[Model], serializer: Any) -> RowKey:
    """Return the field that holds the key in a serializer's rows.

    Raises:
        BindingError: it is not among them, and there is no name left to add it under.
    """
    fields: Mapping[str, Any] = getattr(serializer, "fields", {})
    named = [field.name for field in reversed(list(_chain(model)))]
    holders = [name for name, field in fields.items() if _holds_key(model, field)]
    if holders:
        return RowKey(next((name for name in named if name in holders), holders[0]), own=True)
    readable = {name for name, field in fields.items() if not field.write_only}
    for name in (*named, "pk"):
        if name not in readable:
            return RowKey(name, own=False)
    raise BindingError(
        f"{type(serializer).__name__} leaves the primary key of {model.__name__} out, and has "
        f"other fields named {', '.join(named)} and pk. Give one of them another name, or add "
        f'`key = ReadOnlyField(source="pk")`.'
    )


def names_of_key(model: type[Model]) -> list[str]:
    """Return the names that a model's primary key goes by, the outermost parent's first."""
    return [*[field.name for field in reversed(list(_chain(model)))], "pk"]


def field_named(serializer: Any, source: str, column: Any) -> str | None:
    """Return the name under which a serializer renders a column of a dict so that no two of its
    values look alike; None where it does not."""
    fields: Mapping[str, Any] = getattr(serializer, "fields", {})
    holders = [
        name
        for name, field in fields.items()
        if field.source == source and not field.write_only and _is_faithful(field, column)
    ]
    return source if source in holders else next(iter(holders), None)


def _chain(model: type[Model]) -> Iterator[Any]:
    """Yield a model's primary key, and after it those that are equal to it: a parent's, which a
    child with a table of its own has too."""
    field: Any = model._meta.pk
    yield field
    while field.remote_field is not None and field.remote_field.parent_link:
        field = field.remote_field.model._meta.pk
        yield field


def _holds_key(model: type[Model], field: Any) -> bool:
    if field.write_only:
        return False
    keys = list(_chain(model))
    if isinstance(field, serializers.PrimaryKeyRelatedField):
        related = {key.name for key in keys if key.is_relation}
        return field.source in related and field.pk_field is None and is_simple(keys[-1])
    attributes = {"pk"} | {key.attname for key in keys}
    return field.source in attributes and _is_faithful(field, keys[-1])


def _is_faithful(field: Any, column: Any) -> bool:
    """Return whether a field renders no two keys alike."""
    if isinstance(field, NEVER):
        return False
    if isinstance(field, serializers.ReadOnlyField | serializers.ModelField):
        return is_simple(column)
    column = _of_values(column)
    for kind, own in NUMBERS.items():
        if isinstance(field, kind):
            return isinstance(column, own) and _has_all_places(field, column)
    return bool(format_of(field) == ISO_8601)


def _has_all_places(field: Any, column: Any) -> bool:
    places = getattr(field, "decimal_places", None)
    return places is None or places >= column.decimal_places


def format_of(field: Any) -> Any:
    """Return how a field of dates or times writes them, as DRF calls it; of any other, the form
    that leaves nothing out."""
    for kind, setting in FORMATS.items():
        if isinstance(field, kind):
            return getattr(field, "format", getattr(api_settings, setting))
    return ISO_8601


def is_simple(column: Any) -> bool:
    """Return whether DRF writes a key's raw value as a text or a whole number, as the wire does,
    whatever its formats are."""
    return isinstance(_of_values(column), IntegerField | CharField | TextField | UUIDField)


def _of_values(column: Any) -> Any:
    """Return the column that says of which type a key's values are: a relation's is another's."""
    while column.is_relation:
        column = column.target_field
    return column
