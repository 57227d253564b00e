"""Imports the modules that declare bindings, and notices what they ask of the database meanwhile.

What a class body or a module reads is frozen until the process ends; and a table that is not there
yet would keep Django from starting, `migrate` included.
"""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from textwrap import shorten
from types import FrameType, ModuleType
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.utils.module_loading import module_has_submodule

from bindserver.bindings.binding import Binding
from bindserver.user_code import contained

PREPARING = frozenset(
    {
        "bindings",
        "makemigrations",
        "migrate",
        "optimizemigration",
        "showmigrations",
        "sqlmigrate",
        "squashmigrations",
    }
)
"""Commands that make a database ready, and so are not kept from it by what was asked too early."""

VIEWS = frozenset({"bindserver.websocket.views", "bindserver.http.viewsets"})
"""Where the classes are that name bindings."""

REMEDY = (
    "What was read then would be kept for ever. Ask in `def get_queryset(self)`, or in a "
    "`filters` method, which run when rows are read."
)

SHOWN = 120
"""How much of a statement is shown."""

NOTHING = "SELECT 1 FROM (SELECT 1 AS a) AS b WHERE 1 = 0"

logger = logging.getLogger("bindserver.bindings")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportQuery:
    """That a module asked the database while it was imported.

    Attributes:
        module: its name.
        scope: the class that was being defined; empty for the module itself.
        place: file and line.
        by: the module whose line it is: one that the other imports, perhaps.
        what: the SQL, or what the database answered.
    """

    module: str
    scope: str
    place: str
    by: str
    what: str


_asked: dict[tuple[str, str], ImportQuery] = {}
_meanwhile: dict[str, ImportQuery] = {}
"""What was asked while a module was imported of which nobody knew yet what it would declare."""


def import_bindings() -> None:
    """Import every installed app's `bindings.py`.

    One that fails because the database cannot answer is left out, and `all_asked` tells of it.
    """
    for config in apps.get_app_configs():
        if module_has_submodule(config.module, "bindings"):
            _import(f"{config.name}.bindings")


def load_views() -> None:
    """Import the project's urlconf, which is where views are: Django does so at the first HTTP
    request, and a WebSocket may come before any."""
    urlconf = getattr(settings, "ROOT_URLCONF", None)
    if urlconf is None:
        return
    try:
        with contained(), _noticing():
            import_module(urlconf)
    except Exception:  # the project's own code; HTTP fails by it, and bindings need not
        logger.exception("bindserver: the urlconf cannot be imported, so its views are not served")


def all_asked() -> list[ImportQuery]:
    """Return what was asked of a database during imports."""
    return [*_asked.values(), *_asked_meanwhile()]


def _asked_meanwhile() -> list[ImportQuery]:
    """Return what was asked while modules were imported that declare bindings, as is known now."""
    known = {module for module, _ in _asked}
    return [
        asked
        for module, asked in _meanwhile.items()
        if module not in known and _declares_bindings(module)
    ]


def _declares_bindings(module: str) -> bool:
    values = list(vars(sys.modules[module]).values()) if module in sys.modules else []
    return any(_is_ours(value) and getattr(value, "__module__", "") == module for value in values)


def asked_for(binding: type[Binding[Any]]) -> ImportQuery | None:
    """Return what was asked while a binding, or one that it derives from, was being declared."""
    for cls in binding.__mro__:
        own = _asked.get((cls.__module__, cls.__qualname__))
        if own is not None:
            return own
        for asked in all_asked():
            if asked.module == cls.__module__ and not _is_binding_s(asked):
                return asked
    return None


def problem_of(asked: ImportQuery) -> str:
    """Return what is wrong, as a sentence."""
    what = shorten(asked.what, SHOWN, placeholder="…")
    by = "" if asked.by == asked.module else f" by {asked.by}, which it imports,"
    return (
        f"the database was asked while {asked.module} was imported,{by} at {asked.place}: {what}."
    )


def is_preparing() -> bool:
    """Return whether this process runs a command that makes a database ready."""
    return sys.argv[1:2] != [] and sys.argv[1] in PREPARING


def _in_command() -> bool:
    """Return whether a command of `manage.py` does the import, and not a server."""
    frames = _frames_from(sys._getframe())
    return any(frame.f_globals.get("__name__") == "django.core.management" for frame in frames)


