"""What only a database can tell an operator: `bindings doctor` asks it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.core import checks
from django.core.checks import CheckMessage
from django.db import DatabaseError, connections, router

from bindserver.bindings.registry import registry
from bindserver.capture.log import LOGS, Log, has_log, log_of, sift
from bindserver.capture.postgresql.notifying import Notifying
from bindserver.capture.tables import tracked
from bindserver.checks.project import check_databases
from bindserver.conf import conf
from bindserver.database.sql import ask, run
from bindserver.exceptions import CaptureError
from bindserver.queries.tables import reads_of


class Irrelevant(Exception):
    """There is nothing to look at, as where a database is of another kind."""


LookAt = Callable[[str], Iterator[CheckMessage]]
"""Looks at one thing of a database, by its alias, and yields what is wrong with it."""

UNANSWERED = "bindserver.W201"
"""The id where a database does not answer what it is asked."""

PURGE_PATIENCE_SECONDS = 60.0
"""How far purging may be behind before it is told."""

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

DENIED = {"42501", 1142, 1143, 1227}
"""How databases say that a right is lacking: PostgreSQL's state, MariaDB's and MySQL's numbers."""

ABSENT = {"42P01", 1146}
"""How they say that there is no such table. SQLite says it in words alone."""


def known_to_django(alias: str) -> Iterator[CheckMessage]:
    """Look at what the system checks ask a database."""
    yield from check_databases(databases=[alias])


def tables_are_there(alias: str) -> Iterator[CheckMessage]:
    """Look for tables that bindings read and nobody has made yet."""
    connection = connections[alias]
    if has_log(connection):
        raise Irrelevant  # `triggers_are_in_place` tells it
    read = sorted(reads_of(registry.all(), alias))
    if missing := [table for table in read if _is_absent(alias, table)]:
        yield checks.Warning(
            f"Tables that bindings read are not there: {', '.join(missing)}.",
            hint=f"Run `manage.py migrate{_option(alias)}` first.",
            id="bindserver.W212",
        )


def log_is_installed(alias: str) -> Iterator[CheckMessage]:
    """Look for the change log."""
    connection = connections[alias]
    if conf.CAPTURE == "signals" or connection.vendor not in LOGS:
        raise Irrelevant
    if has_log(connection):
        return
    meanwhile = (
        "no server starts"
        if conf.CAPTURE == "log"
        else f"what other programs write is seen within {conf.COMPARE_SECONDS:g} s only"
    )
    yield checks.Warning(
        f"There is no change log, and CAPTURE is {conf.CAPTURE!r}: {meanwhile}.",
        hint=f"Run `manage.py bindings capture install{_option(alias)}`.",
        id="bindserver.W202",
    )


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


def triggers_are_in_place(alias: str) -> Iterator[CheckMessage]:
    """Look for triggers that are missing, or not as this version makes them."""
    log = _log(alias)
    reads = reads_of(registry.all(), alias)
    try:
        wanted, others = sift(log, tracked(reads, reads))
    except CaptureError as problem:
        yield checks.Warning(str(problem), hint="Then install again.", id="bindserver.W204")
        return
    if missing := [item.table for item in log.missing(wanted)]:
        yield checks.Warning(
            f"Triggers are missing or stale on {', '.join(missing)}: changes there are not seen.",
            hint=f"Run `manage.py bindings capture install{_option(alias)}`.",
            id="bindserver.W204",
        )
    for why in others.values():
        yield checks.Warning(
            f"A table cannot be watched: {why}",
            hint=f"Until it can, what reads it is compared whole every {conf.COMPARE_SECONDS:g} s.",
            id="bindserver.W204",
        )


def log_is_purged(alias: str) -> Iterator[CheckMessage]:
    """Look whether anybody deletes old entries."""
    size = _log(alias).size()
    behind = purge_delay(size.oldest)
    if behind is not None:
        yield checks.Warning(
            f"Nothing purges the log: about {size.entries} entries, the oldest {behind:.0f} s "
            "older than LOG_KEEP_SECONDS keeps them.",
            hint="A running server whose role may delete purges it. Where none runs, have "
            f"`manage.py bindings capture purge{_option(alias)}` run by a timer.",
            id="bindserver.W205",
        )


