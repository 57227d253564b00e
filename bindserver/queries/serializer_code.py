"""What the code of a project's class does, as plain data that is the same in every process, and
another one after a deploy that changes it.

It tells more than it must where it cannot know better: whoever resumes after that is sent all rows.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator, Mapping
from enum import Enum
from functools import lru_cache
from types import CodeType, FunctionType
from typing import Any

from bindserver.bindings.functions import codes_in, functions_in, held_by
from bindserver.bindings.model_rows import ATOMS
from bindserver.queries.code_paths import path_of
from bindserver.queries.identity import IdentityEncoder

OTHERS = frozenset({"django", "rest_framework", *sys.stdlib_module_names})
"""Packages whose code is told by its path."""

ASIDE = frozenset(
    {
        "__abstractmethods__",
        "__annotate__",
        "__annotate_func__",
        "__annotations__",
        "__annotations_cache__",
        "__classcell__",
        "__dict__",
        "__doc__",
        "__firstlineno__",
        "__module__",
        "__orig_bases__",
        "__parameters__",
        "__qualname__",
        "__static_attributes__",
        "__weakref__",
        "_abc_impl",
        "_declared_fields",
    }
)
"""What Python and DRF put into a class beside what is written there; fields are told as such."""

DEEPEST = 8
"""What lies deeper in a value is told by its type."""


@lru_cache(maxsize=1024)
def code_of(kind: type[Any]) -> list[Any]:
    """Return the code of a class that is the project's own, and of its project's bases.

    It is told once, as it was declared: what a class keeps later is no code.
    """
    return list(_Teller().members(kind))


class _Teller:
    """Tells what is in classes and functions, each once."""

    def __init__(self) -> None:
        self._told: dict[int, tuple[int, Any]] = {}

    def members(self, kind: type[Any]) -> Iterator[Any]:
        """Yield what is written in a class and in its bases, by name."""
        for cls in kind.__mro__:
            if _is_own(cls):
                own = vars(cls)
                yield [[name, self.tell(own[name], cls)] for name in sorted(own.keys() - ASIDE)]

    def tell(self, value: Any, inside: Any = None, depth: int = 0) -> Any:
        """Return a value as plain data.

        Args:
            value: anything that is in a class or that a function holds.
            inside: the class or the function that it is in.
            depth: how deep it lies in another one.
        """
        if type(value) in ATOMS:
            return IdentityEncoder().encode(value)
        if isinstance(value, Enum):
            return [path_of(type(value)), value.name, self.tell(value.value)]
        functions = list(functions_in(value))
        if not functions and not isinstance(value, type):
            return self._data(value, depth)
        if (known := self._told.get(id(value))) is not None:
            return ["told", known[0]]
        self._told[id(value)] = (len(self._told), value)  # kept, or another could get its `id`
        if isinstance(value, type):
            return [path_of(value), list(self.members(value)) if _is_written(value, inside) else []]
        return [path_of(type(value)), self._given(value), *map(self._function, functions)]

    def _data(self, value: Any, depth: int) -> Any:
        encoder = IdentityEncoder(looks=False)
        encoded = encoder.encode(value)
        if not encoder.unshared:
            return encoded
        if depth >= DEEPEST:
            return path_of(type(value))
        if isinstance(value, Mapping):
            parts = [[self.tell(key), self.tell(value[key], None, depth + 1)] for key in value]
        elif isinstance(value, (list, tuple)):
            parts = [self.tell(item, None, depth + 1) for item in value]
        else:
            own = getattr(value, "__dict__", {})
            parts = [[name, self.tell(own[name], None, depth + 1)] for name in sorted(own)]
        return [path_of(type(value)), parts]

    def _given(self, value: Any) -> Any:
        """Return what a partial hands to its function."""
        if not isinstance(value, (functools.partial, functools.partialmethod)):
            return []
        return [self.tell(item) for item in (*value.args, *value.keywords.items())]

    def _function(self, function: FunctionType) -> Any:
        held = [self.tell(value, function) for value in held_by(function)]
        return [self._code(function.__code__), held, self._called(function)]

    def _called(self, function: FunctionType) -> list[Any]:
        """Return what a function finds in its module by name: functions, and plain values."""
        found = function.__globals__
        names = [name for code in codes_in(function.__code__) for name in code.co_names]
        named = [found[name] for name in dict.fromkeys(names) if name in found]
        return [
            self.tell(value)
            for value in named
            if type(value) in ATOMS or (isinstance(value, FunctionType) and _is_own(value))
        ]

    def _code(self, code: CodeType) -> list[Any]:
        """Return what a function does: its instructions, and what they name and hold."""
        held = [self._const(const) for const in code.co_consts]
        return [code.co_code.hex(), list(code.co_names), list(code.co_varnames), held]

    def _const(self, const: Any) -> Any:
        if isinstance(const, CodeType):
            return self._code(const)
        return "..." if const is Ellipsis else IdentityEncoder().encode(const)


def _is_written(kind: type[Any], inside: Any) -> bool:
    """Return whether a class is written in another one, as a `Meta` is."""
    return kind.__qualname__.rpartition(".")[0] == getattr(inside, "__qualname__", "")


def _is_own(code: Any) -> bool:
    return str(getattr(code, "__module__", "")).partition(".")[0] not in OTHERS
