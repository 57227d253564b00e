"""Whether a caller's own connection means something else by a query than ours does.

A session may stand in another schema or role than ours, or have told the database for whom it reads
(row-level security, settings that a database view looks at). What memory holds was read in a
session as the project's settings make it, and is no answer there.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.utils.module_loading import import_string

from bindserver.database.row_security import tables_by_row
from bindserver.database.sql import ask

OWN_BACKENDS = ("django.db.backends.", "django.contrib.gis.db.backends.")
"""Where Django's own backends are, of which it is known that they switch nothing by themselves."""

SWITCHES = ("set_schema", "set_tenant", "set_schema_to_public", "schema_name")
"""What backends that switch schemas are known by: django-tenants, django-tenant-schemas and their
like."""

SWITCHING_ROUTERS = ("TenantSyncRouter",)

CHANGE = re.compile(
    r"(?:^|;)[\s(]*(?:"
    r"(?P<set>SET)\s+(?:(?:SESSION|LOCAL|GLOBAL)\s+)?(?P<name>[^\s=;]+)"
    r"|USE\s|ATTACH\s|CREATE\s+(?:OR\s+REPLACE\s+)?(?:LOCAL\s+)?TEMP(?:ORARY)?\s)"
    r"|\bset_config\s*\(\s*(?P<config>'[^']*'|\S)",
    re.IGNORECASE,
)
"""Statements after which a session may mean something else by the same query."""

HARMLESS = re.compile(
    r"constraints|transaction|characteristics|names|autocommit|time|timezone|time_zone"
    r"|application_name|work_mem|maintenance_work_mem|jit\w*|enable_\w+|synchronous_commit"
    r"|client_encoding|client_min_messages|\w+_timeout|(?:foreign_key|unique)_checks"
    r"|sql_auto_is_null|sql_safe_updates|statement",
    re.IGNORECASE,
)
"""Settings that change how long a query takes, or when it is checked, and not what it finds."""

IDLE, IN_TRANSACTION = 0, 2
"""How libpq calls a session that can be asked: outside of a transaction, and inside of one."""

STATES = {
    "postgresql": (
        "SELECT pg_current_xact_id_if_assigned() IS NOT NULL, "
        "concat_ws(' ', current_schemas(true), current_user, session_user, "
        "current_setting('row_security'))"
    ),
    "mysql": "SELECT FALSE, CONCAT_WS(' ', DATABASE(), CURRENT_USER(), CURRENT_ROLE())",
}
"""Asks whether the open transaction has written, and where the session stands."""


@dataclass(frozen=True, slots=True)
class UsualSession:
    """How a session of the project's stands that nobody has told anything.

    Attributes:
        state: its schemas and role, in one text.
        by_row: the tables of which the database shows its role some rows only.
    """

    state: str
    by_row: frozenset[str]


_usual: dict[str, UsualSession] = {}


class SessionWatch:
    """Notes whether something was said on a connection that changes what its queries mean.

    The note stands until the connection is closed: what `SET LOCAL` said is forgotten earlier by
    the database, and taking that for lasting costs a query.
    """

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection
        self._told: Any = None

    def __call__(
        self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any
    ) -> Any:
        if self._told is not self._connection.connection and _changes(_text(sql)):
            self._told = self._connection.connection
        return execute(sql, params, many, context)

    def was_told(self) -> bool:
        """Return whether anything was said on the connection that is open now."""
        return self._told is not None and self._told is self._connection.connection


def _text(sql: Any) -> str:
    """Return a statement's text; psycopg's own are composed."""
    return sql.as_string(None) if hasattr(sql, "as_string") else str(sql)


def _changes(sql: str) -> bool:
    for found in CHANGE.finditer(sql):
        name = found["name"] if found["set"] else found["config"]
        if name is None or not HARMLESS.fullmatch(name.strip("'\"`")):
            return True
    return False


def watch_sessions() -> None:
    """Watch every connection of the application's."""
    connection_created.connect(_watch, dispatch_uid="bindserver.database.sessions")
    for connection in connections.all(initialized_only=True):
        _watch(connection=connection)


def _watch(connection: BaseDatabaseWrapper, **_: Any) -> None:
    if _watch_of(connection) is None:
        connection.execute_wrappers.insert(0, SessionWatch(connection))


def _watch_of(connection: BaseDatabaseWrapper) -> SessionWatch | None:
    for wrapper in connection.execute_wrappers:
        if isinstance(wrapper, SessionWatch):
            return wrapper
    return None


def was_told(connection: BaseDatabaseWrapper) -> bool:
    """Return whether something was said on a connection that another one would have to be told."""
    watch = _watch_of(connection)
    return watch is not None and watch.was_told()


