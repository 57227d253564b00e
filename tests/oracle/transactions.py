"""Transactions of raw writes: committed, undone, undone in part; and a migration."""

from __future__ import annotations

from functools import partial

from tests.oracle.raw import Write, count_words, rename_category, update_many_products, write_token
from tests.oracle.writer import Writer


def atomically(w: Writer, writes: list[Write], *, commit: bool = True) -> None:
    """Run writes in one transaction."""
    w.run("BEGIN IMMEDIATE")
    for write in writes:
        write(w)
    w.run("COMMIT" if commit else "ROLLBACK")


def in_savepoint(w: Writer, kept: list[Write], undone: list[Write]) -> None:
    """Run a transaction a part of which is undone."""
    w.run("BEGIN IMMEDIATE")
    kept[0](w)
    w.run("SAVEPOINT inner")
    for write in undone:
        write(w)
    w.run("ROLLBACK TO inner")
    w.run("RELEASE inner")
    for write in kept[1:]:
        write(w)
    w.run("COMMIT")


def rebuild(w: Writer) -> None:
    """Make a table anew, as Django's migrations do: triggers are gone, and rows may be others."""
    table, write = w.rng.choice(
        [
            ("app_product", update_many_products),
            ("app_word", count_words),
            ("app_token", write_token),
            ("app_category", rename_category),
        ]
    )
    w.run("PRAGMA foreign_keys=OFF")
    sql = "SELECT sql FROM sqlite_master WHERE type = ? AND tbl_name = ? AND sql IS NOT NULL"
    ((made,),) = w.db.execute(sql, ("table", table))
    indexes = w.db.execute(sql, ("index", table)).fetchall()
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
