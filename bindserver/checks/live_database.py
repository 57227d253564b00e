"""What only a database can tell an operator: `bindings doctor` asks it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from django.contrib.auth import get_user_model
from django.core import checks
from django.core.checks import CheckMessage
from django.db import DatabaseError, connections, router

from bindserver.capture.log import has_log
from bindserver.capture.postgresql.notifying import Notifying
from bindserver.checks.live_log import log_is_installed, log_is_purged, triggers_are_in_place
from bindserver.checks.live_rights import role_may, says_denied, tables_are_there
from bindserver.checks.looks import Irrelevant, LookAt
from bindserver.checks.project import check_databases
from bindserver.conf import conf
from bindserver.database.sql import ask

UNANSWERED = "bindserver.W201"
"""The id where a database does not answer what it is asked."""

SKEW_SECONDS = 2.0
"""How far the database's clock may be from this machine's."""

OPEN_SECONDS = 60.0
"""How long a transaction may stand open before it is told."""

NOW = {
    "mysql": "SELECT UNIX_TIMESTAMP(NOW(6))",
    "postgresql": "SELECT extract(epoch FROM clock_timestamp())::float8",
}
"""How a database that runs elsewhere is asked for the time."""

IDLE = {
    "mysql": "SELECT COUNT(*), MAX(TIMESTAMPDIFF(SECOND, t.trx_started, NOW())) "
    "FROM information_schema.INNODB_TRX t "
    "JOIN information_schema.PROCESSLIST p ON p.ID = t.trx_mysql_thread_id "
    "WHERE p.COMMAND = 'Sleep' AND p.DB = DATABASE() "
    "AND TIMESTAMPDIFF(SECOND, t.trx_started, NOW()) >= %s",
    "postgresql": "SELECT count(*), max(extract(epoch FROM now() - xact_start)) "
    "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
    "AND state LIKE 'idle in transaction%%' "
    "AND xact_start <= now() - make_interval(secs => %s)",
}
"""How one is asked for transactions in which nothing happens, and how old the oldest is."""


def known_to_django(alias: str) -> Iterator[CheckMessage]:
    """Look at what the system checks ask a database."""
    yield from check_databases(databases=[alias])


def sqlite_is_in_wal_mode(alias: str) -> Iterator[CheckMessage]:
    """Look at SQLite's journal."""
    connection: Any = connections[alias]
    if connection.vendor != "sqlite" or connection.is_in_memory_db():
        raise Irrelevant
    mode = str(ask(connection, "PRAGMA journal_mode")[0][0]).lower()
    if mode != "wal":
        yield checks.Warning(
            f"The database is in journal mode {mode!r}: readers and writers wait for each other, "
            "and there can be no change log.",
            hint='Set OPTIONS = {"init_command": "PRAGMA journal_mode=WAL"} in DATABASES.',
            id="bindserver.W203",
        )


def clocks_agree(alias: str) -> Iterator[CheckMessage]:
    """Look at the database's clock: entries are purged, and bindings with `Now()` read, by it."""
    connection = connections[alias]
    if connection.vendor not in NOW:
        raise Irrelevant
    before = time.time()
    found = float(ask(connection, NOW[connection.vendor])[0][0])
    skew = max(before - found, found - time.time(), 0.0)  # what the question took is no skew
    if skew > SKEW_SECONDS:
        yield checks.Warning(
            f"The database's clock and this machine's are {skew:.0f} s apart: rows enter and leave "
            "at the wrong time, and the log is purged too early or late.",
            hint="Have both machines set their clocks by NTP.",
            id="bindserver.W206",
        )


