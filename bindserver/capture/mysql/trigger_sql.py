"""The SQL of MariaDB's and MySQL's change log: its tables, and what triggers say."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from bindserver.capture.tables import Tracked

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
    item: Tracked, kind: str, event: str, cascades: Cascades, references: Collection[str] = ()
) -> Iterator[str]:
    """Yield what the trigger of a table says of an event.

    Args:
        item: the table.
        kind: the type of its key, by the schema's name.
        event: "INSERT", "UPDATE" or "DELETE".
        cascades: what the event carries on to other tables.
        references: the columns whose old values are told.
    """
    if event != "DELETE":
        yield _entry(item.table, "NEW", item.pk, kind)
    if event == "DELETE":
        yield _entry(item.table, "OLD", item.pk, kind)
    if event == "UPDATE" and kind in NUMBERS | TEXTS | BYTES:
        changed = _changed(item.pk)
        yield f"IF {changed} THEN {_entry(item.table, 'OLD', item.pk, kind)}; END IF"
    if event != "INSERT" and references:
        yield _old_values(item.table, event, references)
    if event == "DELETE":
        for child in sorted(cascades.delete):
            yield _entry(child, "", "", "")
    if event == "UPDATE":
        for column, children in sorted(cascades.update.items()):
            told = "; ".join(_entry(child, "", "", "") for child in sorted(children))
            yield f"IF {_changed(column)} THEN {told}; END IF"


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


def _insert(table: str, text: str, raw: str) -> str:
    return (
        f"INSERT INTO {LOG} (tbl, pk, raw, nonce, at) VALUES "
        f"({_literal(table)}, {text}, {raw}, FLOOR(RAND() * 9007199254740992), UNIX_TIMESTAMP())"
    )


def _changed(column: str) -> str:
    """Return the condition that a column was changed, be it only by a letter's case."""
    old, new = (f"CAST({side}.{quote(column)} AS BINARY)" for side in ("OLD", "NEW"))
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
