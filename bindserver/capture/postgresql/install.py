"""Brings the change log into a PostgreSQL database, and takes it away."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

from django.db import DatabaseError, OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper

from bindserver.capture.postgresql.bound import Bound
from bindserver.capture.postgresql.notifying import Notifying
from bindserver.capture.postgresql.session import abreast, may_write
from bindserver.capture.postgresql.triggers import LOG, META, Triggers
from bindserver.capture.tables import Tracked
from bindserver.conf import conf
from bindserver.database.sql import ask, run
from bindserver.exceptions import REMOVED, CaptureBusy, CaptureError, LogRemoved

LOCK_SECONDS = 0.2
"""How long a table's writers may be held up by one try to put triggers on it."""

LOCK = 0x62696E64
"""The advisory lock of whoever installs."""

NEXT = "pg_snapshot_xmax(pg_current_snapshot())"
"""The first transaction that has not begun yet."""

FROM_ELSEWHERE = f"""
SELECT EXISTS (SELECT FROM {LOG} WHERE xid >= {NEXT} AND xid <> pg_current_xact_id())
OR EXISTS (SELECT FROM {META} WHERE CASE WHEN name = 'purged' THEN value
  WHEN starts_with(name, 'seen:') THEN substr(name, 6) END::numeric > {NEXT}::text::numeric)
"""
"""Whether the log tells of transactions that are yet to be, as one from a dump of another server
does."""


