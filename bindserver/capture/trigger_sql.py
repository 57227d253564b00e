"""The SQL of PostgreSQL's change log: a function for each watched table, and its triggers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from bindserver.capture.tables import Tracked

PREFIX = "bindserver__"
NEW, OLD = "bindserver_new", "bindserver_old"
"""The rows of a statement, as it left them and as it found them."""

NAME_BYTES = 50
"""How long a table's part in a name may be; PostgreSQL's names have 63 bytes."""

STATEMENT_KEYS = 100_000
"""More keys than this in one statement are told by table: the triggers' memory has a bound."""

KEYS = {
    "bpchar": "(to_jsonb({pk}) #>> '{{}}')",  # a cast would cut trailing blanks off
    "inet": "host({pk})",
    "date": "(to_jsonb({pk}) #>> '{{}}')",  # the same, whatever the writer's DateStyle
    "timestamp": "(to_jsonb({pk}) #>> '{{}}')",
    "timestamptz": "(to_jsonb({pk}) #>> '{{}}')",
    "citext": "{pk}::text",
    **{
        name: f"{{pk}}::{name}"
        for name in ("int2", "int4", "int8", "numeric", "text", "varchar", "uuid", "bool", "time")
    },
}
"""How keys are gathered, to become text that Django reads again; of other types any row is
logged."""


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
    """

    name: str
    quoted: str
    kind: str
    owner: str
    owned: bool
    key: str | None
    triggers: tuple[str, ...]


def stem(table: str) -> str:
    """Return the beginning of the names of all that belongs to a table."""
    room = NAME_BYTES - len(PREFIX)
    if len(table.encode()) > room:
        digest = hashlib.sha256(table.encode()).hexdigest()[:10]
        table = table.encode()[: room - 11].decode(errors="ignore") + "_" + digest
    return f"{PREFIX}{table}__"


def function_of(function: str, log: str, tracked: Tracked, key: str | None) -> list[str]:
    """Return the statements that make a table's trigger function."""
    into = f"INSERT INTO {log} (tbl, pks)"
    named = _literal(tracked.table)
    any_row = f"{into} VALUES ({named}, NULL);"
    if key is None:
        statement = _any_rows(into, named)
        row = any_row
    else:
        statement = _key_rows(into, named, key, quoted(tracked.pk))
        row = _one_row(into, named, key, quoted(tracked.pk))
    body = (
        f"BEGIN IF TG_LEVEL = 'ROW' THEN {row} ELSE {statement} "
        f"ELSE {any_row} END IF; END IF; RETURN NULL; END"
    )
    tag = "$bindserver$"
    while tag in body:
        tag = f"{tag[:-1]}_$"
    return [
        f"CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql "
        f"SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS {tag}{body}{tag}",
        f"REVOKE ALL ON FUNCTION {function}() FROM PUBLIC",
    ]


def _any_rows(into: str, named: str) -> str:
    """Return what logs that any row may have changed, if one has."""
    tables = {"INSERT": NEW, "UPDATE": NEW, "DELETE": OLD}
    return _chosen(
        {
            event: f"{into} SELECT {named}, NULL WHERE EXISTS (SELECT FROM {table});"
            for event, table in tables.items()
        }
    )


def _key_rows(into: str, named: str, key: str, column: str) -> str:
    """Return what logs the keys of a statement's rows.

    They are gathered up to a bound, so that a statement of any size fits into memory. An UPDATE
    leaves old and new rows in the same order: where no key was changed the two lists are equal.
    """

    def keys(table: str) -> str:
        few = f"SELECT {key.format(pk=column)} AS k FROM {table} LIMIT {STATEMENT_KEYS + 1}"
        return f"(SELECT array_agg(k) AS keys FROM ({few}) AS few)"

    def logged(source: str) -> str:
        told = f"CASE WHEN cardinality(keys) <= {STATEMENT_KEYS} THEN keys::text[] END"
        return f"{into} SELECT {named}, {told} FROM {source} AS found WHERE keys IS NOT NULL;"

    both = "CASE WHEN n.keys = o.keys THEN n.keys ELSE n.keys || o.keys END AS keys"
    events = {
        "INSERT": logged(keys(NEW)),
        "UPDATE": logged(f"(SELECT {both} FROM {keys(NEW)} AS n, {keys(OLD)} AS o)"),
        "DELETE": logged(keys(OLD)),
    }
    return _chosen(events)


def _one_row(into: str, named: str, key: str, column: str) -> str:
    """Return what logs the keys of one row that a subscription applies."""
    new, old = (f"({key.format(pk=f'{row}.{column}')})::text" for row in ("NEW", "OLD"))
    keys = {"INSERT": new, "UPDATE": f"{new}, {old}", "DELETE": old}
    events = {event: f"{into} VALUES ({named}, ARRAY[{some}]);" for event, some in keys.items()}
    return f"{_chosen(events)} END IF;"


def _chosen(events: dict[str, str]) -> str:
    """Return an IF, without its end, that runs what belongs to the event."""
    cases = [f"TG_OP = '{event}' THEN {what}" for event, what in events.items()]
    return f"IF {' ELSIF '.join(cases)}"


def triggers_of(function: str, tracked: Tracked, relation: Relation) -> Iterator[str]:
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
            f"EXECUTE FUNCTION {function}()"
        )
    modes = [f"ENABLE ALWAYS TRIGGER {names[suffix]}" for suffix in wanted]
    if relation.kind == "r":
        yield (
            f"CREATE TRIGGER {names['row']} AFTER INSERT OR UPDATE OR DELETE ON {relation.quoted} "
            f"FOR EACH ROW EXECUTE FUNCTION {function}()"
        )
        modes.append(f"ENABLE REPLICA TRIGGER {names['row']}")
    yield f"ALTER TABLE ONLY {relation.quoted} {', '.join(modes)}"


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
