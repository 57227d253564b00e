"""How long things live: what one read of a view has, the next must not find.

DRF makes a serializer and its context for each request, so a project's own may remember whatever
they like. Here each load and each step is such a request: it has a serializer, a context, and
copies of all instances that its query carries along, which nothing has been kept in yet.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from django.db.models import Prefetch, QuerySet
from django.db.models.base import Model
from rest_framework import serializers

from bindserver.bindings.binding import Binding
from bindserver.bindings.model_rows import ATOMS, Memo, copy_of
from bindserver.bindings.serializers import NoRequest, context_of, held_in, serializer_of
from bindserver.queries.columns import Columns
from bindserver.queries.identity import IdentityEncoder
from bindserver.queries.internals import known_instances, prefetches_of
from bindserver.queries.untouched import with_own_hints
from bindserver.queries.values import unwrapped

SerializerClass = type[serializers.BaseSerializer[Any]]
Context = Mapping[str, Any]


class SerializerChoice:
    """Which serializer renders a query's rows, and in which context: asked anew for each read.

    Args:
        binding: in the context of whoever asks for the query.
        pristine: the same, before anything was asked of it.
        alias: the query's database.
        columns: what the rows have, where they are no model instances.

    Attributes:
        serializer_class: the first answer.
        context: the same; nobody but this object sees it.
        shared: whether others have been proved to be sent the same, by the first answer. Then an
            answer that is another one by now is not theirs: the first one holds for all, until
            what the binding has read has changed and it is asked again.
        strayed: whether rows have been read by another answer than the first one, by which it is
            told whom they may be shared with.
    """

    def __init__(
        self,
        binding: Binding[Any],
        pristine: Binding[Any],
        alias: str,
        columns: Columns | None = None,
    ) -> None:
        self._columns = columns
        self.serializer_class: SerializerClass = self._serializer_of(binding)
        self.context: Context = context_of(binding)
        self.shared = self.strayed = False
        self._pristine = pristine
        self._alias = alias

    def _serializer_of(self, binding: Binding[Any]) -> SerializerClass:
        columns = self._columns
        return serializer_of(binding, None if columns is None else (columns.names, columns.said))

    def encoded(self, encoder: IdentityEncoder) -> Any:
        """Return the context as plain data."""
        return _encoded(self.context, encoder)

    def first(self) -> tuple[SerializerClass, Context]:
        """Return the first answer, with a context that nothing was kept in yet."""
        return self.serializer_class, fresh(self.context)

    def anew(self, *, together: bool = False) -> tuple[SerializerClass, Context]:
        """Return the serializer's class and context for one read.

        Args:
            together: whether rows of others are read too, who were proved to be sent the same.
        """
        binding = self._pristine.unasked()
        serializer_class = self._serializer_of(binding)
        context = context_of(binding)
        if not self._is_first(serializer_class, context):
            if self.shared or together:
                return self.first()
            self.strayed = True
        return serializer_class, fresh(context)

    def _is_first(self, serializer_class: SerializerClass, context: Context) -> bool:
        """Return whether an answer is surely the same as the first one."""
        return serializer_class is self.serializer_class and _encoded(
            context, IdentityEncoder(self._alias)
        ) == self.encoded(IdentityEncoder(self._alias))

    def says_all(self) -> bool:
        """Return whether the context is plain data, which is the same when it is equal."""
        return is_data(held_in(self.context))


def _encoded(context: Context, encoder: IdentityEncoder) -> Any:
    return encoder.items(held_in(context), "context")


def fresh(value: Any, memo: Memo | None = None) -> Any:
    """Return a copy of a context, or of a value in one: of all that a read may leave something in
    which another would find. What is of an unknown kind stays what it is."""
    memo = {} if memo is None else memo
    value = unwrapped(value)
    if isinstance(value, Model):
        return copy_of(value, memo)
    if isinstance(value, QuerySet):
        return _fresh_queryset(value, memo)
    if type(value) in (list, tuple, set, frozenset):
        return type(value)([fresh(item, memo) for item in value])
    if isinstance(value, NoRequest):
        return value.holding(fresh(value.held(), memo))
    if isinstance(value, dict):
        twin = copy.copy(value)
        for name, item in dict.items(value):
            dict.__setitem__(twin, name, fresh(item, memo))
        return twin
    return value


def _fresh_queryset(queryset: QuerySet[Any], memo: Memo) -> QuerySet[Any]:
    """Return a queryset that has the same rows, or that will read them once more."""
    twin: Any = renewed(queryset.all(), memo)
    if queryset._result_cache is not None:
        twin._result_cache = fresh(queryset._result_cache, memo)
        twin._prefetch_done = True
    done: QuerySet[Any] = twin
    return done


def renewed(queryset: QuerySet[Any], memo: Memo | None = None) -> QuerySet[Any]:
    """Return a queryset for one read, with copies of the instances that it carries along."""
    known, lookups = known_instances(queryset), prefetches_of(queryset)
    if not known and all(isinstance(item, str) for item in lookups):
        return queryset
    memo = {} if memo is None else memo
    twin: Any = queryset.all()
    twin._known_related_objects = {
        field: {key: copy_of(instance, memo) for key, instance in instances.items()}
        for field, instances in known.items()
    }
    twin._prefetch_related_lookups = tuple([_renewed_lookup(item, memo) for item in lookups])
    again: QuerySet[Any] = twin
    return again


def _renewed_lookup(lookup: Any, memo: Memo) -> Any:
    if not isinstance(lookup, Prefetch):
        return lookup
    twin: Any = copy.copy(lookup)
    if lookup.queryset is not None:
        twin.queryset = with_own_hints(renewed(lookup.queryset, memo))
    if hasattr(lookup, "querysets"):  # a GenericPrefetch has several
        twin.querysets = [
            item if item is None else with_own_hints(renewed(item, memo))
            for item in lookup.querysets
        ]
    return twin


def is_data(value: Any) -> bool:
    """Return whether a value is plain data, all through."""
    if isinstance(value, dict):
        return all(map(is_data, value)) and all(map(is_data, dict.values(value)))
    if type(value) in (list, tuple, set, frozenset):
        return all(map(is_data, value))
    return type(value) in ATOMS
