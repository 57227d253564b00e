"""The triggers of PostgreSQL's change log: which are wanted where, and whether they are there.

For each watched table there are functions, and triggers on every relation that its rows may come
or go by: itself, its partitions and heirs (which may be written to directly), and its ancestors.

What was seen when they were put there is written down as a signature: relations, columns, triggers
and functions, each with the transaction that last touched it. Triggers that somebody switched off
and on again, a partition that was attached or dropped, and a column that was rewritten, all of
which change rows past every trigger, thus do not go unnoticed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from bindserver.capture.statements import ask
from bindserver.capture.tables import Tracked
from bindserver.capture.trigger_sql import (
    ENUM_KEY,
    KEYS,
    PREFIX,
    Relation,
    functions_of,
    quoted,
    stem,
    triggers_of,
)
from bindserver.exceptions import CaptureError

LOG = "bindserver_log"
META = "bindserver_meta"
KINDS = {
    "v": "is a view; watch the tables behind it",
    "m": "is a materialized view; watch the tables behind it",
    "f": "is a foreign table: what others write on its own server is not seen from here",
}
DESIGN = "2"
"""Goes into signatures; another one has every trigger made anew."""

TREE = """
WITH RECURSIVE wanted AS (
  SELECT name, stem, to_regclass(quoted)::oid AS oid
  FROM unnest(%s::text[], %s::text[], %s::text[]) AS given(name, stem, quoted)
), down AS (
  SELECT name, stem, oid FROM wanted WHERE oid IS NOT NULL
  UNION SELECT d.name, d.stem, i.inhrelid FROM down d JOIN pg_inherits i ON i.inhparent = d.oid
), up AS (
  SELECT name, stem, oid FROM wanted WHERE oid IS NOT NULL
  UNION SELECT u.name, u.stem, i.inhparent FROM up u JOIN pg_inherits i ON i.inhrelid = u.oid
), related AS (SELECT * FROM down UNION SELECT * FROM up)
"""
SIGNATURES = (
    TREE
    + """
SELECT r.name, md5(string_agg(concat_ws(':', c.oid, c.relkind, c.relpersistence,
  (SELECT string_agg(a.xmin::text, ',' ORDER BY a.attnum) FROM pg_attribute a
   WHERE a.attrelid = c.oid AND a.attnum > 0),
  (SELECT string_agg(concat_ws('.', t.tgname, t.tgenabled, t.xmin, p.xmin), ',' ORDER BY t.tgname)
   FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
   WHERE t.tgrelid = c.oid AND t.tgname IN
     (r.stem || 'ins', r.stem || 'upd', r.stem || 'del', r.stem || 'tru', r.stem || 'row'))
), ';' ORDER BY c.oid)), array_agg(c.oid::bigint)
FROM related r JOIN pg_class c ON c.oid = r.oid GROUP BY 1
"""
)
MARK = f"""
SELECT to_regclass('{LOG}')::oid, to_regclass('{META}')::oid,
  ARRAY(SELECT to_regclass(quoted)::oid FROM unnest(%s::text[]) AS quoted),
  (SELECT sum(hashtext(concat_ws('.', t.oid, t.xmin, t.tgenabled, p.xmin))::bigint)
   FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
   WHERE t.tgrelid = ANY(seen.oids) AND starts_with(t.tgname, '{PREFIX}')),
  (SELECT sum(hashtext(concat_ws('.', attrelid, attnum, xmin))::bigint)
   FROM pg_attribute WHERE attrelid = ANY(seen.oids) AND attnum > 0),
  (SELECT sum(hashtext(concat_ws('.', inhrelid, inhparent))::bigint)
   FROM pg_inherits WHERE inhparent = ANY(seen.oids) OR inhrelid = ANY(seen.oids))
FROM (SELECT %s::oid[] AS oids) AS seen
"""
"""Differs when a signature does, and is asked in every turn: signatures take ten times as long."""

RELATIONS = (
    TREE
    + """
SELECT r.name, n.nspname, c.relname, c.relkind, pg_get_userbyid(c.relowner),
  pg_has_role(c.relowner, 'USAGE'), t.typname, t.typtype,
  ARRAY(SELECT tgname::text FROM pg_trigger WHERE tgrelid = c.oid AND tgname IN
     (r.stem || 'ins', r.stem || 'upd', r.stem || 'del', r.stem || 'tru', r.stem || 'row'))