def switcher_of(alias: str) -> str | None:
    """Return what switches schemas on a database's connections: the name of its backend, or of a
    router; None where nothing is known to."""
    kind = type(connections[alias])
    if any(hasattr(kind, name) or hasattr(connections[alias], name) for name in SWITCHES):
        return f"backend {connections[alias].settings_dict['ENGINE']}"
    if connections[alias].vendor != "postgresql":
        return None
    return next((f"router {name}" for name in _routers()), None)


def _routers() -> Iterator[str]:
    for router in settings.DATABASE_ROUTERS:
        kind = import_string(router) if isinstance(router, str) else type(router)
        if any(base.__name__ in SWITCHING_ROUTERS for base in getattr(kind, "__mro__", ())):
            yield f"{kind.__module__}.{kind.__qualname__}"


def stands_elsewhere(alias: str, *, but_for_rows: bool = False) -> bool:
    """Return whether a query on this thread's own connection may mean something else than on ours,
    or show what its open transaction has written past the watch.

    A connection that is not open yet stands where the settings say. For one that is, the database
    is asked one question, on SQLite none.

    Args:
        alias: the database's.
        but_for_rows: ask about schemas and roles alone, and neither about tables of which some rows
            only are shown, nor about what the transaction has written.
    """
    connection = connections[alias]
    if switcher_of(alias) is not None or was_told(connection):
        return True
    if connection.vendor not in STATES or not (_is_open(connection) or _is_foreign(connection)):
        return False
    if not _answers(connection):
        return False
    try:
        has_written, state = _state(connection)
    except (InterfaceError, OperationalError):
        # It is lost, and the next one stands as usual; but what a transaction saw is lost with it.
        return connection.in_atomic_block
    usual = _usual_of(connection)
    if usual is None or state != usual.state:
        return True
    return not but_for_rows and bool(has_written or usual.by_row)


def usually_by_row(alias: str) -> frozenset[str]:
    """Return the tables of a database of which sessions as the settings make them are shown some
    rows only, as far as is known: nobody waits here for a database that nobody has reached."""
    connection = connections[alias]
    if connection.vendor not in STATES:
        return frozenset()
    known = _usual.get(_session_of(connection))
    usual = known or (_usual_of(connection) if _is_open(connection) else None)
    return frozenset() if usual is None else usual.by_row


def _is_open(connection: BaseDatabaseWrapper) -> bool:
    return connection.connection is not None


def _is_foreign(connection: BaseDatabaseWrapper) -> bool:
    """Return whether a backend is not Django's, and may say something before each statement."""
    return not type(connection).__module__.startswith(OWN_BACKENDS)


def _answers(connection: BaseDatabaseWrapper) -> bool:
    """Return whether a session can be asked: a transaction that has failed answers nothing, and one
    that is in the middle of something has to end that first."""
    if connection.vendor != "postgresql" or not _is_open(connection):
        return True
    raw: Any = connection.connection
    return raw.info.transaction_status in (IDLE, IN_TRANSACTION)


def _state(connection: BaseDatabaseWrapper) -> tuple[bool, str]:
    """Return whether the open transaction has written, and where the session stands."""
    sql = STATES[connection.vendor]
    if _is_foreign(connection):  # what it says before each statement has to be said
        return tuple(ask(connection, sql)[0])
    raw: Any = connection.connection  # past Django's cursor: this is no query of the project's
    with connection.wrap_database_errors, closing(raw.cursor()) as cursor:
        cursor.execute(sql)
        return tuple(cursor.fetchall()[0])


def _usual_of(connection: BaseDatabaseWrapper) -> UsualSession | None:
    """Return how sessions of a database stand, asked once for each process on a connection that
    nobody else has had; None while there is none to be had."""
    name = _session_of(connection)
    if name not in _usual:
        with closing(_fresh(connection)) as fresh:
            try:
                fresh.ensure_connection()
            except OperationalError:
                return None  # the caller's is good enough for what its caller asks
            _, state = _state(fresh)
            _usual[name] = UsualSession(state=state, by_row=tables_by_row(fresh))
    return _usual[name]


def _session_of(connection: BaseDatabaseWrapper) -> str:
    """Return what is equal for connections that are made alike."""
    where = connection.settings_dict
    return repr([connection.alias, *(where[part] for part in ("HOST", "PORT", "NAME", "USER"))])


def _fresh(connection: BaseDatabaseWrapper) -> BaseDatabaseWrapper:
    """Return another connection to the same database, out of no pool."""
    own = copy.deepcopy(connection.settings_dict)
    own["OPTIONS"].pop("pool", None)
    return type(connection)(own, connection.alias)
