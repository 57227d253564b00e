"""Brings the change log into a MariaDB or MySQL database, and takes it away."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

from bindserver.capture.mysql.identities import Identities
from bindserver.capture.mysql.schema import Schema
from bindserver.capture.mysql.session import (
    NOT_SHOWN,
    alone,
    execute,
    grant,
    making_triggers,
    shown,
)
from bindserver.capture.mysql.trigger_sql import LOG, META, TABLES, any_row, name_of, quote
from bindserver.capture.tables import Tracked
from bindserver.database.sql import ask
from bindserver.exceptions import REMOVED, CaptureBusy, CaptureError, LogRemoved

LOCK_SECONDS = 1
LOCK_REST_SECONDS = 1.0
INSTALL_SECONDS = 60
LOCK_TIMEOUT = 1205
NO_SUCH_TRIGGER = 1360


class Installer:
    """What a log does to the schema.

    Args:
        connection: Django's wrapper of the connection to use.
    """

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.tries = 1
        self.tell: Callable[[str], None] = lambda sentence: None
        self.notify: bool | None = None
        self._connection = connection
        self._identities = Identities(connection)
        self._watched: set[str] = set()
        self._look_at = 0.0
        self._shown_on: object = None

    def installed(self) -> bool:
        """Return whether the log's tables are there, and this is the server that is written to.

        On a replica an entry may be on its way, and nothing here would tell of it.
        """
        # Asked by itself: MariaDB gives 0 for it beside anything of `information_schema`.
        return self._identities.has_tables() and not self._rows("SELECT @@read_only")[0][0]

    def missing(self, tables: Collection[Tracked]) -> list[Tracked]:
        self.demand_sight()
        self._watched |= {item.table for item in tables}
        schema = Schema(self._connection)
        without = schema.missing(tables)
        if self._identities.is_another_log(schema):
            return list(tables)
        others = self._identities.others(schema, [item.table for item in tables])
        return [item for item in tables if item in without or item.table in others]

    def old_columns(self, tables: Collection[Tracked]) -> Mapping[str, frozenset[str]]:
        return Schema(self._connection).old_columns(tables)

    def columns(self, tables: Collection[Tracked]) -> Mapping[str, frozenset[str]]:
        return Schema(self._connection).columns(tables)

    def demand(self, tables: Collection[Tracked]) -> None:
        """See that the server can have a log, and tables can be watched.

        Raises:
            CaptureError: one cannot.
        """
        self._demand_server()
        Schema(self._connection).demand(tables)

    def demand_sight(self) -> None:
        """See, once for each connection, that this user is shown triggers: one who is not could
        not tell whether they are there.

        Raises:
            CaptureError: it is not.
        """
        raw = self._connection.connection
        if raw is not None and self._shown_on is raw:
            return
        watched = sorted(self._identities.kept().keys() - {LOG})
        try:
            self._see_triggers(watched[:1], "The change log cannot be followed")
        except DatabaseError as problem:
            if problem.args[0] == LOCK_TIMEOUT:
                return  # somebody has the table for themselves; the next time tells
            raise
        self._shown_on = self._connection.connection

    def _see_triggers(self, tables: Iterable[str], refusal: str) -> None:
        for table in tables:
            try:
                self._rows(f"SHOW CREATE TRIGGER {quote(name_of(table, 'ins'))}")
            except DatabaseError as problem:
                if problem.args[0] == NOT_SHOWN:
                    raise CaptureError(
                        f"{refusal}: this database user is not shown whether its triggers are "
                        f"there. {grant(self._connection)}"
                    ) from problem
                if problem.args[0] != NO_SUCH_TRIGGER:
                    raise

    def accept(self, tables: Collection[Tracked]) -> None:
        """Nothing: what lacks nothing is as it was."""

    def plan(self, tables: Collection[Tracked]) -> list[str]:
        schema = Schema(self._connection)
        statements = [] if self._identities.has_tables() else list(TABLES)
        wanted = schema.wanted(tables)
        statements += [f"DROP TRIGGER {quote(name)}" for name in schema.strays(wanted)]
        for name, trigger in wanted.items():
            present = schema.triggers.get(name)
            if present == trigger:
                continue
            if present is not None:
                statements.append(f"DROP TRIGGER {quote(name)}")
            statements.append(trigger.creating(name))
        return statements

    def install(self, tables: Collection[Tracked], *, whole: bool = True) -> list[str]:
        self.demand(tables)
        with alone(self._connection, "install", INSTALL_SECONDS) as mine:
            if not mine:
                raise CaptureBusy("Another process is installing the change log; try again.")
            if not (whole or self._identities.has_tables()):
                raise LogRemoved(REMOVED)
            statements, unseen = self.plan(tables), self._unseen(tables)
            if not statements and not unseen:
                return []
            # Each step is committed by itself. If this is broken off, the tables count as missing
            # still: what is kept of them goes first, and comes back last.
            kept = self._identities.forget(unseen)
            with making_triggers(self._connection, LOCK_SECONDS):
                for statement in statements:
                    self._define(statement)
            # The triggers are there, and who wrote before them has committed: they waited for that.
            schema = Schema(self._connection)
            if self._identities.is_another_log(schema):
                self.renew()
                kept = self._identities.forget_all()
            else:
                for table in unseen:
                    self._log_any_row(table)
            names = [LOG, *(item.table for item in tables if item.table in unseen)]
            self._identities.keep(kept | {name: schema.identity(name) for name in names})
            self._look_at = 0.0
        return statements

    def _log_any_row(self, table: str) -> None:
        self._execute(any_row(table))

    def _unseen(self, tables: Collection[Tracked]) -> list[str]:
        """Return the tables whose rows may have changed without an entry: those that are missing,
        and where another's triggers tell what cascades do, those that it would have told of."""
        schema = Schema(self._connection)
        wanted = schema.wanted(tables)
        strays = [schema.triggers[name] for name in schema.strays(wanted)]
        told = schema.told_by([*schema.lacking(wanted), *strays])
        return sorted({item.table for item in self.missing(tables)} | told)

    def renew(self) -> None:
        """Begin a new epoch."""
        self._execute(f"REPLACE INTO {META} VALUES ('epoch', %s)", (secrets.token_hex(8),))

    def plan_removal(self) -> list[str]:
        schema = Schema(self._connection)
        # A trigger that is left behind would refuse every write, for want of the log.
        watched = self._identities.kept().keys() - {LOG}
        watched = watched.union(*(schema.parents(table) for table in watched))
        self._see_triggers(sorted(watched), "The change log cannot be removed")
        triggers = schema.triggers
        tables = (LOG, META) if self._identities.has_tables() else ()
        return [
            *(f"DROP TRIGGER {quote(name)}" for name in sorted(triggers)),
            *(f"DROP TABLE {table}" for table in tables),
        ]

    def remove(self) -> list[str]:
        # Not while a server puts triggers back: one that stays would refuse every write.
        with alone(self._connection, "install", INSTALL_SECONDS) as mine:
            if not mine:
                raise CaptureBusy("Another process is installing the change log; try again.")
            statements = self.plan_removal()
            with making_triggers(self._connection, LOCK_SECONDS):
                for statement in statements:
                    self._define(statement)
        return statements

    def status(self) -> dict[str, Any]:
        """Return figures for people."""
        if not self._identities.has_tables():
            return {"installed": False}
        count, oldest, newest = self._rows(f"SELECT COUNT(*), MIN(at), MAX(at) FROM {LOG}")[0]
        schema = Schema(self._connection)
        size = self._rows(
            "SELECT data_length + index_length FROM information_schema.tables "
            "WHERE table_schema = DATABASE() AND table_name = %s",
            (LOG,),
        )[0][0]
        return {
            "installed": True,
            "entries": count,
            "bytes": int(size),
            "oldest": None if oldest is None else int(oldest),
            "newest": None if newest is None else int(newest),
            "tables": sorted({trigger.table for trigger in schema.triggers.values()}),
            "more": dict(self._more(schema)),
        }

    def _more(self, schema: Schema) -> Iterator[tuple[str, str]]:
        for table in sorted({trigger.table for trigger in schema.triggers.values()}):
            cascades = schema.cascades(table)
            children = sorted(cascades.delete.union(*cascades.update.values()))
            if children:
                yield (
                    f"cascades of {table}",
                    f"the database itself carries deletes or changed keys on to "
                    f"{', '.join(children)}, and fires no trigger there; any row of these counts "
                    "as changed then",
                )
        if not schema.spaces:
            yield (
                "TRUNCATE",
                "told by the server's count of them, of any table, since the database user has no "
                "PROCESS privilege",
            )

    # Doing it.

    def _define(self, statement: str) -> None:
        """Run a statement that needs a table for itself; it waits a little, several times.

        While it waits, others wait behind it.
        """
        what = shown(statement)
        for left in reversed(range(self.tries)):
            try:
                self._execute(statement)
                return
            except DatabaseError as problem:
                if not problem.args or problem.args[0] != LOCK_TIMEOUT:
                    raise
                self.tell(f"{what} waits for its table, which is in use; {left} more tries")
            if left:
                time.sleep(LOCK_REST_SECONDS)
        raise CaptureBusy(
            f"{what} could not have its table: a transaction that has used it is open for long. "
            "Try again when it has ended; what was installed until now stays, and does no harm."
        )

    def _demand_server(self) -> None:
        names = ("read_only", "wsrep_on", "auto_increment_increment")
        found = self._rows(
            "SHOW GLOBAL VARIABLES WHERE Variable_name IN (%s, %s, %s, %s)",
            (*names, "group_replication_single_primary_mode"),
        )
        values = {str(name): str(value) for name, value in found}
        if values.get("read_only", "OFF") not in ("OFF", "0"):
            raise CaptureError(
                "This server is read only, as a replica is. Name the server that is written to: "
                "on a replica nobody can tell which changes are still on their way."
            )
        several = (
            values.get("wsrep_on") == "ON"
            or values.get("group_replication_single_primary_mode") == "OFF"
            or values.get("auto_increment_increment", "1") != "1"
        )
        if several:
            raise CaptureError(
                "This server is one of several that are written to (Galera, or replication in a "
                "circle), and here nobody can tell which changes of the others are still on their "
                "way. Signals are used, and a full compare heals what they miss."
            )

    def _rows(self, sql: str, params: Sequence[Any] | None = None) -> list[Any]:
        return ask(self._connection, sql, params)

    def _execute(self, sql: str, params: Sequence[Any] | None = None) -> int:
        return execute(self._connection, sql, params)
