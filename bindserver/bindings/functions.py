"""The functions that a member of a class is made of, however they are wrapped."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any

WRAPPERS = (classmethod, functools.partial, functools.partialmethod, property, staticmethod)
"""Python's own, which keep what they call in slots."""

SLOTS = ("__func__", "fget", "fset", "fdel", "func")
KEPT = ("__wrapped__", "func", "real_func")
"""Where caches, cached properties and decorators keep the function that they call."""


def functions_in(member: Any) -> Iterator[FunctionType]:
    """Yield the functions that are called when a member of a class is.

    Args:
        member: a function, a property, a partial, or anything that wraps some.
    """
    waiting, seen = [member], dict[int, Any]()
    while waiting:
        value = waiting.pop()
        if id(value) in seen or isinstance(value, type):
            continue
        seen[id(value)] = value
        if isinstance(value, FunctionType):
            yield value
            waiting.extend(held_by(value))
        waiting.extend(_wrapped_in(value))


def _wrapped_in(value: Any) -> Iterator[Any]:
    own = getattr(value, "__dict__", {})
    yield from (own[name] for name in KEPT if name in own)
    if isinstance(value, WRAPPERS):
        yield from (getattr(value, name, None) for name in SLOTS)


def held_by(function: FunctionType) -> list[Any]:
    """Return what a function holds beside its code: its defaults, and what it closes over."""
    held = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    for cell in function.__closure__ or ():
        try:
            held.append(cell.cell_contents)
        except ValueError:  # not assigned yet
            continue
    return held


def codes_in(code: CodeType) -> Iterator[CodeType]:
    """Yield a code and those of the functions that are made in it."""
    yield code
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from codes_in(const)
