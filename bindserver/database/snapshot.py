"""A connection of a thread's own, on which everything is read in one snapshot."""

from __future__ import annotations

import copy
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections, router
from django.db.backends.base.base import BaseDatabaseWrapper

from bindserver.database import database_of
from bindserver.database.compiling import compile_alone
from bindserver.database.pacing import Pacer
from bindserver.database.routers import is_elsewhere
from bindserver.database.snapshot_time import OneTime
from bindserver.database.uncached import past_caches
from bindserver.exceptions import Overtaken
from bindserver.user_code import contained

_reading = threading.local()


class SnapshotRouter:
    """Keeps reads of a snapshot in it, whatever the project's own routers say; all but those of
    models that they keep in another database altogether."""

    reads_snapshots = True

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        alias: str | None = getattr(_reading, "alias", None)
        return None if alias is None or is_elsewhere(model, alias) else alias

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
    reach the application's threads.
    """
    known = connections[alias]
    settings = copy.deepcopy(connections.settings[alias])
    settings["NAME"] = known.settings_dict["NAME"]
    settings["CONN_MAX_AGE"] = None
    settings["AUTOCOMMIT"] = True  # else no snapshot ever ends, or, on SQLite, there is none
    database_of(known.vendor).adapt(settings)
    wrapper: BaseDatabaseWrapper = type(known)(settings, alias)
    compile_alone(wrapper)
    connections[alias] = wrapper
    return wrapper


def connect(connection: BaseDatabaseWrapper) -> None:
    """Connect, and make sure that what a connection is open on is still the database.

    Raises:
        OperationalError: the database is out of reach, or it is another one by now.
    """
    with contained():  # a project's own code may hear of new connections
        database_of(connection.vendor).connect(connection)


def in_snapshot() -> bool:
    """Return whether this thread is reading in a snapshot of ours."""
    return getattr(_reading, "alias", None) is not None


@contextmanager
def snapshot(connection: BaseDatabaseWrapper, pacer: Pacer) -> Iterator[None]:
    """Read in one snapshot; nothing can be written, and nothing outlives the pacer's time."""
    with reading_from(connection.alias):
        connect(connection)
        try:
            with (
                database_of(connection.vendor).reading(connection, pacer),
                connection.execute_wrapper(OneTime(connection)),
            ):
                yield
        finally:
            _let_go_of_others(connection)


@contextmanager
def snapshot_apart(alias: str, pacer: Pacer) -> Iterator[BaseDatabaseWrapper]:
    """Read in a snapshot on a connection that is there for that alone; this thread has its usual
    one again afterwards."""
    usual, connection = connections[alias], open_connection(alias)
    try:
        connect(connection)
        with snapshot(connection, pacer):
            yield connection
    finally:
        connection.close()
        connections[alias] = usual


def _let_go_of_others(connection: BaseDatabaseWrapper) -> None:
    """Do to this thread's connections to other databases what Django does at a request's end, which
    never comes here: one that was lost would stay so."""
    for other in connections.all(initialized_only=True):
        if other is not connection:
            other.close_if_unusable_or_obsolete()


def vouch(alias: str, tables: Collection[str]) -> None:
    """Make sure that what this thread has read of some tables is what its snapshot saw.

    Raises:
        Overtaken: it may be newer.
    """
    connection = connections[alias]
    if database_of(connection.vendor).overtaken(connection, tables):
        raise Overtaken(f"changed after the snapshot: one of {', '.join(sorted(tables))}")


def locked(alias: str, problem: Exception) -> bool:
    """Return whether a read failed, be it a permission's, because somebody has locked a table
    against readers."""
    database, reason = database_of(connections[alias].vendor), problem
    while not database.locked(reason):
        if not isinstance(reason.__cause__, Exception):
            return False
        reason = reason.__cause__
    return True


@contextmanager
def guarded(alias: str) -> Iterator[None]:
    """Keep this thread's snapshot whole when a statement inside fails: on some databases an error
    ends the transaction. Nor does it end this thread.

    Raises:
        BindingError: that is what it wanted.
    """
    connection = connections[alias]
    broken = connection.needs_rollback
    try:
        with contained(), database_of(connection.vendor).guard(connection):
            yield
    finally:
        if in_snapshot():
            # An atomic block inside, as `save()` is one, has it marked as broken when it fails. In
            # a snapshot nothing was written, so there is nothing to roll back.
            connection.needs_rollback = broken


@contextmanager
def reading_from(alias: str) -> Iterator[None]:
    """Let all reads of this thread go to one database, whatever the project's routers and the
    caches of other packages say."""
    _reading.alias = alias
    try:
        with past_caches():
            yield
    finally:
        _reading.alias = None
