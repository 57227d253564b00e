"""Migrations: a table is made anew, or loses its triggers, and rows change meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from tests.oracle.raw import Write, count_words, rename_category, update_many_products, write_token
from tests.oracle.transactions import atomically
from tests.oracle.writer import Writer

CHANGES: list[tuple[str, Write]] = [
    ("app_product", update_many_products),
    ("app_word", count_words),
    ("app_token", write_token),
    ("app_category", rename_category),
]
"""The tables, and what is written to them unseen."""
ALONE = ("app_word", "app_token")
"""Those that no other table points at."""


class Rebuild(NamedTuple):
    """A migration.

    Attributes:
        work: does it; may raise Refused, and nothing was done.
        blind: whether rows may be seen for a moment that are no committed state: DDL is not part
            of a snapshot everywhere.
    """

    work: Callable[[], None]
    blind: bool


def choose(w: Writer) -> Rebuild:
    """Return what makes a table anew, or takes its triggers away; and writes to it."""
    table, write = w.rng.choice(CHANGES)
    return REBUILDS[w.dialect.vendor](w, table, write)


def _on_sqlite(w: Writer, table: str, write: Write) -> Rebuild:
    return Rebuild(partial(_remade, w, table, write), blind=False)


def _remade(w: Writer, table: str, write: Write) -> None:
    w.run("PRAGMA foreign_keys=OFF")
    sql = "SELECT sql FROM sqlite_master WHERE type = ? AND tbl_name = ? AND sql IS NOT NULL"
    ((made,),) = w.session.rows(sql, "table", table)
    indexes = w.session.rows(sql, "index", table)
    remake = partial(_remake, table=table, made=made, indexes=[text for (text,) in indexes])
    atomically(w, [remake, write])
    w.run("PRAGMA foreign_keys=ON")


def _remake(w: Writer, *, table: str, made: str, indexes: list[str]) -> None:
    w.run(made.replace(f'"{table}"', f'"new__{table}"', 1))
    w.run(f"INSERT INTO new__{table} SELECT * FROM {table}")
    w.run(f"DROP TABLE {table}")
    w.run(f"ALTER TABLE new__{table} RENAME TO {table}")
    for index in indexes:
        w.run(index)


def _on_postgresql(w: Writer, table: str, write: Write) -> Rebuild:
    kinds: list[Callable[..., None]] = [_copy, _truncate] if table in ALONE else [_untrigger]
    change = w.rng.choice([*kinds, _untrigger])
    work = partial(atomically, w, [partial(change, table=table), write])
    return Rebuild(work, blind=False)


def _truncate(w: Writer, *, table: str) -> None:
    w.run(f"TRUNCATE {table}")


def _copy(w: Writer, *, table: str) -> None:
    w.run(f"CREATE TABLE new__{table} (LIKE {table} INCLUDING ALL)")
    w.run(f"INSERT INTO new__{table} SELECT * FROM {table}")
    w.run(f"DROP TABLE {table}")
    w.run(f"ALTER TABLE new__{table} RENAME TO {table}")


def _untrigger(w: Writer, *, table: str) -> None:
    sql = "SELECT tgname FROM pg_trigger WHERE tgrelid = ?::regclass AND NOT tgisinternal"
    for (name,) in w.session.rows(sql, table):
        w.run(f'DROP TRIGGER "{name}" ON {table}')


def _on_mysql(w: Writer, table: str, write: Write) -> Rebuild:
    # Each statement is committed by itself, and servers look at the schema once a second.
    return Rebuild(partial(_changed, w, table, write, w.rng.random()), blind=True)


def _changed(w: Writer, table: str, write: Write, kind: float) -> None:
    if table in ALONE and kind < 0.3:
        w.run(f"TRUNCATE {table}")
    elif table in ALONE and kind < 0.7:
        w.run(f"CREATE TABLE new__{table} LIKE {table}")
        w.run(f"INSERT INTO new__{table} SELECT * FROM {table}")
        w.run(f"RENAME TABLE {table} TO old__{table}, new__{table} TO {table}")
        w.run(f"DROP TABLE old__{table}")
    else:
        sql = (
            "SELECT trigger_name FROM information_schema.triggers "
            "WHERE event_object_schema = DATABASE() AND event_object_table = ?"
        )
        for (name,) in w.session.rows(sql, table):
            w.run(f"DROP TRIGGER `{name}`")
    write(w)


REBUILDS: dict[str, Callable[[Writer, str, Write], Rebuild]] = {
    "sqlite": _on_sqlite,
    "postgresql": _on_postgresql,
    "mysql": _on_mysql,
}
"""By the kind of database."""
