"""From database rows to the JSON text that is sent, by DRF's serializers.

Plain `fields` of Django's own types are read with `values_list` and rendered by the serializer's
own fields, without model instances: the same text, several times faster.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, NamedTuple

from django.db.models import Field, ForeignKey, Model, QuerySet
from rest_framework import serializers
from rest_framework.utils.encoders import JSONEncoder

from bindserver.bindings.binding import Binding, model_of
from bindserver.bindings.columns import PLAIN, has_dicts
from bindserver.bindings.row_keys import row_key, wire_key
from bindserver.bindings.serializers import NoRequest, context_of, serializer_of
from bindserver.database.pacing import Pacer
from bindserver.engine.changes import Key
from bindserver.engine.protocol import SAFE_INTEGER
from bindserver.exceptions import BindingError
from bindserver.queries.columns import Columns, told_apart
from bindserver.queries.evaluation import CHUNK_ROWS, has_columns, instances, is_bare, is_own_column
from bindserver.queries.identity import IdentityEncoder
from bindserver.queries.listed import child_of
from bindserver.queries.serializer_code import code_of
from bindserver.queries.shapes import ALL, Slot, Slots
from bindserver.queries.values import path_of
from bindserver.queries.versions import fingerprint, loaded_beside
from bindserver.user_code import Leftovers

EVERYONE: tuple[Slot, ...] = ((),)
"""The slots of a row that nobody deals."""
SUSPICIOUS = re.compile(r"\d{16}|NaN|Infinity")
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


Around = Callable[[Model], AbstractContextManager[Any]]


def alone(instance: Model) -> AbstractContextManager[Any]:
    """Return nothing that is around what renders a row."""
    return nullcontext()


class Row(NamedTuple):
    """One row, read and rendered.

    Attributes:
        pk: the primary key as Python has it.
        key: the same on the wire.
        text: the row as JSON text; for a model instance, its fingerprint.
        sort: the values of the sort columns.
        slot: the slot that it belongs to.
        instance: the model instance, or the dict of columns, where that is what is wanted.
    """

    pk: Any
    key: Key
    text: str
    sort: tuple[Any, ...]
    slot: Slot = ()
    instance: Any = None


class Renderer:
    """Renders the rows of one view.

    Args:
        model: the view's model.
        serializer_class: what renders its rows.
        context: the serializer's context.
        sort_columns: attribute names of model fields whose values each row brings along.

    Attributes:
        serializer: what renders its rows; it may remember what it has seen.
        leftovers: what its rows leave set for one another, of all renderers that are made anew.
    """

    def __init__(
        self,
        model: type[Model],
        serializer_class: type[serializers.BaseSerializer[Any]],
        context: Mapping[str, Any],
        sort_columns: Sequence[str],
    ) -> None:
        self._model = model
        self._pk_name: str = model._meta.pk.attname
        self._sort_columns = tuple(sort_columns)
        self.leftovers = Leftovers()
        self._declare(serializer_class, context)

    def _declare(self, serializer_class: type[Any], context: Mapping[str, Any]) -> None:
        """Make the serializer, and see which fields it has: that is as lasting as its class."""
        self._take(serializer_class, context)
        self._row_key = row_key(self._model, self.serializer)
        self._context.insist()
        self.key = self._row_key.name
        self._plain = _plain_columns(self._model, self.serializer)

    def _take(self, serializer_class: type[Any], context: Mapping[str, Any]) -> None:
        self._serializer_class = serializer_class
        self._context = _guarded(context)
        self.serializer: Any = child_of(serializer_class, self._model, self._context.handed())

    def is_plain(self) -> bool:
        """Return whether rows are rendered by fields of DRF's alone, which remember nothing."""
        return self._plain is not None

    def anew(self, serializer_class: type[Any], context: Mapping[str, Any]) -> Renderer:
        """Return a renderer of the same rows whose serializer has not rendered anything yet.

        Raises:
            BindingError: another class than before calls the key by another name.
        """
        twin = copy.copy(self)
        if serializer_class is self._serializer_class:
            twin._take(serializer_class, context)
        else:
            twin._declare(serializer_class, context)
        if twin.key != self.key:
            raise BindingError(
                f"get_serializer_class() returns serializers that call the key {self.key!r} now "
                f"and {twin.key!r} then: decide that by nothing but what is in the database."
            )
        return twin

    def row_format(self) -> list[Any]:
        """Return what the rows look like, as `describe` tells it."""
        return describe(self.serializer)

    def fields(self) -> list[Any]:
        """Return which fields rows have: of one class, serializers may have others each time."""
        return _fields_of(self.serializer)

    def rows(
        self,
        queryset: QuerySet[Any],
        pacer: Pacer,
        slots: Slots = ALL,
        during: Around = alone,
    ) -> Generator[Row, None, None]:
        """Yield the queryset's rows in its order, pausing as `pacer` says.

        Args:
            queryset: the rows.
            pacer: rests, and stops what takes too long.
            slots: which of them are wanted; others are read, and not rendered.
            during: is given each row's instance, and is around what renders it.
        """
        if self._plain is not None and has_columns(queryset):
            return self._plain_rows(queryset, pacer, slots, self._plain)
        return self._model_rows(queryset, pacer, slots, during)

    def narrowed(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return a queryset with those columns alone that `rows` reads of it."""
        if self._plain is None or not has_columns(queryset):
            return queryset
        names = [self._pk_name, *self._sort_columns, *(column for _, column, _ in self._plain)]
        return queryset.values_list(*dict.fromkeys(names))

    def _model_rows(
        self, queryset: QuerySet[Any], pacer: Pacer, slots: Slots, during: Around
    ) -> Generator[Row, None, None]:
        whose = self._serializer_class.__name__
        for instance in instances(queryset):
            found = slots.take(instance) if slots.columns else EVERYONE
            if found:
                sort = _attributes(instance, self._sort_columns)
                render = partial(self._rendered, instance, sort)
                with during(instance):
                    row = self.leftovers.render(render, whose)
                yield from (row._replace(slot=slot) for slot in found)
            pacer.pause()

    def _rendered(self, instance: Model, sort: tuple[Any, ...]) -> Row:
        data = self.serializer.to_representation(instance)
        return self._row(instance.pk, data, sort)

    def _plain_rows(
        self,
        queryset: QuerySet[Any],
        pacer: Pacer,
        slots: Slots,
        columns: Sequence[tuple[str, str, serializers.Field[Any, Any, Any, Any] | None]],
    ) -> Generator[Row, None, None]:
        wanted = [column for _, column, _ in columns]
        # Django names a column that is selected twice anew, after another one perhaps.
        names = list(dict.fromkeys([self._pk_name, *self._sort_columns, *slots.columns, *wanted]))
        places = {name: at for at, name in enumerate(names)}
        sorts = [places[name] for name in self._sort_columns]
        slotted = [places[name] for name in slots.columns]
        fields = [(name, places[column], field) for name, column, field in columns]
        for record in queryset.values_list(*names).iterator(chunk_size=CHUNK_ROWS):
            found = slots.find(tuple([record[at] for at in slotted]))
            if found:
                data = {
                    name: record[at]
                    if record[at] is None or field is None
                    else field.to_representation(record[at])
                    for name, at, field in fields
                }
                row = self._row(record[0], data, tuple([record[at] for at in sorts]))
                yield from (row._replace(slot=slot) for slot in found)
            pacer.pause()

    def _row(self, pk: Any, data: Any, sort: tuple[Any, ...]) -> Row:
        key, row = self._row_key.put(pk, data)
        text = to_json(row)
        self._context.insist()
        return Row(pk, key, text, sort)


class ModelRenderer:
    """Gives the rows of one view as model instances, for Python.

    Args:
        model: the view's model.
        sort_columns: attribute names of model fields whose values each row brings along.

    Attributes:
        leftovers: nothing; instances leave nothing set.
    """

    def __init__(self, model: type[Model], sort_columns: Sequence[str]) -> None:
        self.key = model._meta.pk.name
        self.leftovers = Leftovers()
        self._sort_columns = tuple(sort_columns)

    def rows(
        self,
        queryset: QuerySet[Any],
        pacer: Pacer,
        slots: Slots = ALL,
        during: Around = alone,
    ) -> Generator[Row, None, None]:
        """Yield the queryset's rows in its order, as `Renderer.rows` does."""
        beside = loaded_beside(queryset)
        for instance in instances(queryset):
            found = slots.take(instance) if slots.columns else EVERYONE
            if found:
                sort = _attributes(instance, self._sort_columns)
                text = fingerprint(instance, beside)
                for slot in found:
                    yield Row(instance.pk, wire_key(instance.pk), text, sort, slot, instance)
            pacer.pause()


def _attributes(instance: Model, names: Sequence[str]) -> tuple[Any, ...]:
    return tuple([getattr(instance, name) for name in names])


_ENCODER = JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_ASCII_ENCODER = JSONEncoder(ensure_ascii=True, separators=(",", ":"))


def to_json(data: Any) -> str:
    """Return rendered data as JSON text that every client reads alike.

    Integers beyond ±(2**53 - 1) become strings, NaN and infinities null.
    """
    text = _ENCODER.encode(data)
    if SUSPICIOUS.search(text):
        text = _ENCODER.encode(json.loads(text, parse_int=_safe_int, parse_constant=_null))
    if not text.isascii() and not _has_utf8(text):
        text = _ASCII_ENCODER.encode(json.loads(text))
    return text


def _has_utf8(text: str) -> bool:
    """Return whether the text can be sent; half a surrogate pair, which JSON can hold, cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _safe_int(text: str) -> int | str:
    number = int(text)
    return number if abs(number) <= SAFE_INTEGER else text


def _null(_: str) -> None:
    return None


def _plain_columns(
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


def _guarded(context: Mapping[str, Any]) -> NoRequest:
    return context if isinstance(context, NoRequest) else NoRequest(context)


def key_name(binding: Binding[Any]) -> str:
    """Return the name of the row field that holds a binding's key."""
    model, columns = model_of(binding), _columns_declared(binding)
    context = _guarded(context_of(binding))
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


def serializer_identity(
    encoder: IdentityEncoder, serializer_class: type[serializers.BaseSerializer[Any]]
) -> Any:
    """Return what is equal for one and the same serializer class: one that is made anew, by its
    binding or by a function, is another. Those of plain fields are what their fields are."""
    plain = vars(serializer_class).get(PLAIN)
    if plain is not None:
        return ["plain", encoder.encode(plain, "fields")]
    return encoder.code(serializer_class, "the serializer class")


def describe(serializer: Any, above: tuple[Any, ...] = ()) -> list[Any]:
    """Return what a serializer's rows look like, as far as its declaration tells.

    It is a part of a view's fingerprint: a deploy that changes the rows' format makes old cursors
    worthless.

    Args:
        serializer: a serializer, or a field of one.
        above: those that are being described: one that is handed down to a field, as its parent,
            has its place there.
    """
    if any(serializer is other for other in above):
        return [path_of(type(serializer))]
    above = (*above, serializer)
    described: list[Any] = [path_of(type(serializer)), _arguments_of(serializer, above)]
    for name in ("child", "child_relation"):
        child = getattr(serializer, name, None)
        if child is not None:
            described.append(describe(child, above))
    for name, field in getattr(serializer, "fields", {}).items():
        described.append([name, str(field.source), describe(field, above)])
    kind: Any = type(serializer)
    code = code_of(kind)
    return [*described, code] if code else described


def _fields_of(serializer: Any) -> list[Any]:
    """Return a serializer's fields, all through: names, sources and classes."""
    inside = [getattr(serializer, name, None) for name in ("child", "child_relation")]
    named = getattr(serializer, "fields", {}).items()
    return [
        path_of(type(serializer)),
        [_fields_of(field) for field in inside if field is not None],
        [[name, str(field.source), field.write_only, _fields_of(field)] for name, field in named],
    ]


WRITING = frozenset(
    {
        "allow_blank",
        "allow_empty",
        "allow_null",
        "child",
        "child_relation",
        "choices",
        "context",
        "data",
        "default",
        "error_messages",
        "help_text",
        "initial",
        "instance",
        "label",
        "many",
        "max_length",
        "max_value",
        "min_length",
        "min_value",
        "partial",
        "queryset",
        "read_only",
        "required",
        "source",
        "style",
        "validators",
        "write_only",
    }
)
"""Arguments of serializer fields that are about what is written, or told by other means."""


def _arguments_of(field: Any, above: tuple[Any, ...]) -> list[Any]:
    """Return the arguments of a field by which it renders."""
    encoder = IdentityEncoder()
    given = getattr(field, "_kwargs", {})
    kept = {name: given[name] for name in sorted(given) if name not in WRITING}
    fields = [
        [name, describe(kept.pop(name), above)]
        for name, value in list(kept.items())
        if isinstance(value, serializers.Field)
    ]
    return [encoder.encode(list(getattr(field, "_args", ()))), encoder.items(kept), fields]


def attributes_of(serializer: Any) -> list[Any]:
    """Return what the project's own classes of a serializer and of its fields have as attributes
    now: code that runs may have put others there since. It is the same in this process alone."""
    bases = {base: None for kind in _classes_in(serializer) for base in kind.__mro__}
    return [
        [path_of(base), name, _attribute(member)]
        for base in bases
        if not path_of(base).startswith(LIBRARIES)
        for name, member in sorted(vars(base).items())
        if not name.startswith("__") and name not in ("Meta", "_declared_fields")
    ]


LIBRARIES = ("abc.", "bindserver.", "builtins.", "rest_framework.", "typing.")
"""Where classes are that nobody changes while they are used."""


def _classes_in(serializer: Any) -> dict[type, None]:
    """Return the classes of a serializer, of what is in it, and what `Meta` they have."""
    found: dict[type, None] = {}
    waiting, seen = [serializer], set()
    while waiting:
        part = waiting.pop()
        if part is None or id(part) in seen:
            continue  # a serializer may be handed down to its fields
        seen.add(id(part))
        metas = (vars(cls).get("Meta") for cls in type(part).__mro__)
        found |= dict.fromkeys([type(part), *filter(None, metas)])
        waiting += getattr(part, "fields", {}).values()
        waiting += [getattr(part, name, None) for name in ("child", "child_relation")]
    return found


def _attribute(member: Any) -> Any:
    """Return what is equal for one and the same attribute of a class."""
    if isinstance(member, property):
        return [_attribute(code) for code in (member.fget, member.fset, member.fdel)]
    member = getattr(member, "__func__", member)
    return [path_of(type(member)), IdentityEncoder().encode(member)]
