"""What was seen of a watched table on PostgreSQL, and what may have been done to it since.

`ALTER TABLE` can change values past every trigger. It either gives the table a new file *and* a
column that was there before a new entry in the catalogue (`ALTER COLUMN TYPE`), or has a column's
name mean another column, type or collation. All else leaves the values as they are: TRUNCATE,
which is logged, VACUUM FULL and CLUSTER give a new file alone, a default or a longer `varchar` a
new entry alone, and a new column is no client's yet. A column that was renamed is told, so that
whoever reads it by its old name learns of that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bindserver.capture.postgresql.trigger_sql import OWN_NAMES

DESIGN = "4"
"""Goes into what is written down; another one has every trigger made anew."""

GONE = ["", ""]
"""What is kept of a column that went, so that no other takes its name unnoticed."""

Columns = Mapping[str, Sequence[str]]

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
"""The tables that are given, with their partitions, heirs and ancestors."""

REFERENCES = """
(SELECT coalesce(jsonb_object_agg(a.attname, jsonb_build_array(t.typname, t.typtype)), '{}')::text
 FROM wanted w JOIN pg_constraint k ON k.conrelid = w.oid AND k.contype = 'f'
 JOIN pg_attribute a ON a.attrelid = w.oid AND a.attnum = ANY(k.conkey)
 JOIN pg_type d ON d.oid = a.atttypid
 JOIN pg_type t ON t.oid = CASE WHEN d.typtype = 'd' THEN d.typbasetype ELSE d.oid END
 WHERE w.name = r.name)
"""
"""The columns by which a watched table refers to others, each with its type's name and kind."""

SIGHTINGS = (
    TREE
    + """
SELECT r.name, array_agg(c.oid::bigint), md5(string_agg(concat_ws(':', c.oid, c.relkind,
  (SELECT string_agg(concat_ws('.', t.tgname, t.tgenabled, t.xmin, p.xmin), ',' ORDER BY t.tgname)
   FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
   WHERE t.tgrelid = c.oid AND t.tgname IN """
    + OWN_NAMES
    + """)
), ';' ORDER BY c.oid)),
jsonb_object_agg(c.oid, c.relfilenode::text)::text,
jsonb_object_agg(c.oid, coalesce(
  (SELECT jsonb_object_agg(a.attname, jsonb_build_array(concat_ws('.', a.attnum,
     CASE a.atttypid WHEN 'varchar'::regtype THEN 'text'::regtype ELSE a.atttypid END::oid,
     a.attcollation, CASE WHEN a.attgenerated <> '' THEN a.xmin END), a.xmin::text))
   FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), '{}'
))::text, """
    + REFERENCES
    + """
FROM related r JOIN pg_class c ON c.oid = r.oid GROUP BY 1
"""
)
"""A `varchar` that becomes a `text` is read as before. How a generated column is computed stands
elsewhere in the catalogue; but whoever changes it touches the column's own entry, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """How a watched table was found.

    Attributes:
        pk: the name of its primary key's column.
        triggers: a digest of its relations, and of our triggers and functions there.
        files: the file of each relation, by the relation's id.
        columns: each relation's columns by name: what they are, and the transaction that last
            touched their entries in the catalogue.
        references: the columns by which it refers to others, with their types' names and kinds.
    """

    pk: str
    triggers: str
    files: Mapping[str, str]
    columns: Mapping[str, Columns]
    references: Mapping[str, Sequence[str]]

    @classmethod
    def read(cls, pk: str, triggers: str, *texts: str) -> Sighting:
        """Return what `SIGHTINGS` tells of a table with that key."""
        files, columns, references = map(json.loads, texts)
        return cls(pk=pk, triggers=triggers, files=files, columns=columns, references=references)

    @classmethod
    def load(cls, text: str) -> Sighting | None:
        """Return what `dump` wrote; None for what another design did."""
        design, _, rest = text.partition(":")
        return cls(**json.loads(rest)) if design == DESIGN else None

    def dump(self) -> str:
        """Return it as text."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        return f"{DESIGN}:{json.dumps(fields)}"

    def vouches_for(self, later: Sighting) -> bool:
        """Return whether no value can have been changed past the triggers since, and these are
        still what the table needs."""
        mine, others = (self.pk, self.triggers), (later.pk, later.triggers)
        if mine != others or self.references != later.references:
            return False
        return all(self._vouches_for(later, relation) for relation in self.files)

    def _vouches_for(self, later: Sighting, relation: str) -> bool:
        before, after = self.columns[relation], later.columns[relation]
        if self.pk in before and self.pk not in after:
            return False  # the functions name it
        if _kinds(before, but=after) & _kinds(after, but=before):
            return False  # one was renamed, and who reads it is to learn of that
        rewritten = self.files[relation] != later.files[relation]
        for name in before.keys() & after.keys():
            (kind, touched), (kind_now, touched_now) = before[name], after[name]
            if kind != kind_now or (rewritten and touched != touched_now):
                return False
        return True

    def followed_by(self, later: Sighting) -> Sighting:
        """Return what to write down when it vouches for a later one."""
        columns = {
            relation: {**dict.fromkeys(self.columns[relation], GONE), **found}
            for relation, found in later.columns.items()
        }
        return replace(later, columns=columns)


def _kinds(columns: Columns, *, but: Columns) -> set[str]:
    """Return what those columns are whose names the others do not have."""
    return {columns[name][0] for name in columns.keys() - but.keys()}
