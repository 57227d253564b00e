"""The SQL of MariaDB's and MySQL's change log: its tables, and what triggers say."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from bindserver.capture.tables import Columns, Tracked

LOG = "bindserver_log"
META = "bindserver_meta"
PREFIX = "bindserver__"
MAX_NAME = 64

TABLES = (
    f"CREATE TABLE IF NOT EXISTS {LOG} (id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, "
    "tbl VARCHAR(64) NOT NULL, pk VARCHAR(3072), raw VARBINARY(3072), "
    "nonce BIGINT UNSIGNED NOT NULL, at BIGINT UNSIGNED NOT NULL) "
    "ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin",
    f"CREATE TABLE IF NOT EXISTS {META} (name VARCHAR(80) NOT NULL PRIMARY KEY, "
    "value TEXT NOT NULL) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin",
)
NUMBERS = {"tinyint", "smallint", "mediumint", "int", "bigint", "decimal"}
TEXTS = {"char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set"}
TEXTS |= {"uuid", "inet4", "inet6", "date", "datetime", "timestamp", "time", "year"}
BYTES = {"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"}
COMPARED = (NUMBERS | TEXTS | BYTES | {"double"}) - {"timestamp"}
"""The types of columns whose bytes tell each change: two moments look alike where a clock is put
back."""

IS_READ = "bindserver_read"
"""The variable of a trigger that says whether somebody reads what was changed."""
WATCHED = re.compile(rf"SET {IS_READ} = (NOT .*?); END;", re.DOTALL)
COLUMN = re.compile(r"OLD\.`((?:[^`]|``)+)`")

EVENTS = (("ins", "INSERT"), ("upd", "UPDATE"), ("del", "DELETE"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """A trigger: its table, when it fires, and what it does."""

    table: str
    event: str
    body: str

    def creating(self, name: str) -> str:
        """Return the statement that makes it."""
        return (
            f"CREATE TRIGGER {quote(name)} AFTER {self.event} ON {quote(self.table)} "
            f"FOR EACH ROW {self.body}"
        )


@dataclass(slots=True)
class Cascades:
    """What happens to other tables' rows when those of one are deleted, or their keys changed."""

    delete: set[str] = field(default_factory=set)
    update: dict[str, set[str]] = field(default_factory=dict)


def lines(
    item: Tracked,
    kinds: Mapping[str, str],
    event: str,
    cascades: Cascades,
    references: Collection[str] = (),
) -> Iterator[str]:
    """Yield what the trigger of a table says of an event.

    Args:
        item: the table.
        kinds: the types of its key and of the columns to watch, by the schema's names.
        event: "INSERT", "UPDATE" or "DELETE".
        cascades: what the event carries on to other tables.
        references: the columns whose old values are told.
    """
    own = _own_lines(item, kinds.get(item.pk, ""), event, references)
    if event == "UPDATE" and item.columns is not None:
        is_read = _is_read({name: kinds.get(name, "") for name in {*item.columns, item.pk}})
        yield f"BEGIN {is_read} IF {IS_READ} THEN {'; '.join(own)}; END IF; END"
    else:
        yield from own
    if event == "DELETE":
        for child in sorted(cascades.delete):
            yield any_row(child)
    if event == "UPDATE":
        for column, children in sorted(cascades.update.items()):
            told = "; ".join(any_row(child) for child in sorted(children))
            yield f"IF {_changed(column)} THEN {told}; END IF"


def _own_lines(item: Tracked, kind: str, event: str, references: Collection[str]) -> Iterator[str]:
    """Yield what is said of the row itself."""
    if event != "DELETE":
        yield _entry(item.table, "NEW", item.pk, kind)
    if event == "DELETE":
        yield _entry(item.table, "OLD", item.pk, kind)
    if event == "UPDATE" and kind in NUMBERS | TEXTS | BYTES:
        changed = _changed(item.pk)
        yield f"IF {changed} THEN {_entry(item.table, 'OLD', item.pk, kind)}; END IF"
    if event != "INSERT" and references:
        yield _old_values(item.table, event, references)


def _is_read(columns: Mapping[str, str]) -> str:
    """Return what finds out whether one of some columns was changed.

    Where a migration takes one of them away, the trigger stays: it takes all for read then (1054).
    What is set by a statement that fails is NULL.
    """
    changed = " OR ".join(_changed(name, columns[name]) for name in sorted(columns))
    return (
        f"DECLARE {IS_READ} BOOLEAN; BEGIN DECLARE EXIT HANDLER FOR 1054 SET {IS_READ} = TRUE; "
        f"SET {IS_READ} = {changed}; END;"
    )


def watched_in(body: str) -> Columns:
    """Return the columns whose changes a trigger tells; None for all."""
    found = WATCHED.search(body)
    if found is None:
        return None
    return frozenset(name.replace("``", "`") for name in COLUMN.findall(found[1]))


def _old_values(table: str, event: str, references: Collection[str]) -> str:
    """Return what logs the values that a row had, if they are others now.

    Its column's name in the bytes of an entry tells that from a key. A migration that takes the
    column away leaves the trigger, and no write may fail for that (1054).
    """
    told = []
    for column in references:
        condition = f"OLD.{quote(column)} IS NOT NULL"
        if event == "UPDATE":
            condition += f" AND {_changed(column)}"
        entry = _insert(table, f"OLD.{quote(column)}", _literal(column))
        told.append(f"IF {condition} THEN {entry}; END IF;")
    return f"BEGIN DECLARE EXIT HANDLER FOR 1054 BEGIN END; {' '.join(told)} END"


def _entry(table: str, side: str, pk: str, kind: str) -> str:
    """Return the statement that logs a row's key, or any row's where the key cannot be told."""
    text = raw = "NULL"
    if kind in NUMBERS | TEXTS:
        text = f"{side}.{quote(pk)}"
    elif kind in BYTES:
        raw = f"{side}.{quote(pk)}"
    return _insert(table, text, raw)


def any_row(table: str) -> str:
    """Return the statement that logs that any row of a table may have changed."""
    return _insert(table, "NULL", "NULL")


def _insert(table: str, text: str, raw: str) -> str:
    return (
        f"INSERT INTO {LOG} (tbl, pk, raw, nonce, at) VALUES "
        f"({_literal(table)}, {text}, {raw}, FLOOR(RAND() * 9007199254740992), UNIX_TIMESTAMP())"
    )


def _changed(column: str, kind: str = "") -> str:
    """Return the condition that a column was changed, be it only by a letter's case."""
    old, new = (f"{side}.{quote(column)}" for side in ("OLD", "NEW"))
    if kind not in NUMBERS:  # which are equal only where they are the same
        old, new = f"CAST({old} AS BINARY)", f"CAST({new} AS BINARY)"
    return f"NOT ({old} <=> {new})"


def name_of(table: str, suffix: str) -> str:
    """Return the name of a table's trigger; that of a long name has a digest in it."""
    name = f"{PREFIX}{table}__{suffix}"
    if len(name) <= MAX_NAME:
        return name
    digest = hashlib.sha256(table.encode()).hexdigest()[:12]
    return f"{PREFIX}{table[:30]}_{digest}__{suffix}"


def quote(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
