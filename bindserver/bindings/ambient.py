"""Whether a binding's code reads what its thread or task has of its own, such as a tenant.

Middleware sets such things for a request, and the server's threads have none of them. So rows that
were read there are no answer to a caller whose own thread says otherwise. Nobody is told of such a
read; what can be seen is that code names it, itself or in functions that it calls by name.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from enum import Enum
from functools import lru_cache
from types import CodeType, FunctionType, ModuleType
from typing import Any

from asgiref.local import Local
from django.conf import settings
from django.db.models import Model
from django.db.models.manager import BaseManager
from django.utils import timezone, translation

from bindserver.bindings.binding import Binding, model_of

DEEPEST = 6
"""What is called through more functions than this is not looked at."""

KNOWN = sys.stdlib_module_names | {
    *("bindserver", "channels", "django", "rest_framework"),
    *("ddtrace", "elasticapm", "loguru", "newrelic", "opentelemetry", "sentry_sdk", "structlog"),
}
"""Packages whose own code is not looked into: it says nothing of rows, whatever it reads."""

ASKED = (
    "get_queryset",
    "get_q",
    "filters",
    "excludes",
    "get_serializer_class",
    "get_serializer_context",
    "get_window",
)
"""What a binding says its rows by."""


class Ambient(Enum):
    """What code reads that is not the same in every thread."""

    STATE = "state"
    LOCALE = "locale"


LOCALE = (
    translation.get_language,
    translation.get_language_bidi,
    timezone.get_current_timezone,
    timezone.get_current_timezone_name,
    timezone.localdate,
    timezone.localtime,
)
STATE = (threading.local, ContextVar, Local)


def asks_callers_thread(binding: Binding[Any], *serializers: type) -> bool:
    """Return whether only the caller's own thread has the answer to a binding's questions.

    Args:
        binding: the binding.
        serializers: classes that render its rows beside its own.
    """
    found = read_by(type(binding), binding.get_model(), *serializers)
    return Ambient.STATE in found or (Ambient.LOCALE in found and not is_neutral_locale())


def is_neutral_locale() -> bool:
    """Return whether this thread is in the project's own language and time zone, as views are
    rendered."""
    return (
        translation.get_language() == settings.LANGUAGE_CODE
        and timezone.get_current_timezone() == timezone.get_default_timezone()
    )


def read_by(kind: type[Binding[Any]], model: type[Model], *serializers: type) -> frozenset[Ambient]:
    """Return what the code of a binding's class, its model's manager and serializers reads."""
    asked: Any = kind
    return _read_by(asked, model, serializers)


def names_of(kind: type[Binding[Any]]) -> frozenset[str]:
    """Return the names in the code by which a binding's class and its model's manager say the rows,
    and in the functions that this calls by name."""
    asked: Any = kind
    return _names_of(asked)


@lru_cache(maxsize=512)
def _names_of(kind: Any) -> frozenset[str]:
    search = _Search()
    search.look_at_rows(kind, model_of(kind))
    return frozenset(search.names)


@lru_cache(maxsize=512)
def _read_by(kind: Any, model: Any, serializers: Any) -> frozenset[Ambient]:
    search = _Search()
    search.look_at_rows(kind, model)
    for cls in (*serializers, kind.serializer_class):
        for base in cls.__mro__ if isinstance(cls, type) else ():
            for member in list(vars(base).values()):
                search.look(member, cls)
    return frozenset(search.found)


class _Search:
    """Looks through functions, and through what they name, for what is of a thread's own."""

    def __init__(self) -> None:
        self.found: set[Ambient] = set()
        self.names: set[str] = set()
        self._seen: set[int] = set()

    def look_at_rows(self, kind: Any, model: Any) -> None:
        """Look at what says a binding's rows."""
        for name in ASKED:
            if getattr(kind, name, None) is not getattr(Binding, name):
                self.look(getattr(kind, name, None), kind)
        manager = type(model._default_manager)
        self.look(manager.get_queryset, manager)

    def look(self, value: Any, owner: Any = None, depth: int = 0) -> None:
        """Look at a value; of a function at what it names, there and in its owner."""
        if value is timezone.now:
            self.names.add("now")  # it may have been imported under another
        if isinstance(value, STATE):
            self.found.add(Ambient.STATE)
        elif any(value is function for function in LOCALE):
            self.found.add(Ambient.LOCALE)
        elif depth < DEEPEST:
            for function in _functions_of(value):
                if id(function) not in self._seen and not _is_known(function):
                    self._seen.add(id(function))
                    self.names.update(_names_in(function.__code__))
                    for named in _named_by(function, owner):
                        self.look(named, owner, depth + 1)


def _functions_of(value: Any) -> Iterator[FunctionType]:
    """Yield the functions that a value is, or wraps."""
    if isinstance(value, property):
        value = value.fget
    value = getattr(value, "__func__", value)
    if isinstance(value, FunctionType):
        yield value
        inner = getattr(value, "__wrapped__", None)
        if isinstance(inner, FunctionType):
            yield inner


def _is_known(code: Any) -> bool:
    return str(getattr(code, "__module__", "")).partition(".")[0] in KNOWN


def _named_by(function: FunctionType, owner: Any) -> Iterator[Any]:
    """Yield what a function names: globals, what it encloses, and attributes of these."""
    names = set(_names_in(function.__code__))
    held = [function.__globals__[name] for name in names if name in function.__globals__]
    held += [cell.cell_contents for cell in function.__closure__ or () if _is_full(cell)]
    yield from held
    for one in [*held, owner]:
        yield from _attributes(one, names)


def _names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from _names_in(const)


def _is_full(cell: Any) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True


def _attributes(holder: Any, names: Iterable[str]) -> Iterator[Any]:
    """Yield the attributes of a module, of a project's class or of an object of one."""
    if isinstance(holder, ModuleType):
        yield from (vars(holder)[name] for name in names if name in vars(holder))
        return
    kind = holder if isinstance(holder, type) else type(holder)
    for base in kind.__mro__:
        for name in names:
            if name in vars(base):
                yield vars(base)[name]
    if issubclass(kind, Model) and kind is not Model:  # which code names too, to ask what it has
        for manager in kind._meta.managers:
            if manager.name in names:
                yield from _attributes_of_manager(manager, names)


def _attributes_of_manager(manager: BaseManager[Any], names: Iterable[str]) -> Iterator[Any]:
    yield getattr(type(manager), "get_queryset", None)
    yield from (getattr(type(manager), name) for name in names if hasattr(type(manager), name))
