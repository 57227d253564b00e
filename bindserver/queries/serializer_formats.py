"""What a serializer's rows look like, and by what one serializer is told from another."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from bindserver.bindings.columns import PLAIN
from bindserver.queries.code_paths import path_of
from bindserver.queries.identity import IdentityEncoder
from bindserver.queries.serializer_code import code_of


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


def fields_of(serializer: Any) -> list[Any]:
    """Return a serializer's fields, all through: names, sources and classes."""
    inside = [getattr(serializer, name, None) for name in ("child", "child_relation")]
    named = getattr(serializer, "fields", {}).items()
    return [
        path_of(type(serializer)),
        [fields_of(field) for field in inside if field is not None],
        [[name, str(field.source), field.write_only, fields_of(field)] for name, field in named],
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


def declared_in(serializer: Any) -> list[Any]:
    """Return the fields that the classes of a serializer and of its fields declare now, to be
    compared in this process: an instance that was made before has those of that time."""
    return [
        (kind, list(vars(kind).get("_declared_fields", {}).items()))
        for kind in _classes_in(serializer)
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
