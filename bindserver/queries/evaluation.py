"""How a queryset is read so that its rows are those that DRF gets by evaluating it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Any

from django.db.models import Model, QuerySet
from django.db.models.fields.related_descriptors import ForeignKeyDeferredAttribute
from django.db.models.query import ModelIterable, ValuesIterable
from django.db.models.query_utils import DeferredAttribute
from django.db.models.signals import post_init, pre_init

from bindserver.queries.internals import alike, known_instances, prefetches_of

CHUNK_ROWS = 500
EVALUATION = ("_fetch_all", "_prefetch_related_objects", "iterator", "_iterator", "__iter__")
"""Methods of a queryset that make its rows."""

EACH_BY_ITSELF = ("bindserver", "django", "model_utils", "parler", "polymorphic")
"""Packages whose querysets make each row of what is in it alone. Others may number rows."""

COLUMNS = ("values_list", "_values", "values")
"""Methods by which a queryset's columns are read without its rows."""

MAKING = ("from_db", "__init__", "__new__", "__getattribute__")
"""What a model may override to make something else of what is read."""

DESCRIPTORS = (DeferredAttribute, ForeignKeyDeferredAttribute)
"""What Django itself puts in place of a column in a model's class."""


def instances(queryset: QuerySet[Any]) -> Iterator[Any]:
    """Yield a queryset's rows: in chunks, where its class makes them as Django's own does, else
    all at once, by what the class itself does."""
    usual = queryset._iterable_class in (ModelIterable, ValuesIterable)
    if usual and _is_usual(type(queryset), EVALUATION):
        yield from queryset.iterator(chunk_size=CHUNK_ROWS)
    else:
        yield from alike(queryset)  # it keeps what it has read


def has_columns(queryset: QuerySet[Any]) -> bool:
    """Return whether `values_list` reads what the queryset's rows would hold."""
    return (
        queryset._iterable_class is ModelIterable
        and _is_usual(type(queryset), (*EVALUATION, *COLUMNS))
        and not prefetches_of(queryset)
        and not queryset.query.combinator  # its parts may have other columns
    )


@lru_cache(maxsize=512)
def _is_usual(kind: type[QuerySet[Any]], names: tuple[str, ...]) -> bool:
    return all(getattr(kind, name) is getattr(QuerySet, name) for name in names)


def makes_rows(queryset: QuerySet[Any]) -> str | None:
    """Return what makes a queryset's rows in its own way, so that a row may depend on the others;
    None where each is known to be made by itself."""
    iterable: Any = queryset._iterable_class
    return _maker(type(queryset), iterable)


@lru_cache(maxsize=512)
def _maker(kind: type[QuerySet[Any]], iterable: type[Any]) -> str | None:
    asked = [(kind, name) for name in EVALUATION] + [(iterable, "__iter__")]
    for cls, name in asked:
        owner = next((base for base in cls.__mro__ if name in vars(base)), QuerySet)
        if owner.__module__.partition(".")[0] not in EACH_BY_ITSELF:
            return f"{owner.__name__}.{name}"
    return None


def is_bare(model: type[Model]) -> bool:
    """Return whether a model's rows hold just what the database does, so that nobody misses
    them."""
    usual: Any = Model
    return not (post_init.has_listeners(model) or pre_init.has_listeners(model)) and all(
        _function(getattr(model, name)) is _function(getattr(usual, name)) for name in MAKING
    )


def _function(method: Any) -> Any:
    return getattr(method, "__func__", method)


def is_own_column(model: type[Model], column: str) -> bool:
    """Return whether a row's attribute is its column's value, and no descriptor's of a project or
    of another library."""
    return type(inspect.getattr_static(model, column, None)) in DESCRIPTORS


@cache
def _usual_state() -> frozenset[str]:
    """Return the attributes that Django's own querysets have."""
    return frozenset(vars(QuerySet()))


def says_all(queryset: QuerySet[Any]) -> bool:
    """Return whether a queryset's SQL, class and lists of names say all there is to know of it: it
    carries nothing along that may be another although it looks the same."""
    return (
        not known_instances(queryset)
        and queryset._iterable_class in (ModelIterable, ValuesIterable)
        and all(isinstance(item, str) for item in prefetches_of(queryset))
        and vars(queryset).keys() <= _usual_state()
    )
