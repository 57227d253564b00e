"""A binding's params: named arguments that a subscriber gives, checked by DRF's fields."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.fields import empty

from bindserver.bindings.refusals import MAX_TEXT, words_of
from bindserver.exceptions import InvalidParams

SHORT_FORMS: dict[type, type[serializers.Field[Any, Any, Any, Any]]] = {
    int: serializers.IntegerField,
    str: serializers.CharField,
    bool: serializers.BooleanField,
}
"""What may be written in place of a field; such a param must be given."""

RESERVED_NAMES = frozenset({"cursor", "format", "live", "ordering", "page", "page_size", "search"})
"""Query parameters of DRF's and of ours: no param's name."""

WINDOW_NAMES = ("limit", "offset")
"""What params are called that choose which rows of a binding are served."""

SERIALIZERS_KEPT = 500
"""How many serializers of params are kept, to be made once."""

WIDEST = 2**63
"""Whole numbers of databases have 64 bits at most."""

SURROGATE = re.compile("[\ud800-\udfff]")

Declared = Mapping[str, Any]


def field_of(declared: object) -> serializers.Field[Any, Any, Any, Any]:
    """Return a fresh serializer field for what stands in a binding's `params`.

    Raises:
        TypeError: it is neither a field nor a short form.
    """
    if isinstance(declared, type) and declared in SHORT_FORMS:
        return SHORT_FORMS[declared]()
    if isinstance(declared, serializers.Field):
        return copy.deepcopy(declared)
    raise TypeError("a param is a serializer field, or int, str or bool")


def validate(declared: Declared, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Check params, and fill in defaults.

    Args:
        declared: the binding's `params`.
        given: what the subscriber gave.

    Returns:
        The values for the binding, and the same in JSON's terms for the wire, names sorted.

    Raises:
        InvalidParams: a name is unknown or a value wrong.
    """
    unknown = sorted(set(given) - set(declared))
    if unknown:
        known = ", ".join(sorted(declared)) or "none"
        raise InvalidParams(f"unknown params: {', '.join(unknown)[:200]}; known: {known}")
    if not declared:
        return {}, {}
    serializer = _checker_of(tuple(declared.items()))
    try:
        values: dict[str, Any] = dict(serializer.run_validation(dict(given)))
    except ValidationError as error:
        raise InvalidParams(words_of(error.detail)[:MAX_TEXT]) from None
    # DRF's fields hand out one default to all, and a binding may add to what is its own.
    values |= {name: copy.deepcopy(values[name]) for name in values.keys() - given.keys()}
    for name, value in values.items():
        if problem := _problem_of(value, bounded=not _has_own_bounds(serializer.fields[name])):
            raise InvalidParams(f"{name}: {problem}")
    wire = {
        name: None
        if values[name] is None
        else serializer.fields[name].to_representation(values[name])
        for name in sorted(values)
    }
    return values, wire


def _checker_of(declared: tuple[tuple[str, object], ...]) -> Any:
    """Return the serializer that checks params. DRF's own fields remember nothing, and one is
    enough for all who ask; others get one each."""
    kinds = [type(part) for _, field in declared for part in _parts_of(field)]
    if all(kind.__module__ == "rest_framework.fields" for kind in kinds):
        return _common_checker(declared)
    return _checker(declared)


def _parts_of(field: object) -> Iterator[object]:
    """Yield a field and those that check what is in it; of a short form nothing."""
    while isinstance(field, serializers.Field):
        yield field
        field = getattr(field, "child", None)


@lru_cache(maxsize=SERIALIZERS_KEPT)
def _common_checker(declared: tuple[tuple[str, object], ...]) -> Any:
    return _checker(declared)


def _checker(declared: tuple[tuple[str, object], ...]) -> Any:
    fields = {name: field_of(field) for name, field in declared}
    checker = type("Params", (serializers.Serializer,), fields)(data={})
    _ = checker.fields  # made now, by one thread: they are kept
    return checker


def _has_own_bounds(field: Any) -> bool:
    """Return whether a field says itself how far its numbers go."""
    field = getattr(field, "child", field)
    return None not in (getattr(field, "min_value", None), getattr(field, "max_value", None))


def _problem_of(value: Any, *, bounded: bool) -> str:
    """Return why no column of any database takes a value, or nothing.

    Args:
        value: the value, or a list or dict of some.
        bounded: whether whole numbers must have 64 bits.
    """
    if isinstance(value, str):
        return _problem_of_text(value)
    if isinstance(value, float):
        return "" if math.isfinite(value) else "a number has to be finite"
    if isinstance(value, int):
        fits = not bounded or -WIDEST <= value < WIDEST
        return "" if fits else f"a whole number is between {-WIDEST} and {WIDEST - 1}"
    parts: Iterable[Any] = ()
    if isinstance(value, Mapping):
        parts = (*value.keys(), *value.values())
    elif isinstance(value, (list, tuple, set, frozenset)):
        parts = value
    return next((p for part in parts if (p := _problem_of(part, bounded=bounded))), "")


def _problem_of_text(value: str) -> str:
    if "\0" in value:
        return "a text has no NUL characters"
    if SURROGATE.search(value):
        return "a text has no lone surrogates"
    return ""


def from_query(declared: Declared, query: Any) -> dict[str, Any]:
    """Return params as a URL's query string gives them: lists where the field takes many.

    Args:
        declared: the binding's `params`.
        query: a `QueryDict`.
    """
    given: dict[str, Any] = {}
    for name in query:
        field = declared.get(name, empty)
        many = isinstance(field, (serializers.ListField, serializers.MultipleChoiceField))
        given[name] = query.getlist(name) if many else query.get(name)
    return given
