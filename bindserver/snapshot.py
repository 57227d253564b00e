"""A connection of a thread's own, on which everything is read in one snapshot."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from django.db import OperationalError, connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from bindserver.pace import Pacer

PROGRESS_STEPS = 10_000
_reading = threading.local()


class SnapshotRouter:
    """Keeps reads of a snapshot in it, whatever the project's own routers say."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        alias: str | None = getattr(_reading, "alias", None)
        return alias

    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        return None

    def allow_relation(self, one: Any, other: Any, **hints: Any) -> bool | None:
        return None

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return None


def route_snapshots() -> None:
    """Put our router before the project's own."""
    if not any(isinstance(known, SnapshotRouter) for known in router.routers):
        router.routers.insert(0, SnapshotRouter())


def open_connection(alias: str) -> BaseDatabaseWrapper:
    """Give this thread a new connection wrapper of its own, with settings of its own.

    Settings are copied because wrappers of one alias share their dict: what is changed here would
    reach the application's threads. SQLite reads begin DEFERRED, or each would lock writers out.
    """
    known = connections[alias]
    settings = copy.deepcopy(connections.settings[alias])
    settings["NAME"] = known.settings_dict["NAME"]
    path = _path_of(known)
    if path is not None:
        # A file that has been moved away is missed, not made anew.
        settings["NAME"] = f"{path.as_uri()}?mode=rw"
    if known.vendor == "sqlite":
        settings.setdefault("OPTIONS", {})["transaction_mode"] = "DEFERRED"
    settings["CONN_MAX_AGE"] = None
    wrapper: BaseDatabaseWrapper = type(known)(settings, alias)
    connections[alias] = wrapper
    if path is not None:
        _files[wrapper] = _File(path)
    return wrapper


def connect(connection: BaseDatabaseWrapper) -> None:
    """Connect, and make sure that what a connection is open on is still the database.

    Raises:
        OperationalError: the database is out of reach, or its file is another one by now.
    """
    file = _files.get(connection)
    if connection.connection is None and file is not None:
        file.identity = file.look()
    connection.ensure_connection()
    if file is not None and file.look() != file.identity:
        raise OperationalError("the database's file has been moved or replaced")


class _File:
    """A database's file: on Unix a connection goes on with a file that is no longer there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.identity: tuple[int, int] | None = None

    def look(self) -> tuple[int, int] | None:
        """Return what tells this file from any other, None when there is none."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino


_files: WeakKeyDictionary[BaseDatabaseWrapper, _File] = WeakKeyDictionary()


def _path_of(connection: BaseDatabaseWrapper) -> Path | None:
    """Return where a database's file is; None for one in memory, or of another kind."""
    name = str(connection.settings_dict["NAME"])
    if connection.vendor != "sqlite" or name == ":memory:" or name.startswith("file:"):
        return None
    return Path(name).absolute()


def in_snapshot() -> bool:
    """Tell whether this thread is reading in a snapshot of ours."""
    return getattr(_reading, "alias", None) is not None


@contextmanager
def snapshot(connection: BaseDatabaseWrapper, pacer: Pacer) -> Iterator[None]:
    """Read in one snapshot; nothing can be written, and nothing outlives the pacer's time."""
    with reading_from(connection.alias):
        connect(connection)
        with _read_only(connection, pacer), transaction.atomic(using=connection.alias):
            yield


@contextmanager
def reading_from(alias: str) -> Iterator[None]:
    """Let all reads of this thread go to one database, whatever the project's routers say."""
    _reading.alias = alias
    try:
        yield
    finally:
        _reading.alias = None


@contextmanager
def _read_only(connection: BaseDatabaseWrapper, pacer: Pacer) -> Iterator[None]:
    raw: Any = connection.connection
    raw.execute("PRAGMA query_only = ON")
    raw.set_progress_handler(pacer.expired, PROGRESS_STEPS)
    try:
        yield
    finally:
        raw.set_progress_handler(None, 0)
        raw.execute("PRAGMA query_only = OFF")
