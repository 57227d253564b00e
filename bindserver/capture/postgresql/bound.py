"""What keeps PostgreSQL's log within LOG_MAX_ENTRIES by itself, while no server runs either.

The trigger functions look at the number of the writer's transaction, and one in 251 deletes the
oldest entries that are too many, by what PostgreSQL's statistics say of the table. It waits for
nobody, and nobody for it: one at a time may, whoever purges among them, and only what was over
before every transaction that is open. Under REPEATABLE READ and SERIALIZABLE it could fail for what
others have deleted, and take the writer along, so it does nothing there. What has gone is written
down as a purge does it: an older position proves nothing.
"""

from __future__ import annotations

from django.db.backends.base.base import BaseDatabaseWrapper

from bindserver.capture.postgresql.names import BOUND
from bindserver.capture.postgresql.purging import LOCK
from bindserver.capture.postgresql.triggers import META, Triggers
from bindserver.database.sql import ask

STEP = 10_000
"""How many entries go at once: a writer waits for that long."""

BODY = """
DECLARE
  log pg_catalog.regclass := '{log}';
  surplus pg_catalog.int8;
  newest pg_catalog.int8;
BEGIN
  IF pg_catalog.current_setting('transaction_isolation')
    OPERATOR(pg_catalog.<>) 'read committed' THEN RETURN; END IF;
  IF pg_catalog.pg_stat_get_xact_tuples_deleted(log) OPERATOR(pg_catalog.>) 0 THEN
    RETURN;  -- this transaction has done its share
  END IF;
  surplus := pg_catalog.pg_stat_get_live_tuples(log) OPERATOR(pg_catalog.-) {most}::pg_catalog.int8;
  IF surplus OPERATOR(pg_catalog.<=) 0 THEN RETURN; END IF;
  IF NOT pg_catalog.pg_try_advisory_xact_lock({lock}) THEN RETURN; END IF;
  WITH gone AS (
    DELETE FROM {log} WHERE ctid OPERATOR(pg_catalog.=) ANY(ARRAY(
      SELECT ctid FROM {log}
      WHERE xid OPERATOR(pg_catalog.<)
        pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())
      ORDER BY xid LIMIT LEAST(surplus, {step})))
    RETURNING xid
  )
  SELECT xid::pg_catalog.text::pg_catalog.int8 INTO newest FROM gone ORDER BY xid DESC LIMIT 1;
  IF newest IS NOT NULL THEN
    INSERT INTO {meta} AS kept
    VALUES ('purged', (newest OPERATOR(pg_catalog.+) 1)::pg_catalog.text)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value
    WHERE kept.value::pg_catalog.int8 OPERATOR(pg_catalog.<) excluded.value::pg_catalog.int8;
  END IF;
EXCEPTION WHEN undefined_table THEN
  RETURN;  -- the log is being removed
END
"""

PRESENT = (
    "SELECT prosrc, pg_has_role(proowner, 'USAGE') FROM pg_proc "
    "WHERE proname = %s AND pronamespace = to_regnamespace(%s)"
)


class Bound:
    """The bound of one database's log, by one connection.

    Args:
        connection: Django's wrapper of the connection to use.
    """

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection

    def plan(self, most: float, *, change: bool = True) -> list[str]:
        """Return the statements that bound the log; none where it is bounded so already, or by
        another role.

        Args:
            most: about how many entries it is to hold.
            change: whether to change a bound that is there.
        """
        log, schema = Triggers(self._connection).home()
        most = max(1, int(most))
        body = BODY.format(log=log, meta=f"{schema}.{META}", most=most, lock=LOCK, step=STEP)
        for present, is_ours in ask(self._connection, PRESENT, (BOUND, schema)):
            if present == body or not (is_ours and change):
                return []
        # Whoever calls it deletes no more than is too much, so anybody may: another role's trigger
        # functions among them.
        return [
            f"CREATE OR REPLACE FUNCTION {schema}.{BOUND}() RETURNS void LANGUAGE plpgsql "
            f"SECURITY DEFINER AS $bindserver${body}$bindserver$"
        ]
