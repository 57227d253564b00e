"""The triggers of PostgreSQL's change log: which are wanted where, and whether they are there.

For each watched table there are functions, and triggers on every relation that its rows may come
or go by: itself, its partitions and heirs (which may be written to directly), and its ancestors.

What was seen when they were put there is written down: relations, triggers and functions, each with
the transaction that last touched it, and columns. Triggers that somebody switched off and on again,
a partition that was attached or dropped, and a column that was rewritten, all of which change rows
past every trigger, thus do not go unnoticed. What did no harm is written down as it comes.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from bindserver.capture.postgresql.names import quoted
from bindserver.capture.postgresql.session import may_write
from bindserver.capture.postgresql.sightings import REFERENCES, SIGHTINGS, TREE, Sighting
from bindserver.capture.postgresql.trigger_sql import (
    OWN_NAMES,
    PREFIX,
    SUFFIXES,
    Relation,
    functions_of,
    key_of,
    stem,
    triggers_of,
)
from bindserver.capture.tables import Tracked, no_such
from bindserver.database.sql import ask, run
from bindserver.exceptions import CaptureError

LOG = "bindserver_log"
META = "bindserver_meta"
KINDS = {
    "v": "is a view; watch the tables behind it",
    "m": "is a materialized view; watch the tables behind it",
    "f": "is a foreign table: what others write on its own server is not seen from here",
}
MARK = f"""
SELECT to_regclass('{LOG}')::oid, to_regclass('{META}')::oid,
  ARRAY(SELECT to_regclass(quoted)::oid FROM unnest(%s::text[]) AS quoted),
  (SELECT sum(hashtext(concat_ws('.', t.oid, t.xmin, t.tgenabled, p.xmin))::bigint)
   FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
   WHERE t.tgrelid = ANY(seen.oids) AND starts_with(t.tgname, '{PREFIX}')),
  (SELECT sum(hashtext(concat_ws('.', attrelid, attnum, xmin))::bigint)
   FROM pg_attribute WHERE attrelid = ANY(seen.oids) AND attnum > 0),
  (SELECT sum(hashtext(concat_ws('.', oid, relfilenode))::bigint)
   FROM pg_class WHERE oid = ANY(seen.oids)),
  (SELECT sum(hashtext(concat_ws('.', inhrelid, inhparent))::bigint)
   FROM pg_inherits WHERE inhparent = ANY(seen.oids) OR inhrelid = ANY(seen.oids))
FROM (SELECT %s::oid[] AS oids) AS seen
"""
"""Differs when a sighting does, and is asked in every turn: sightings take ten times as long."""

RELATIONS = (
    TREE
    + f"""
SELECT r.name, n.nspname, c.relname, c.relkind, pg_get_userbyid(c.relowner),
  pg_has_role(c.relowner, 'USAGE'), t.typname, t.typtype,
  ARRAY(SELECT tgname::text FROM pg_trigger WHERE tgrelid = c.oid AND tgname IN {OWN_NAMES}),
  {REFERENCES}
FROM related r JOIN pg_class c ON c.oid = r.oid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN unnest(%s::text[], %s::text[]) AS keys(name, pk) ON keys.name = r.name
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = keys.pk AND NOT a.attisdropped
LEFT JOIN pg_type d ON d.oid = a.atttypid
LEFT JOIN pg_type t ON t.oid = CASE WHEN d.typtype = 'd' THEN d.typbasetype ELSE d.oid END
ORDER BY r.name, c.oid
"""
)

STRAYS = (
    TREE
    + f"""
SELECT n.nspname, c.relname, t.tgname FROM pg_trigger t
JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_proc p ON p.oid = t.tgfoid
WHERE starts_with(t.tgname, '{PREFIX}') AND pg_has_role(c.relowner, 'USAGE')
  AND p.pronamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('{LOG}'))
  AND (t.tgname = ANY(%s) OR c.oid IN (SELECT oid FROM related WHERE name = %s))
  AND NOT EXISTS (SELECT FROM related r WHERE r.oid = c.oid AND t.tgname IN {OWN_NAMES})
