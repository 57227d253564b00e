"""Checks of which rows a binding serves: model, queryset, lookups, order, limits, database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from django.core.checks import CheckMessage, Error
from django.core.exceptions import EmptyResultSet, FieldDoesNotExist, FieldError
from django.db import NotSupportedError, connections
from django.db.models import CompositePrimaryKey, JSONField, Model, QuerySet
from django.db.models.constants import LOOKUP_SEP
from rest_framework import serializers

from bindserver.bindings.binding import Binding, alias_of, model_of
from bindserver.bindings.params import WINDOW_NAMES
from bindserver.bindings.registry import BindingClass
from bindserver.database import DATABASES
from bindserver.exceptions import BindingError
from bindserver.queries.compiler import why_no_rows


def check_model(binding: BindingClass) -> Iterator[CheckMessage]:
    """Check that a binding has a model, and a queryset of whole rows that has not been read."""
    own_queryset = "get_queryset" in vars(binding) and binding.model is None
    if binding.model is None and binding.queryset is None:
        hint = "Write `model = YourModel` in it."
        if own_queryset:
            hint = "Beside get_queryset(), write `model = YourModel` in it."
        yield Error(
            f"{binding.__name__} has no model.", hint=hint, obj=binding, id="bindserver.E004"
        )
    elif binding.model is not None and (problem := _why_no_model(binding.model)):
        yield Error(
            f"{binding.__name__}.model is {problem}.",
            hint="Write `model = YourModel`, the class itself.",
            obj=binding,
            id="bindserver.E004",
        )
    elif binding.queryset is not None and not isinstance(binding.queryset, QuerySet):
        yield Error(
            f"{binding.__name__}.queryset is no QuerySet.",
            hint="Write `queryset = YourModel.objects.all()`.",
            obj=binding,
            id="bindserver.E005",
        )
    elif binding.queryset is not None and (problem := why_no_rows(binding.queryset)):
        yield Error(
            f"{binding.__name__}.queryset is {problem}.",
            hint="Write `queryset = YourModel.objects.all()`, or values(), which names columns.",
            obj=binding,
            id="bindserver.E051",
        )
    elif binding.queryset is not None and binding.queryset._result_cache is not None:
        yield Error(
            f"{binding.__name__}.queryset has been evaluated already.",
            hint="Iterating over it, len() and bool() read its rows; do that in a "
            "get_queryset() if you must.",
            obj=binding,
            id="bindserver.E023",
        )
    elif not _has_one_value(model_of(binding)._meta.pk):
        yield Error(
            f"{binding.__name__} serves a model whose primary key is no single value.",
            hint="A row is told apart by one key field that holds a number, a text, a UUID or the "
            "like; give the model one.",
            obj=binding,
            id="bindserver.E006",
        )


def _why_no_model(model: object) -> str:
    """Return what stands in a model's place, or nothing where it has a table."""
    if not (isinstance(model, type) and issubclass(model, Model)):
        return f"no model but {model!r}"
    return f"{model.__name__}, which is abstract" if model._meta.abstract else ""


def _has_one_value(pk: Any) -> bool:
    while pk.is_relation:
        pk = pk.target_field
    is_array = hasattr(pk, "base_field") and hasattr(pk, "size")  # its module wants the driver
    return not (isinstance(pk, CompositePrimaryKey | JSONField) or is_array)


def check_using(binding: BindingClass) -> Iterator[CheckMessage]:
    """Check the alias of the binding's database, and that this kind of database is read here."""
    alias = alias_of(binding)
    if alias in connections and connections[alias].vendor not in DATABASES:
        yield Error(
            f"{binding.__name__} is on {connections[alias].display_name}, which this version does "
            "not support.",
            hint=f"It supports {', '.join(sorted(DATABASES))}.",
            obj=binding,
            id="bindserver.E017",
        )
    if alias not in connections:
        yield Error(
            f"{binding.__name__}.using names no database: {binding.using!r}.",
            hint="Use an alias of DATABASES.",
            obj=binding,
            id="bindserver.E016",
        )


