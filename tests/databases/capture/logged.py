"""What tests ask of a change log, whatever the database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bindserver.bindings.registry import registry
from bindserver.capture.log import Log
from bindserver.capture.tables import Tracked, tracked
from bindserver.engine.changes import Position
from bindserver.queries.tables import reads_of
from tests.support.program import Program

CATEGORY, PRODUCT, TAGS, WORD = "app_category", "app_product", "app_product_tags", "app_word"
Logged = dict[str, set[Any] | None]


Another = Callable[[], Program]


def since(log: Log, position: Position) -> Logged | None:
    """Return the keys logged since a position, by table, numbers as text; None for any row."""
    changes = log.changes(position)
    if changes is None:
        return None
    return {
        change.table: None if change.pks is None else {_key(pk) for pk in change.pks}
        for change in changes
    }


def _key(pk: Any) -> Any:
    return str(pk) if isinstance(pk, int) else pk


def wanted() -> list[Tracked]:
    """Return what the bindings of the tests' app read."""
    declared = [kind for kind in registry.all() if kind.__module__.startswith("tests.app.")]
    reads = reads_of(declared, "default")
    return tracked(reads, reads)


def add(program: Program, *numbers: int) -> None:
    """Write categories with these keys, one after the other."""
    for number in numbers:
        program.run(f"INSERT INTO app_category (id, name) VALUES ({number}, 'a')")


def begin(another: Another, *numbers: int) -> Program:
    """Return a program with an open transaction, in which it has written such categories."""
    program = another()
    program.run("BEGIN")
    add(program, *numbers)
    return program


def keys(*numbers: int) -> Logged:
    """Return what the log says of such categories."""
    return {CATEGORY: {str(number) for number in numbers}} if numbers else {}