FROM related r JOIN pg_class c ON c.oid = r.oid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN unnest(%s::text[], %s::text[]) AS keys(name, pk) ON keys.name = r.name
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = keys.pk AND NOT a.attisdropped
LEFT JOIN pg_type d ON d.oid = a.atttypid
LEFT JOIN pg_type t ON t.oid = CASE WHEN d.typtype = 'd' THEN d.typbasetype ELSE d.oid END
ORDER BY r.name, c.oid
"""
)


class Triggers:
    """The triggers of one database, on one connection.

    Args:
        connection: Django's wrapper of the connection to use.
    """

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection
        self._names: set[str] = set()
        self._seen: set[int] = set()

    # Whether all is in place.

    def mark(self) -> object:
        """Return a value that differs when what is watched was changed."""
        quote = self._connection.ops.quote_name
        names = [quote(name) for name in sorted(self._names)]
        return repr(self._rows(MARK, (names, sorted(self._seen)))[0])

    def watched(self) -> tuple[int, int]:
        """Return how much there is to see in the mark."""
        return len(self._names), len(self._seen)

    def missing(self, tables: Collection[Tracked]) -> list[Tracked]:
        """Return those of the tables that are not as `record` saw them; watch them all from now."""
        self._names |= {tracked.table for tracked in tables}
        if self._rows("SELECT to_regclass(%s)", (META,))[0][0] is None:
            return list(tables)
        present = self._signatures(tables)
        recorded = dict(
            self._rows(
                f"SELECT substr(name, 7), value FROM {META} WHERE name = ANY(%s)",
                ([f"table:{tracked.table}" for tracked in tables],),
            )
        )
        return [
            tracked
            for tracked in tables
            if tracked.table not in present
            or recorded.get(tracked.table) != _signed(tracked, present[tracked.table])
        ]

    def record(self, tracked: Tracked) -> None:
        """Write down that all is in place on a table as it is now."""
        self._rows(
            f"INSERT INTO {META} VALUES (%s, %s) "
            "ON CONFLICT (name) DO UPDATE SET value = excluded.value RETURNING name",
            (
                f"table:{tracked.table}",
                _signed(tracked, self._signatures([tracked])[tracked.table]),
            ),
        )

    def recorded(self) -> list[str]:
        """Return the watched tables' names."""
        sql = f"SELECT substr(name, 7) FROM {META} WHERE starts_with(name, 'table:') ORDER BY 1"
        return [name for (name,) in self._rows(sql)]

    def _signatures(self, tables: Collection[Tracked]) -> dict[str, str]:
        if not tables:
            return {}
        found = self._rows(SIGNATURES, self._given(tables))
        self._seen.update(*(oids for _, _, oids in found))
        return {name: signature for name, signature, _ in found}

    # What is wanted.

    def demand(self, tables: Collection[Tracked]) -> None:
        """Make sure that this role may install, and that the tables can be watched.

        Raises:
            CaptureError: it may not, or one cannot.
        """
        standby, role, schema, may_create = self._rows(
            "SELECT pg_is_in_recovery(), current_user, current_schema(), "
            "has_schema_privilege(current_schema(), 'CREATE')"
        )[0]
        if standby:
            raise CaptureError("The server is a standby, which takes no writes; name the primary.")
        logged = self._rows("SELECT to_regclass(%s)", (LOG,))[0][0]
        if logged is None and not may_create:
            raise CaptureError(
                f"Role {role!r} may not make tables in schema {schema!r}: as its owner run "
                f'`GRANT CREATE ON SCHEMA {schema} TO "{role}"`, or install as another role.'
            )
        related = self._relations(tables)
        absent = sorted({t.table for t in tables} - {relation.name for relation in related})
        if absent:
            raise CaptureError(
                f"No such tables: {', '.join(absent)}. Run `manage.py migrate` first."
            )
        for relation in related:
            if relation.kind in KINDS:
                raise CaptureError(f"{relation.quoted} {KINDS[relation.kind]}.")
            if not relation.owned:
                raise CaptureError(
                    f"Role {role!r} may not put triggers on {relation.quoted}, which belongs to "
                    f"{relation.owner!r}. Install as {relation.owner!r} (`bindings capture install "
                    f'--database` takes another alias), or run `GRANT "{relation.owner}" TO '
                    f'"{role}"`.'
                )

    def log_tables(self) -> list[str]:
        """Return the statements that make the log."""
        schema = self._rows("SELECT quote_ident(current_schema())")[0][0]
        return [
            f"CREATE TABLE {schema}.{LOG} ("
            "xid xid8 NOT NULL DEFAULT pg_current_xact_id(), "
            "at timestamptz NOT NULL DEFAULT clock_timestamp(), "
            "tbl text NOT NULL, pks text[])",
            f"CREATE INDEX {LOG}_xid ON {schema}.{LOG} (xid)",
            f"CREATE TABLE {schema}.{META} (name text PRIMARY KEY, value text NOT NULL)",
        ]

    def statements(self, tracked: Tracked) -> list[str]:
        """Return the statements that put a table's triggers in place, whatever is there."""
        log, schema = self.home()
        found: list[str] = []
        made: set[str | None] = set()
        for relation in self._relations([tracked]):
            if relation.key not in made:
                made.add(relation.key)
                found += functions_of(log, schema, tracked, relation.key)
            found += [f"DROP TRIGGER {quoted(n)} ON {relation.quoted}" for n in relation.triggers]
            found += triggers_of(schema, tracked, relation)
        return found

    def removal(self) -> Iterator[tuple[str, list[str]]]:
        """Yield relations with the statements that take our triggers away, the log last."""
        if self._rows("SELECT to_regclass(%s)", (LOG,))[0][0] is None:
            return
        triggers = self._rows(
            "SELECT t.tgrelid::regclass::text, array_agg(t.tgname::text ORDER BY t.tgname) "
            "FROM pg_trigger t WHERE starts_with(t.tgname, %s) GROUP BY 1 ORDER BY 1",
            (PREFIX,),
        )
        for relation, names in triggers:
            yield relation, [f"DROP TRIGGER {quoted(name)} ON {relation}" for name in names]
        functions = self._rows(
            "SELECT oid::regprocedure::text FROM pg_proc WHERE starts_with(proname, %s) "
            "AND pronamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass(%s)) "
            "ORDER BY 1",
            (PREFIX, LOG),
        )
        statements = [f"DROP FUNCTION {function}" for (function,) in functions]
        yield "the change log", [*statements, f"DROP TABLE {LOG}", f"DROP TABLE {META}"]

    def home(self) -> tuple[str, str]:
        """Return the log's full name and its schema, quoted; where it would be if it is not yet."""
        found = self._rows(
            "SELECT quote_ident(coalesce((SELECT relnamespace::regnamespace::text FROM pg_class "
            "WHERE oid = to_regclass(%s)), current_schema()))",
            (LOG,),
        )
        schema = str(found[0][0])
        return f"{schema}.{LOG}", schema

    def _relations(self, tables: Collection[Tracked]) -> list[Relation]:
        keys = [t.table for t in tables], [t.pk for t in tables]
        return [
            Relation(
                name=name,
                quoted=f"{quoted(schema)}.{quoted(relation)}",
                kind=kind,
                owner=owner,
                owned=owned,
                key=KEYS.get(key, ENUM_KEY if sort == "e" else None),
                triggers=tuple(triggers),
            )
            for name, schema, relation, kind, owner, owned, key, sort, triggers in self._rows(
                RELATIONS, (*self._given(tables), *keys)
            )
        ]

    def _given(self, tables: Collection[Tracked]) -> tuple[list[str], list[str], list[str]]:
        names = [tracked.table for tracked in tables]
        quote = self._connection.ops.quote_name
        return names, [stem(name) for name in names], [quote(name) for name in names]

    def _rows(self, sql: str, params: Sequence[Any] | None = None) -> list[Any]:
        return ask(self._connection, sql, params)


def _signed(tracked: Tracked, signature: str) -> str:
    return f"{DESIGN}:{tracked.pk}:{signature}"