class Installer:
    """What a log does to the schema.

    Args:
        connection: Django's wrapper of the connection to use.

    Attributes:
        tries: how often `install` and `remove` ask for a lock that somebody holds.
        lock_seconds: how long they wait for it each time, and in between.
        tell: hears in a sentence why they wait.
        notify: whether `install` has commits notify; None leaves that as it is.
        own_epoch: stands behind the epoch where a role that only reads has begun one.
    """

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.lock_seconds = LOCK_SECONDS
        self.tries = 1
        self.tell: Callable[[str], None] = lambda sentence: None
        self.notify: bool | None = None
        self.own_epoch = ""
        self._connection = connection
        self._triggers = Triggers(connection)
        self._notifying = Notifying(connection)
        self._bound = Bound(connection)

    def installed(self) -> bool:
        # Not `to_regclass`: a session may remember for a transaction that there is no such name.
        found = self._rows(
            "SELECT count(*) FROM pg_class WHERE relname IN (%s, %s) AND pg_table_is_visible(oid)",
            (LOG, META),
        )
        return bool(found[0][0] == 2)

    def missing(self, tables: Collection[Tracked]) -> list[Tracked]:
        return self._triggers.missing(tables)

    def old_columns(self, tables: Collection[Tracked]) -> Mapping[str, frozenset[str]]:
        return self._triggers.old_columns(tables)

    def columns(self, tables: Collection[Tracked]) -> Mapping[str, frozenset[str]]:
        """Return none: a trigger that is called once for a statement, and sees all of its rows,
        cannot be made for some columns."""
        return {}

    def demand(self, tables: Collection[Tracked]) -> None:
        self._triggers.demand(tables)

    def accept(self, tables: Collection[Tracked]) -> None:
        self._triggers.accept(tables)

    def plan(self, tables: Collection[Tracked]) -> list[str]:
        statements = [] if self.installed() else self._triggers.log_tables()
        missing = self.missing(tables) if not statements else tables
        statements += self._bound.plan(conf.LOG_MAX_ENTRIES)
        for tracked in missing:
            # A stray trigger may concern two: one has its table now, the other its name.
            statements += [s for s in self._triggers.statements(tracked) if s not in statements]
        return statements + self._notifying.plan(self.notify)

    def install(self, tables: Collection[Tracked], *, whole: bool = True) -> list[str]:
        self._triggers.demand(tables)
        done: list[str] = []
        is_new = not self.installed()
        if is_new:
            if not whole:
                raise LogRemoved(REMOVED)
            done += self._patiently("the change log", self._make_log)
        if bound := self._bound.plan(conf.LOG_MAX_ENTRIES, change=whole):
            # Before the triggers, which call it.
            done += self._patiently("the change log", partial(self._run_all, bound))
        for tracked in self.missing(tables):
            done += self._patiently(tracked.table, partial(self._watch, tracked, is_new=is_new))
        self.accept(tables)
        if self._notifying.plan(self.notify):
            done += self._patiently("the change log", self._switch_notifying)
        return done

    def _switch_notifying(self) -> list[str]:
        return self._run_all(self._notifying.plan(self.notify))

    def _make_log(self) -> list[str]:
        if self.installed():
            return []  # somebody else was faster
        done = self._run_all(self._triggers.log_tables())
        self.renew()
        return done

    def _watch(self, tracked: Tracked, *, is_new: bool) -> list[str]:
        """Put triggers on a table; and log, in the same transaction, that any row of it may have
        changed.

        Whoever wrote to it before has committed by then: making triggers waits for them.

        Args:
            tracked: the table.
            is_new: whether the log is, so that a new epoch says all there is to say.
        """
        if not self.installed():
            raise LogRemoved(REMOVED)  # by somebody who was waited for
        if not self.missing([tracked]):
            return []
        done = self._run_all(self._triggers.statements(tracked))
        self._triggers.record(tracked)
        if is_new or self._rows(FROM_ELSEWHERE)[0][0]:
            self.renew()
        else:
            self._log_any_row(tracked.table)
        return done

    def _log_any_row(self, table: str) -> None:
        self._run(f"INSERT INTO {LOG} (tbl) VALUES (%s)", (table,))

    def _patiently(self, what: str, work: Callable[[], list[str]]) -> list[str]:
        """Do something that needs a lock on a table, and never make its writers queue for long."""
        for left in reversed(range(self.tries)):
            try:
                with abreast(self._connection):
                    usual = self._rows("SELECT current_setting('lock_timeout')")[0][0]
                    self._set("lock_timeout", f"{int(self.lock_seconds * 1000)}ms")
                    self._rows("SELECT pg_advisory_xact_lock(%s)::text", (LOCK,))
                    done = work()
                    self._set("lock_timeout", usual)  # a migration's transaction goes on
                    return done
            except OperationalError as problem:
                if not _waited_too_long(problem):
                    raise
                self.tell(f"{what} is in use; {left} more tries")
            except DatabaseError as problem:
                raise CaptureError(f"{what} cannot be changed: {problem}".strip()) from problem
            if left:
                time.sleep(self.lock_seconds)
        raise CaptureBusy(
            f"Somebody holds a lock on {what}: a transaction that has written to it and stays "
            "open, or a change of its schema. Try again, or see who by "
            "`SELECT pid, query, xact_start FROM pg_stat_activity ORDER BY xact_start`."
        )

    def _set(self, name: str, value: str) -> None:
        self._rows("SELECT set_config(%s, %s, true)", (name, value))

    def renew(self) -> None:
        try:
            with abreast(self._connection):
                self._run(
                    f"INSERT INTO {META} VALUES ('epoch', %s) "
                    "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                    (secrets.token_hex(8),),
                )
                # A dump from elsewhere brings entries and marks of transactions that are yet to be.
                self._run(f"DELETE FROM {META} WHERE name = 'purged' OR starts_with(name, 'seen:')")
                self._run(f"DELETE FROM {LOG} WHERE xid >= {NEXT}")
        except DatabaseError:
            if may_write(self._connection, (META, "INSERT")):
                raise
            self.own_epoch = secrets.token_hex(2)  # a role that only reads can do so much

    def plan_removal(self) -> list[str]:
        return [statement for _, some in self._triggers.removal() for statement in some]

    def remove(self) -> list[str]:
        done: list[str] = []
        for what, statements in self._triggers.removal():
            done += self._patiently(what, partial(self._run_all, statements))
        return done

    def _run_all(self, statements: list[str]) -> list[str]:
        """Run statements, and return them."""
        for statement in statements:
            self._run(statement)
        return statements

    def _rows(self, sql: str, params: Sequence[Any] | None = None) -> list[Any]:
        return ask(self._connection, sql, params)

    def _run(self, sql: str, params: Sequence[Any] | None = None) -> None:
        run(self._connection, sql, params)


def _waited_too_long(problem: OperationalError) -> bool:
    """Return whether a lock was not to be had in time (55P03), or others waited for ours
    (40P01)."""
    cause: Any = problem.__cause__
    code = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    return code in ("55P03", "40P01")
