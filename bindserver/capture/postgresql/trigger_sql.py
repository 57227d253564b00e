"""The SQL of PostgreSQL's change log: functions for each watched table, and their triggers.

They run with the rights of whoever installed them, in the writer's session. Therefore each name in
them is told with its schema, types and operators too: a writer's `search_path` leads nowhere else.
To set a path of their own (`SET search_path` of the function) would be as safe, and make each call
take a tenth longer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bindserver.capture.postgresql.names import BOUND, NEW, OLD, STATEMENT_KEYS, literal, quoted
from bindserver.capture.postgresql.old_values import OldValues
from bindserver.capture.tables import Tracked

PREFIX = "bindserver__"
SUFFIXES = ("ins", "upd", "del", "tru", "row")
"""What the names of a table's triggers end with."""

OWN_NAMES = f"""({", ".join(f"r.stem || '{suffix}'" for suffix in SUFFIXES)})"""
"""In SQL, the names of the triggers that a relation `r` of a watched table is to have."""

NAME_BYTES = 50
"""How long a table's part in a name may be; PostgreSQL's names have 63 bytes."""

_AS_JSON = "(pg_catalog.to_jsonb({pk}) OPERATOR(pg_catalog.#>>) '{{}}')"
_AS_TEXT = '({pk}::pg_catalog.text COLLATE pg_catalog."C")'

KEYS = {
    "bpchar": _AS_JSON,  # a cast would cut trailing blanks off
    "inet": "pg_catalog.host({pk}::pg_catalog.inet)",
    "date": _AS_JSON,  # the same, whatever the writer's DateStyle
    "timestamp": _AS_JSON,
    "timestamptz": _AS_JSON,
    "citext": _AS_TEXT,  # two keys that a collation holds for equal are two to us
    "text": _AS_TEXT,
    "varchar": _AS_TEXT,
    **{
        name: f"{{pk}}::pg_catalog.{name}"
        for name in ("int2", "int4", "int8", "numeric", "uuid", "bool", "time")
    },
}
"""How keys are gathered, to become text that Django reads again; of other types any row is
logged."""

ENUM_KEY = "{pk}::pg_catalog.text"


_IS_ONE_IN_MANY = "pg_catalog.txid_current() OPERATOR(pg_catalog.%) 251 OPERATOR(pg_catalog.=) 0"
"""Whether this transaction looks whether the log is too large. 251 is prime: whatever pattern the
numbers of those that log follow, some are."""


