"""From database rows to the JSON text that is sent, by DRF's serializers.

Plain `fields` of Django's own types are read with `values_list` and rendered by the serializer's
own fields, without model instances: the same text, several times faster.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, NamedTuple

from django.db.models import Model, QuerySet
from rest_framework import serializers

from bindserver.bindings.row_keys import row_key, wire_key
from bindserver.bindings.serializers import without_request
from bindserver.database.pacing import Pacer
from bindserver.engine.changes import Key
from bindserver.exceptions import BindingError
from bindserver.queries.evaluation import CHUNK_ROWS, has_columns, instances
from bindserver.queries.json_text import to_json
from bindserver.queries.listed import child_of
from bindserver.queries.plain_columns import plain_columns
from bindserver.queries.serializer_formats import describe, fields_of
from bindserver.queries.slots import ALL, Slot, Slots
from bindserver.queries.versions import fingerprint, loaded_beside
from bindserver.user_code import Leftovers

EVERYONE: tuple[Slot, ...] = ((),)
"""The slots of a row that nobody deals."""
Around = Callable[[Model], AbstractContextManager[Any]]
Read = Callable[[Sequence[str]], Iterable[Sequence[Any]]]
"""Returns some columns of rows, the columns by name."""


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
        self._plain = plain_columns(self._model, self.serializer)

    def _take(self, serializer_class: type[Any], context: Mapping[str, Any]) -> None:
        self._serializer_class = serializer_class
        self._context = without_request(context)
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
        return fields_of(self.serializer)

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
            return self.plain_rows(_columns_of(queryset), pacer, slots)
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

    def plain_rows(self, read: Read, pacer: Pacer, slots: Slots) -> Generator[Row, None, None]:
        """Yield rows of which nothing but columns is needed, as `rows` does.

        Args:
            read: reads these columns; the fields of its rows are DRF's, as `is_plain` says.
            pacer: as for `rows`.
            slots: the same.
        """
        columns = self._plain or ()
        wanted = [column for _, column, _ in columns]
        # Django names a column that is selected twice anew, after another one perhaps.
        names = list(dict.fromkeys([self._pk_name, *self._sort_columns, *slots.columns, *wanted]))
        places = {name: at for at, name in enumerate(names)}
        sorts = [places[name] for name in self._sort_columns]
        slotted = [places[name] for name in slots.columns]
        fields = [(name, places[column], field) for name, column, field in columns]
        for record in read(names):
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


def _columns_of(queryset: QuerySet[Any]) -> Read:
    return lambda names: queryset.values_list(*names).iterator(chunk_size=CHUNK_ROWS)


def _attributes(instance: Model, names: Sequence[str]) -> tuple[Any, ...]:
    return tuple([getattr(instance, name) for name in names])