def purge_delay(oldest: float | None) -> float | None:
    """Return how many seconds purging is behind what LOG_KEEP_SECONDS says; None where it is not.

    Args:
        oldest: when the oldest entry was written, in seconds since 1970; None without any.
    """
    late: float = 0.0 if oldest is None else time.time() - oldest - conf.LOG_KEEP_SECONDS
    return None if late < max(PURGE_PATIENCE_SECONDS, conf.LOG_KEEP_SECONDS / 10) else late


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


def role_may(alias: str) -> Iterator[CheckMessage]:
    """Look at the rights of the role that servers connect as."""
    connection = connections[alias]
    if connection.vendor == "sqlite":
        yield from _file_may_be_written(alias)
        return
    lacks = [
        f"SELECT on {table}"
        for table in sorted(reads_of(registry.all(), alias))
        if _is_denied(alias, _nothing_of(connection.ops.quote_name(table)))
    ]
    if connection.vendor in LOGS and has_log(connection):
        lacks += [
            f"{right} on bindserver_log"
            for right, sql in (
                ("SELECT", _nothing_of("bindserver_log")),
                ("DELETE", "DELETE FROM bindserver_log WHERE 1 = 0"),
            )
            if _is_denied(alias, sql)
        ]
    if lacks:
        yield checks.Warning(
            f"The role {connection.settings_dict['USER']!r} lacks {', '.join(lacks)}.",
            hint="Have the owner grant it: without SELECT bindings fail, without DELETE nothing "
            "purges the log.",
            id="bindserver.W207",
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
        if not _says_denied(problem):
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
    if log_notifies(alias):
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


def log_notifies(alias: str) -> bool:
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


def _log(alias: str) -> Log:
    """Return a database's change log.

    Raises:
        Irrelevant: there is none, which another look tells.
    """
    connection = connections[alias]
    if not has_log(connection):
        raise Irrelevant
    return log_of(connection)


def _option(alias: str) -> str:
    return "" if alias == "default" else f" --database {alias}"


def _file_may_be_written(alias: str) -> Iterator[CheckMessage]:
    """Look at the rights on SQLite's file: in WAL mode a reader writes beside it, too."""
    connection: Any = connections[alias]
    if connection.is_in_memory_db():
        return
    path = Path(str(connection.settings_dict["NAME"]))
    for what in (path.parent, path):
        if not os.access(what, os.W_OK):
            yield checks.Warning(
                f"This user may not write to {what}: in WAL mode a reader writes there, too.",
                hint="Give the server's user the right to write to the file and to its folder.",
                id="bindserver.W207",
            )


def _nothing_of(quoted: str) -> str:
    return f"SELECT 1 FROM {quoted} WHERE 1 = 0"  # noqa: S608  (a name that Django has quoted)


def _is_denied(alias: str, sql: str) -> bool:
    """Return whether a statement that does nothing is refused for want of a right."""
    try:
        run(connections[alias], sql)
    except DatabaseError as problem:
        if not (_says_denied(problem) or _says_absent(problem)):
            raise
        return _says_denied(problem)
    return False


def _is_absent(alias: str, table: str) -> bool:
    """Return whether there is no such table, or view."""
    connection = connections[alias]
    try:
        run(connection, _nothing_of(connection.ops.quote_name(table)))
    except DatabaseError as problem:
        if not (_says_denied(problem) or _says_absent(problem)):
            raise
        return _says_absent(problem)
    return False


def _says_denied(problem: DatabaseError) -> bool:
    """Return whether a database's error is that a right is lacking."""
    return bool(DENIED & _codes(problem))


def _says_absent(problem: DatabaseError) -> bool:
    """Return whether a database's error is that there is no such table."""
    return bool(ABSENT & _codes(problem)) or str(problem).startswith("no such table")


def _codes(problem: DatabaseError) -> set[Any]:
    return {getattr(problem.__cause__, "sqlstate", None), *problem.args[:1]}
