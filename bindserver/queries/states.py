"""What objects that are known by themselves say at present.

An object that stays may be changed for each who asks: a service in a module, an attribute of a
class or of a function. So whoever brings it brings what it says then.
"""

from __future__ import annotations

import contextvars
import functools
import sys
import types
from collections.abc import Collection, Iterator
from typing import Any

from django.utils.functional import cached_property

REMEMBERED = (functools.cached_property, cached_property)
"""What an object remembers by these follows from what it says otherwise."""

FRAMEWORKS = frozenset({"bindserver", "django", "rest_framework"})
"""What these put into a class, such as a model's options, is filled while it is used."""

LIBRARIES = sys.stdlib_module_names | FRAMEWORKS
"""Where code is that nobody changes while it is used."""

CODE = (types.FunctionType, types.BuiltinFunctionType, types.MethodType, staticmethod, classmethod)
"""What a class is declared with, beside data."""


def state_of(value: Any) -> dict[str, Any]:
    """Return what an object, a function or a class says now, by names; of what cannot be looked
    into, nothing."""
    if isinstance(value, type):
        return dict(_of_class(value))
    if isinstance(value, types.FunctionType):
        return dict(_of_function(value))
    if isinstance(value, contextvars.ContextVar):
        return {"value": value.get(None)}
    return dict(_of_object(value))


def _of_class(kind: type) -> Iterator[tuple[str, Any]]:
    for base in kind.__mro__:
        if is_of(base, LIBRARIES):
            continue
        for name, member in sorted(vars(base).items()):
            if not _is_declared(name, member):
                yield f"{base.__qualname__}.{name}", member


def _is_declared(name: str, member: Any) -> bool:
    """Return whether a class's attribute is code, or the class's own business."""
    kind = type(member)  # to ask what it is would evaluate a lazy object
    code = issubclass(kind, CODE) or hasattr(kind, "__get__")
    return code or name.startswith("__") or is_of(kind, FRAMEWORKS)


def _of_function(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    if is_of(function, LIBRARIES):
        return
    told = {**vars(function), "defaults": function.__defaults__, "only": function.__kwdefaults__}
    yield from ((name, value) for name, value in told.items() if value is not None)
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield f"closure {name}", cell.cell_contents
        except ValueError:  # nobody has put anything into it yet
            continue


def _of_object(value: Any) -> Iterator[tuple[str, Any]]:
    kind = type(value)
    for name, part in sorted(dict(getattr(value, "__dict__", None) or {}).items()):
        if not isinstance(getattr(kind, name, None), REMEMBERED):
            yield name, part
    for base in kind.__mro__:
        slots = vars(base).get("__slots__", ())
        for name in [slots] if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                yield name, getattr(value, name)
    if isinstance(value, dict):
        yield "items", dict(dict.items(value))
    elif isinstance(value, (list, tuple)):
        yield "items", list(value)
    elif isinstance(value, (set, frozenset)):
        yield "items", set(value)


def is_of(code: Any, packages: Collection[str]) -> bool:
    """Return whether a class or a function is of one of some packages."""
    return str(getattr(code, "__module__", "")).partition(".")[0] in packages