def key_of(kind: str | None, sort: str | None) -> str | None:
    """Return the SQL of a key, "{pk}" for its column, None if it cannot be told as text.

    Args:
        kind: the name of its type.
        sort: PostgreSQL's letter for what that is.
    """
    return KEYS.get(kind or "", ENUM_KEY if sort == "e" else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """A relation that a watched table's rows may come or go by.

    Attributes:
        name: the watched table.
        quoted: the relation's own name, with its schema.
        kind: PostgreSQL's letter for what it is.
        owner: whose it is.
        owned: whether this role may act as the owner.
        key: the SQL of its key, "{pk}" for the column; None if it cannot be told as text.
        triggers: those of ours that it has for this table.
        references: the watched table's foreign keys, with the SQL that tells their values.
    """

    name: str
    quoted: str
    kind: str
    owner: str
    owned: bool
    key: str | None
    triggers: tuple[str, ...]
    references: Mapping[str, str]


def stem(table: str) -> str:
    """Return the beginning of the names of all that belongs to a table."""
    room = NAME_BYTES - len(PREFIX)
    if len(table.encode()) > room:
        digest = hashlib.sha256(table.encode()).hexdigest()[:10]
        table = table.encode()[: room - 11].decode(errors="ignore") + "_" + digest
    return f"{PREFIX}{table}__"


def functions_of(log: str, schema: str, tracked: Tracked, relation: Relation) -> Iterator[str]:
    """Yield the statements that make a table's trigger functions, one for each trigger.

    Args:
        log: the log's full name.
        schema: where they go, quoted.
        tracked: the table.
        relation: one of those that they are for; all have its foreign keys.
    """
    into, key = f"INSERT INTO {log} (tbl, pks)", relation.key
    references = {name: sql for name, sql in relation.references.items() if name != tracked.pk}
    old = OldValues(into, tracked.table, references)
    for suffix, work in _work(into, tracked, key, old).items():
        function = function_of(schema, tracked, suffix, key)
        bound = f"IF {_IS_ONE_IN_MANY} THEN PERFORM {schema}.{BOUND}(); END IF;"
        body = f"#variable_conflict use_column\nBEGIN {work} {bound} RETURN NULL; END"
        tag = "$bindserver$"
        while tag in body:
            tag = f"{tag[:-1]}_$"
        yield (
            f"CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql "
            f"SECURITY DEFINER AS {tag}{body}{tag}"
        )
        yield f"REVOKE ALL ON FUNCTION {function}() FROM PUBLIC"


def function_of(schema: str, tracked: Tracked, suffix: str, key: str | None) -> str:
    """Return the full name of the function that a trigger calls."""
    told = "any" if key is None else "key"
    return f"{schema}.{quoted(f'{stem(tracked.table)}{suffix}_{told}')}"


def _work(into: str, tracked: Tracked, key: str | None, old: OldValues) -> dict[str, str]:
    """Return what is done by each trigger, by its suffix."""
    named, column = literal(tracked.table), quoted(tracked.pk)
    any_row = f"{into} VALUES ({named}, NULL);"
    always = {"tru": any_row, "row": any_row}
    if key is None:
        tables = {"ins": NEW, "upd": NEW, "del": OLD}
        some = f"{into} SELECT {named}, NULL WHERE EXISTS"
        return always | {suffix: f"{some} (SELECT FROM {tables[suffix]});" for suffix in tables}
    select, pk = f"{into} SELECT {named}", key.format(pk=column)
    return always | {
        "ins": _keys_of(select, NEW, pk),
        "upd": f"{_keys_of_update(select, pk)} {old.update()}",
        "del": f"{_keys_of(select, OLD, pk)} {old.delete()}",
        "row": _key_of_row(f"{into} VALUES ({named}, ARRAY", key, column, old),
    }


# The keys are gathered up to a bound, so that a statement of any size fits into memory. `OFFSET 0`
# has the planner gather them once, wherever they are named.
_COUNT = "pg_catalog.cardinality(keys)"
_MANY = f"{_COUNT} OPERATOR(pg_catalog.>) {STATEMENT_KEYS}"


def _gathered(table: str, key: str) -> str:
    return f"ARRAY(SELECT {key} FROM {table} LIMIT {STATEMENT_KEYS + 1})"


def _keys_of(into: str, table: str, key: str) -> str:
    """Return what logs the keys of a statement's rows."""
    return (
        f"{into}, CASE WHEN {_MANY} THEN NULL ELSE keys::pg_catalog.text[] END "
        f"FROM (SELECT {_gathered(table, key)} AS keys OFFSET 0) AS found "
        f"WHERE {_COUNT} OPERATOR(pg_catalog.>) 0;"
    )


def _keys_of_update(into: str, key: str) -> str:
    """Return what logs the keys of an UPDATE's rows, the old ones too if any is another.

    It leaves old and new rows in the same order: where no key was changed the lists are equal.
    """
    return (
        f"{into}, CASE WHEN {_MANY} THEN NULL "
        "WHEN keys OPERATOR(pg_catalog.=) before THEN keys::pg_catalog.text[] "
        f"WHEN {_COUNT} OPERATOR(pg_catalog.<=) {STATEMENT_KEYS // 2} "
        "THEN (keys OPERATOR(pg_catalog.||) before)::pg_catalog.text[] END "
        f"FROM (SELECT {_gathered(NEW, key)} AS keys, {_gathered(OLD, key)} AS before OFFSET 0) "
        f"AS found WHERE {_COUNT} OPERATOR(pg_catalog.>) 0;"
    )


def _key_of_row(into: str, key: str, column: str, before: OldValues) -> str:
    """Return what logs the keys of one row that a subscription applies."""
    new, old = (f"({key.format(pk=f'{row}.{column}')})::pg_catalog.text" for row in ("NEW", "OLD"))
    keys = {"INSERT": new, "UPDATE": f"{new}, {old}", "DELETE": old}
    cases = [
        f"TG_OP OPERATOR(pg_catalog.=) '{event}' THEN {into}[{some}]); {before.row(event)}"
        for event, some in keys.items()
    ]
    return f"IF {' ELSIF '.join(cases)} END IF;"


def triggers_of(schema: str, tracked: Tracked, relation: Relation) -> Iterator[str]:
    """Yield the statements that make the triggers of one relation.

    All fire in every session, replication's too. Only what a subscription applies row by row fires
    no statement triggers; that is what the row trigger is for, which is off everywhere else.
    """
    new, old = f"NEW TABLE AS {NEW}", f"OLD TABLE AS {OLD}"
    wanted = {
        "ins": f"AFTER INSERT ON {relation.quoted} REFERENCING {new}",
        "upd": f"AFTER UPDATE ON {relation.quoted} REFERENCING {new} {old}",
        "del": f"AFTER DELETE ON {relation.quoted} REFERENCING {old}",
        "tru": f"AFTER TRUNCATE ON {relation.quoted}",
    }
    names = {suffix: quoted(stem(tracked.table) + suffix) for suffix in (*wanted, "row")}
    for suffix, event in wanted.items():
        yield (
            f"CREATE TRIGGER {names[suffix]} {event} FOR EACH STATEMENT "
            f"EXECUTE FUNCTION {function_of(schema, tracked, suffix, relation.key)}()"
        )
    modes = [f"ENABLE ALWAYS TRIGGER {names[suffix]}" for suffix in wanted]
    if relation.kind == "r":
        yield (
            f"CREATE TRIGGER {names['row']} AFTER INSERT OR UPDATE OR DELETE ON {relation.quoted} "
            f"FOR EACH ROW EXECUTE FUNCTION {function_of(schema, tracked, 'row', relation.key)}()"
        )
        modes.append(f"ENABLE REPLICA TRIGGER {names['row']}")
    yield f"ALTER TABLE ONLY {relation.quoted} {', '.join(modes)}"