def _is_binding_s(asked: ImportQuery) -> bool:
    """Return whether it concerns one binding, and not whatever else its module declares."""
    found: Any = sys.modules.get(asked.module)
    for name in asked.scope.split(".") if asked.scope else ():
        found = getattr(found, name, None)
    return isinstance(found, type) and _is_ours(found)


def _import(name: str) -> None:
    try:
        with _noticing(name):
            import_module(name)
    except Exception as problem:
        if isinstance(problem, Error) and not _note(_frames_of(problem), str(problem), name):
            _note_failure(problem, name)
        asked = next((asked for asked in _asked.values() if asked.module == name), None)
        if asked is None or not (isinstance(problem, Error) or _in_command()):
            raise
        logger.error(
            "bindserver: %s is left out: %s %s (%s)", name, problem_of(asked), REMEDY, problem
        )


@contextmanager
def _noticing(*names: str) -> Iterator[None]:
    """Notice the SQL of modules that declare bindings, on all of this thread's connections.

    Args:
        names: modules that are known to.
    """
    watched: list[BaseDatabaseWrapper] = []

    def notice(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        noted = _note(_frames_from(sys._getframe(1)), sql, *names)
        try:
            return execute(sql, *rest)
        except Error:
            if not noted or not _in_command():
                raise
        # Where no table is, there is no row. The command goes on to its checks, which tell of it.
        return execute(NOTHING, None, False, rest[-1])

    def watch(connection: BaseDatabaseWrapper, **_: Any) -> None:
        if connection not in watched:
            watched.append(connection)
            connection.execute_wrappers.append(notice)

    for connection in connections.all(initialized_only=True):
        watch(connection)
    connection_created.connect(watch, weak=False)
    try:
        yield
    finally:
        connection_created.disconnect(watch)
        for connection in watched:
            connection.execute_wrappers.remove(notice)


def _note(frames: Iterable[FrameType], what: str, *names: str) -> bool:
    """Note who asks, if it is a module that declares bindings or one that such a module imports;
    tell whether it surely is.

    The nearest class body of such a module is named; else the module that is being imported.
    """
    # A function asks for whoever is being defined and has called it.
    bodies = [frame for frame in frames if not frame.f_code.co_flags & inspect.CO_OPTIMIZED]
    nearest = True
    for frame in bodies:
        module = _module_of(frame)
        if module in names or (nearest and any(map(_is_ours, list(frame.f_globals.values())))):
            asked = _asked_in(frame, bodies[0], what)
            _asked.setdefault((module, asked.scope), asked)
            return True
        if frame.f_locals is frame.f_globals:
            nearest = False
            _meanwhile.setdefault(module, _asked_in(frame, bodies[0], what))
    return False


def _asked_in(frame: FrameType, asking: FrameType, what: str) -> ImportQuery:
    """Return that the code of one module or class body asks, while another's is run."""
    in_class = frame.f_locals is not frame.f_globals
    return ImportQuery(
        module=_module_of(frame),
        scope=str(frame.f_locals.get("__qualname__", "")) if in_class else "",
        place=f"{asking.f_code.co_filename}:{asking.f_lineno}",
        by=_module_of(asking),
        what=what,
    )


def _module_of(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__"))


def _note_failure(problem: Error, name: str) -> None:
    """Note that the import of a module failed, by what another module asks that it imports."""
    frame = next(f for f in _frames_of(problem) if not f.f_code.co_flags & inspect.CO_OPTIMIZED)
    place, by = f"{frame.f_code.co_filename}:{frame.f_lineno}", _module_of(frame)
    _asked[name, ""] = ImportQuery(module=name, scope="", place=place, by=by, what=str(problem))


def _is_ours(value: object) -> bool:
    if isinstance(value, ModuleType):
        return value.__name__ == "bindserver"
    return isinstance(value, type) and (
        issubclass(value, Binding) or any(cls.__module__ in VIEWS for cls in value.__mro__)
    )


def _frames_from(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _frames_of(problem: BaseException) -> list[FrameType]:
    found = []
    traceback = problem.__traceback__
    while traceback is not None:
        found.append(traceback.tb_frame)
        traceback = traceback.tb_next
    return found[::-1]