ORDER BY 1, 2, 3
"""
)
"""Triggers that a table kept when it was renamed. They call the functions of whatever has its old
name now, which may not suit it, and then refuse every write."""


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
        """Return those of the tables whose triggers are not what they must be, or whose values may
        have been changed past them since `record`; watch them all from now."""
        self._names |= {tracked.table for tracked in tables}
        if self._rows("SELECT to_regclass(%s)", (META,))[0][0] is None:
            return list(tables)
        vouched = {tracked for tracked, _, _ in self._vouched(tables)}
        return [tracked for tracked in tables if tracked not in vouched]

    def accept(self, tables: Collection[Tracked]) -> None:
        """Write down what was done to the tables without harm, as far as this role may."""
        if not may_write(self._connection, (META, "UPDATE")):
            return
        for tracked, seen, present in self._vouched(tables):
            following = seen.followed_by(present)
            if following != seen:
                # Not where somebody else has written down something later meanwhile.
                run(
                    self._connection,
                    f"UPDATE {META} SET value = %s WHERE name = %s AND value = %s",
                    (following.dump(), f"table:{tracked.table}", seen.dump()),
                )

    def record(self, tracked: Tracked) -> None:
        """Write down that all is in place on a table as it is now."""
        self._rows(
            f"INSERT INTO {META} VALUES (%s, %s) "
            "ON CONFLICT (name) DO UPDATE SET value = excluded.value RETURNING name",
            (f"table:{tracked.table}", self._sightings([tracked])[tracked].dump()),
        )

    def recorded(self) -> list[str]:
        """Return the watched tables' names, those that are gone left out."""
        names = self._recorded()
        quote = self._connection.ops.quote_name
        sql = "SELECT to_regclass(quoted) IS NOT NULL FROM unnest(%s::text[]) AS quoted"
        present = self._rows(sql, ([quote(name) for name in names],))
        return [name for name, (there,) in zip(names, present, strict=True) if there]

    def _recorded(self) -> list[str]:
        sql = f"SELECT substr(name, 7) FROM {META} WHERE starts_with(name, 'table:') ORDER BY 1"
        return [name for (name,) in self._rows(sql)]

    def _vouched(self, tables: Collection[Tracked]) -> list[tuple[Tracked, Sighting, Sighting]]:
        """Return the tables that what was written down vouches for, with that and what is now."""
        names = [f"table:{tracked.table}" for tracked in tables]
        sql = f"SELECT substr(name, 7), value FROM {META} WHERE name = ANY(%s)"
        recorded = {name: Sighting.load(text) for name, text in self._rows(sql, (names,))}
        found = []
        for tracked, present in self._sightings(tables).items():
            seen = recorded.get(tracked.table)
            if seen is not None and seen.vouches_for(present):
                found.append((tracked, seen, present))
        return found

    def _sightings(self, tables: Collection[Tracked]) -> dict[Tracked, Sighting]:
        if not tables:
            return {}
        rows = self._rows(SIGHTINGS, self._given([tracked.table for tracked in tables]))
        self._seen.update(*(oids for _, oids, *_ in rows))
        found = {name: texts for name, _, *texts in rows}
        return {
            tracked: Sighting.read(tracked.pk, *found[tracked.table])
            for tracked in tables
            if tracked.table in found
        }

    def old_columns(self, tables: Collection[Tracked]) -> dict[str, frozenset[str]]:
        """Return the columns whose old values the triggers of tables tell."""
        return {
            tracked.table: frozenset(_told(seen.references)) - {tracked.pk}
            for tracked, seen in self._sightings(tables).items()
        }

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
            raise CaptureError(f"{no_such(absent, self._connection)}.")
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
        found = self._without_strays(tracked)
        made: set[str | None] = set()
        for relation in self._relations([tracked]):
            if relation.key not in made:
                made.add(relation.key)
                found += functions_of(log, schema, tracked, relation)
            found += [f"DROP TRIGGER {quoted(n)} ON {relation.quoted}" for n in relation.triggers]
            found += triggers_of(schema, tracked, relation)
        return found

    def _without_strays(self, tracked: Tracked) -> list[str]:
        """Return the statements that drop what was left of other names of a table, or of another
        table that had its name."""
        if self._rows("SELECT to_regclass(%s)", (META,))[0][0] is None:
            return []
        names = sorted({tracked.table, *self._recorded()})
        own = [stem(tracked.table) + suffix for suffix in SUFFIXES]
        return [
            f"DROP TRIGGER {quoted(trigger)} ON {quoted(schema)}.{quoted(relation)}"
            for schema, relation, trigger in self._rows(
                STRAYS, (*self._given(names), own, tracked.table)
            )
        ]

    def removal(self) -> Iterator[tuple[str, list[str]]]:
        """Yield relations with the statements that take our triggers away, the log last. The log
        counts as removed from the first step on, so that no server puts triggers back meanwhile:
        each step is a transaction of its own, lest writers wait."""
        if self._rows("SELECT to_regclass(%s)", (LOG,))[0][0] is None:
            return
        if self._rows("SELECT to_regclass(%s)", (META,))[0][0] is not None:
            yield "the change log", [f"DROP TABLE {META}"]
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
        yield "the change log", [*statements, f"DROP TABLE {LOG}"]

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
        names, keys = [t.table for t in tables], [t.pk for t in tables]
        return [
            Relation(
                name=name,
                quoted=f"{quoted(schema)}.{quoted(relation)}",
                kind=kind,
                owner=owner,
                owned=owned,
                key=key_of(key, sort),
                triggers=tuple(triggers),
                references=_told(json.loads(references)),
            )
            for (
                *(name, schema, relation, kind, owner, owned, key, sort, triggers),
                references,
            ) in self._rows(RELATIONS, (*self._given(names), names, keys))
        ]

    def _given(self, names: list[str]) -> tuple[list[str], list[str], list[str]]:
        """Return what the tree of tables is asked by."""
        quote = self._connection.ops.quote_name
        return names, [stem(name) for name in names], [quote(name) for name in names]

    def _rows(self, sql: str, params: Sequence[Any] | None = None) -> list[Any]:
        return ask(self._connection, sql, params)


def _told(references: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return those columns of which the triggers can tell values, with the SQL that does."""
    keys = {column: key_of(*references[column]) for column in sorted(references)}
    return {column: key for column, key in keys.items() if key is not None}
