"""Where classes and functions are found, and names for objects that are found nowhere."""

from __future__ import annotations

import functools
import secrets
import sys
import types
import weakref
from typing import Any

CODE = (type, types.FunctionType, types.BuiltinFunctionType)
"""What a module may hold under its own name, the same in every process."""


def path_of(code: Any) -> str:
    """Return where a class or a function says that it is to be found."""
    return f"{getattr(code, '__module__', '')}.{getattr(code, '__qualname__', '')}"


def is_djangos(code: Any) -> bool:
    """Return whether a class or a function is Django's own."""
    return str(getattr(code, "__module__", "")).partition(".")[0] == "django"


def is_found(code: Any) -> bool:
    """Return whether a class or a function is what its path leads to; one that a function has made
    is not, nor one that a reload has replaced."""
    found: Any = sys.modules.get(getattr(code, "__module__", None) or "")
    for name in code.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is code


class Names:
    """Names for objects that are known by nothing but themselves; each name is given once.

    An object that nobody can hold weakly gets another name each time.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[weakref.ref[Any], str]] = {}
        self._paths: dict[str, weakref.ref[Any]] = {}

    def is_first(self, path: str, code: Any) -> bool:
        """Return whether a class or a function is the first one that was met at its path: a
        function may put one after the other into its module."""
        try:
            return self._paths.setdefault(path, weakref.ref(code))() is code
        except TypeError:
            return True  # a builtin function, which is the only one

    def name(self, value: Any) -> str:
        """Return an object's name."""
        known = self._known.get(id(value))
        if known is not None and known[0]() is value:
            return known[1]
        name = secrets.token_hex(12)
        try:
            held = weakref.ref(value, functools.partial(self._forget, id(value)))
        except TypeError:
            return name
        self._known[id(value)] = (held, name)
        return name

    def lasting_name(self, value: Any) -> str | None:
        """Return an object's name; None for one that nobody can hold weakly."""
        name = self.name(value)
        return name if id(value) in self._known else None

    def _forget(self, number: int, held: weakref.ref[Any]) -> None:
        known = self._known.get(number)
        if known is not None and known[0] is held:
            self._known.pop(number, None)


names = Names()
