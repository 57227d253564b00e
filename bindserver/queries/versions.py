"""What a model instance holds of the database, as a short text: equal for equal rows, everywhere.

That is the values of its columns and annotations, and the related instances that were loaded with
it. What a project keeps on instances besides (a tracker, a cache) is none of the database's.
Values are told by what they are made of and never by their `repr`, which may be an address, or cut.
"""

from __future__ import annotations

import copyreg
import datetime
import hashlib
import secrets
from collections.abc import Iterable, Iterator, Mapping
from pickle import PicklingError
from types import BuiltinFunctionType, FunctionType
from typing import Any

from django.db.models import Field, Manager, Model, Prefetch, QuerySet
from django.db.models.constants import LOOKUP_SEP
from django.db.models.fields.files import FieldFile

from bindserver.bindings.model_rows import ATOMS
from bindserver.queries.internals import prefetches_of

Beside = Mapping[str, Any]
"""What instances have as attributes besides columns, with the fields of the values if known."""

Above = tuple[object, ...]
"""What a value is a part of, from the outermost on."""

PROTOCOL = 4
"""How pickle takes objects apart; the next one leaves big ones where they are."""


def fingerprint(instance: Model, beside: Beside) -> str:
    """Return a text that differs when anything loaded of an instance does, the same everywhere.

    Args:
        instance: as it was read.
        beside: what `loaded_beside` says of the queryset that has read it.
    """
    facts = repr(_instance(instance, beside, ()))
    return hashlib.blake2b(facts.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def loaded_beside(queryset: QuerySet[Any]) -> Beside:
    """Return the attributes that a queryset and its prefetches give to instances."""
    found: dict[str, Field[Any, Any] | None] = dict(_annotated(queryset))
    for item in prefetches_of(queryset):
        if isinstance(item, Prefetch):
            prefetch: Any = item
            if prefetch.prefetch_to != prefetch.prefetch_through:
                found[prefetch.to_attr] = None
            for inner in _querysets(queryset.model, prefetch):
                found |= loaded_beside(inner)
    return found


def _querysets(model: type[Model], prefetch: Any) -> Iterable[QuerySet[Any]]:
    """Return the querysets by which a `Prefetch` loads what it loads."""
    if getattr(prefetch, "querysets", None):
        return list(prefetch.querysets)
    if prefetch.queryset is not None:
        return [prefetch.queryset]
    for name in prefetch.prefetch_through.split(LOOKUP_SEP):
        related = [f.related_model for f in model._meta.get_fields() if _accessor(f) == name]
        if not related or not isinstance(related[0], type):
            return []
        model = related[0]
    return [model._default_manager.all()]


def _accessor(field: Any) -> str:
    """Return the name under which a relation is an attribute of instances."""
    return str(getattr(field, "get_accessor_name", lambda: field.name)())


def _annotated(queryset: QuerySet[Any]) -> Iterator[tuple[str, Field[Any, Any] | None]]:
    query: Any = queryset.query
    for name, expression in query.annotation_select.items():
        yield name, getattr(expression, "_output_field_or_none", None)
    for name in query.extra_select:
        yield name, None


def _managed(model: type[Model]) -> Beside:
    """Return what a model's own base manager, which loads related instances, gives to them."""
    manager: Any = model._base_manager
    return {} if type(manager) is Manager else dict(_annotated(manager.all()))


def _instance(instance: Model, beside: Beside, above: Above) -> Any:
    """Return an instance as plain data, one that it is a part of itself as its key."""
    meta, loaded = instance._meta, vars(instance)
    if any(instance is other for other in above):
        return [meta.label, _value(instance.pk, meta.pk, beside, above)]
    above = (*above, instance)
    columns = [
        (field.attname, _value(loaded[field.attname], field, beside, above))
        for field in meta.concrete_fields
        if field.attname in loaded
    ]
    known = {**_managed(type(instance)), **beside}
    others = [
        (name, _value(loaded[name], known[name], beside, above))
        for name in sorted(known.keys() & loaded.keys())
    ]
    related = {**instance._state.fields_cache, **loaded.get("_prefetched_objects_cache", {})}
    parts = [(name, _value(item, None, beside, above)) for name, item in sorted(related.items())]
    return [meta.label, columns, others, parts]


def _value(value: Any, field: Field[Any, Any] | None, beside: Beside, above: Above) -> Any:
    """Return a value as plain data, as the database has it if its field can tell."""
    if type(value) in ATOMS:
        return _atom(value)
    if isinstance(value, Model):
        return _instance(value, beside, above)
    if isinstance(value, QuerySet):
        beside = {**beside, **dict(_annotated(value))}
        return _value(value._result_cache, None, beside, above)
    if isinstance(value, FieldFile):
        return _value(value.name, None, beside, above)
    if any(value is other for other in above):
        return "above", next(n for n, other in enumerate(reversed(above)) if other is value)
    parts = _parts(value)
    if parts is None and field is not None:
        return _value(field.get_prep_value(value), None, beside, above)
    above = (*above, value)
    if parts is None:
        parts = _taken_apart(value)
    if isinstance(value, (set, frozenset)):
        return sorted(repr(_value(item, None, beside, above)) for item in parts)
    kind = type(value)
    return f"{kind.__module__}.{kind.__qualname__}", [
        _value(item, None, beside, above) for item in parts
    ]


def _atom(value: Any) -> Any:
    """Return a value that nobody can change as its type and all that it says."""
    if isinstance(value, (datetime.datetime, datetime.time)):
        return type(value).__name__, value.isoformat(), value.fold
    return type(value).__name__, repr(value)


def _parts(value: Any) -> list[Any] | None:
    """Return what a value of Python's own types consists of, None for any other value."""
    kind = type(value)
    if kind in (list, tuple, set, frozenset):
        return list(value)
    if kind is dict:
        return [part for item in value.items() for part in item]
    if kind in (bytearray, memoryview):
        return [bytes(value)]
    return None


def _taken_apart(value: Any) -> list[Any]:
    """Return what an object is made of, as pickle would have it; something that is equal to nothing
    where that cannot be told."""
    if isinstance(value, (type, FunctionType, BuiltinFunctionType)):
        name = f"{value.__module__}.{value.__qualname__}"
        return [secrets.token_hex() if "<" in name else name]
    try:
        reduced: Any = value.__reduce_ex__(PROTOCOL)
    except (TypeError, PicklingError):
        return [secrets.token_hex()]
    if isinstance(reduced, str):
        return [reduced]
    made_by, arguments, state, items, pairs = [*reduced, None, None, None][:5]
    by = None if made_by is vars(copyreg)["__newobj__"] else made_by
    return [by, arguments, state, list(items or ()), list(pairs or ())]