def check_limits(binding: BindingClass) -> Iterator[CheckMessage]:
    """Check the numbers of rows."""
    for name in ("limit", "max_rows"):
        value: object = getattr(binding, name)
        if value is None or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
            continue
        yield Error(
            f"{binding.__name__}.{name} is a positive number of rows, not {value!r}.",
            obj=binding,
            id="bindserver.E015",
        )


def check_window(binding: BindingClass) -> Iterator[CheckMessage]:
    """Check the params by which subscribers choose how many rows they get."""
    declared = binding.params if isinstance(binding.params, dict) else {}
    for name in WINDOW_NAMES:
        field = declared.get(name)
        if field is None or field is int or isinstance(field, serializers.IntegerField):
            continue
        yield Error(
            f"{binding.__name__} has a param named {name!r} that is no whole number.",
            hint="A param of that name chooses which rows are served: make it an IntegerField.",
            obj=binding,
            id="bindserver.E015",
        )


def check_query(binding: BindingClass) -> Iterator[CheckMessage]:
    """Check class-level lookups and ordering; methods run for subscribers only."""
    queryset = _rows_to_begin_with(binding)
    for name in ("filters", "excludes"):
        value = vars(binding).get(name)
        if value is None or callable(value) or isinstance(value, property):
            continue
        if not isinstance(value, dict):
            problem: object = "it is a dict of lookups, a method or a property"
        else:
            known = {key: item for key, item in value.items() if not _may_annotate(binding, key)}
            problem = _problem_of(partial(queryset.filter, **known))
        if problem:
            yield Error(
                f"{binding.__name__}.{name}: {problem}.",
                hint='For example {"active": True}.',
                obj=binding,
                id="bindserver.E013",
            )
    ordering: Any = binding.ordering
    if ordering is not None:
        items = [ordering] if isinstance(ordering, str) else list(ordering)
        items = [item for item in items if not _may_annotate(binding, item)]
        random = any(item in ("?", "-?") for item in items if isinstance(item, str))
        problem = (
            "a random order is no order"
            if random
            else _problem_of(lambda: str(queryset.order_by(*items).query))
        )
        if problem:
            yield Error(
                f"{binding.__name__}.ordering: {problem}.",
                hint='For example ["-created", "name"]; the key is added by itself.',
                obj=binding,
                id="bindserver.E014",
            )


def _rows_to_begin_with(binding: BindingClass) -> QuerySet[Any]:
    """Return a queryset to try lookups on. The manager of a model whose binding asks by a method of
    its own is not asked: it may refuse to answer outside of what that method does."""
    if binding.queryset is not None:
        return binding.queryset.all()
    if _asks_itself(binding):
        return QuerySet(model_of(binding))
    rows: QuerySet[Any] = model_of(binding)._default_manager.all()
    return rows


def _asks_itself(binding: BindingClass) -> bool:
    return binding.get_queryset is not Binding.get_queryset


def _may_annotate(binding: BindingClass, lookup: object) -> bool:
    """Return whether a lookup may begin with what a binding's `get_queryset` annotates."""
    if not _asks_itself(binding) or not isinstance(lookup, str) or lookup in ("?", "-?"):
        return False
    model = model_of(binding)
    first = lookup.lstrip("-").split(LOOKUP_SEP)[0]
    try:
        QuerySet[Any](model).query.names_to_path([first], model._meta)
    except FieldError:
        return True
    return False


REFUSING = (
    *(BindingError, FieldError, FieldDoesNotExist, NotSupportedError),
    *(TypeError, ValueError),
)
"""What Django, and we, raise for what cannot be asked."""


def _problem_of(build: Callable[[], object]) -> str:
    try:
        build()
    except EmptyResultSet:
        return ""  # it is sound, and matches nothing
    except REFUSING as problem:
        return str(problem).rstrip(".")
    return ""
