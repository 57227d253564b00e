"""Names that the trigger functions of PostgreSQL's change log use, and how SQL takes names."""

from __future__ import annotations

NEW, OLD = "bindserver_new", "bindserver_old"
"""The rows of a statement, as it left them and as it found them."""

STATEMENT_KEYS = 100_000
"""More keys than this in one statement are told by table: the triggers' memory has a bound."""

BOUND = "bindserver__bound"
"""The function that deletes what is too much in the log."""


def quoted(name: str) -> str:
    """Return a name as SQL takes it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a text as SQL takes it."""
    return "'" + text.replace("'", "''") + "'"
