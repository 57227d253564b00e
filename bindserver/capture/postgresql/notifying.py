"""NOTIFY on PostgreSQL: a trigger on the log itself tells, at a commit, that there is more in it.

It is off unless it is asked for: transactions that notify commit one after the other, over one lock
of the whole server. What is told has no contents, so that whoever listens learns nothing by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from bindserver.capture.postgresql.triggers import LOG, Triggers
from bindserver.database.sql import ask

CHANNEL = "bindserver_log"
NAME = "bindserver__notify"
ALWAYS = "A"
"""How PostgreSQL writes that a trigger fires in every session, replication's too."""

STATE = "SELECT tgenabled FROM pg_trigger WHERE tgrelid = to_regclass(%s) AND tgname = %s"


class Notifying:
    """NOTIFY in one database, by one connection.

    Args:
        connection: Django's wrapper of the connection to use.
    """

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection

    def is_on(self) -> bool:
        """Return whether commits that log something notify."""
        return self._state() == ALWAYS

    def plan(self, wanted: bool | None) -> list[str]:
        """Return the statements that switch it on or off; none where it is so already."""
        state = self._state()
        if wanted is None or (state == ALWAYS if wanted else state is None):
            return []
        log, schema = Triggers(self._connection).home()
        function = f"{schema}.{NAME}()"
        dropped = [f"DROP TRIGGER {NAME} ON {log}"] if state is not None else []
        if not wanted:
            return [*dropped, f"DROP FUNCTION {function}"]
        return [
            *dropped,
            f"CREATE OR REPLACE FUNCTION {function} RETURNS trigger LANGUAGE plpgsql AS "
            f"$$BEGIN PERFORM pg_catalog.pg_notify('{CHANNEL}', ''); RETURN NULL; END$$",
            f"CREATE TRIGGER {NAME} AFTER INSERT ON {log} FOR EACH ROW EXECUTE FUNCTION {function}",
            f"ALTER TABLE {log} ENABLE ALWAYS TRIGGER {NAME}",
        ]

    def tell(self, channel: str, text: str) -> None:
        """Notify, by the ordinary connection."""
        self._rows("SELECT pg_notify(%s, %s)::text", (channel, text))

    def _state(self) -> str | None:
        found = self._rows(STATE, (LOG, NAME))
        return str(found[0][0]) if found else None

    def _rows(self, sql: str, params: Sequence[Any]) -> list[Any]:
        return ask(self._connection, sql, params)