def nobody_holds_a_transaction(alias: str) -> Iterator[CheckMessage]:
    """Look for transactions that stand open: they keep the log from being purged, and tables from
    being watched."""
    connection = connections[alias]
    if connection.vendor not in IDLE:
        raise Irrelevant
    try:
        count, oldest = ask(connection, IDLE[connection.vendor], [OPEN_SECONDS])[0]
    except DatabaseError as problem:
        if not says_denied(problem):
            raise
        yield checks.Info(
            "This role is not shown which transactions stand open.",
            hint="The right PROCESS would show them.",
            id="bindserver.I208",
        )
        return
    if count:
        yield checks.Warning(
            f"{count} transactions stand open with nothing going on, the oldest for {oldest:.0f} "
            "s: meanwhile the log is not purged, and triggers cannot be installed.",
            hint="Find the program that forgets them; set a limit, such as PostgreSQL's "
            "idle_in_transaction_session_timeout.",
            id="bindserver.W208",
        )


def postgresql_ends_idle_transactions(alias: str) -> Iterator[CheckMessage]:
    """Look whether PostgreSQL ends transactions that somebody has forgotten."""
    connection = connections[alias]
    if connection.vendor != "postgresql":
        raise Irrelevant
    sql = "SELECT setting::int FROM pg_settings WHERE name = 'idle_in_transaction_session_timeout'"
    if not ask(connection, sql)[0][0]:
        yield checks.Info(
            "idle_in_transaction_session_timeout is 0: a transaction that a program forgets stays "
            "open for ever.",
            hint="Set it for the project's role: ALTER ROLE … SET "
            "idle_in_transaction_session_timeout = '60s'.",
            id="bindserver.I209",
        )


def pooler_is_known(alias: str) -> Iterator[CheckMessage]:
    """Look for a pooler such as PgBouncer: it answers for another backend than it names."""
    connection: Any = connections[alias]
    if connection.vendor != "postgresql":
        raise Irrelevant
    backend = ask(connection, "SELECT pg_backend_pid()")[0][0]
    if backend == connection.connection.info.backend_pid:
        return
    if _log_notifies(alias):
        yield checks.Warning(
            "A pooler stands before the database, and commits notify: servers do not hear "
            "that in transaction mode, so that all writers pay for nothing.",
            hint="Run `manage.py bindings capture install --no-notify`, or give servers an alias "
            "that leads past the pooler.",
            id="bindserver.W210",
        )
    yield checks.Info(
        "A pooler stands before the database. In transaction mode all works but NOTIFY; in "
        "statement mode nothing does.",
        hint="In your own code avoid what belongs to a session: SET, LISTEN, advisory locks that "
        "outlive a transaction, server-side cursors (DISABLE_SERVER_SIDE_CURSORS).",
        id="bindserver.I210",
    )


def _log_notifies(alias: str) -> bool:
    """Return whether commits of a PostgreSQL database notify."""
    connection = connections[alias]
    return has_log(connection) and Notifying(connection).is_on()


def users_are_here(alias: str) -> Iterator[CheckMessage]:
    """Look where users are: changes of rights in another database are noticed late."""
    home = router.db_for_read(get_user_model())
    if home != alias:
        yield checks.Info(
            f"Users are in database {home!r}: a change of groups or rights there is noticed within "
            f"REVALIDATE_SECONDS ({conf.REVALIDATE_SECONDS:g} s).",
            hint="Lower REVALIDATE_SECONDS if that is too late.",
            id="bindserver.I211",
        )


DATABASE: Mapping[str, LookAt] = {
    "bindings can be read": known_to_django,
    "WAL mode is on": sqlite_is_in_wal_mode,
    "tables are there": tables_are_there,
    "the change log is installed": log_is_installed,
    "triggers are in place": triggers_are_in_place,
    "the log is purged": log_is_purged,
    "clocks agree": clocks_agree,
    "the role has the rights it needs": role_may,
    "no transaction is forgotten": nobody_holds_a_transaction,
    "forgotten transactions are ended": postgresql_ends_idle_transactions,
    "no pooler is in the way": pooler_is_known,
    "users are in the same database": users_are_here,
}
"""What is looked at, and what there is to say where nothing is found."""
