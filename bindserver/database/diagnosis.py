"""Why a database cannot be used, in words for who starts something on it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import DatabaseError, OperationalError, connections
from django.db.migrations.exceptions import MigrationSchemaMissing

from bindserver.exceptions import DatabaseUnusable

ADVICE = {
    r'database ".*" does not exist': "Create it: `createdb {NAME}`.",
    r"^1049 ": "Create it: `CREATE DATABASE {NAME} CHARACTER SET utf8mb4`.",
    r"^1044 ": "An administrator makes it, where it is not there yet "
    "(`CREATE DATABASE {NAME} CHARACTER SET utf8mb4`), and runs `GRANT ALL ON {NAME}.* TO {USER}`.",
    r"^1142 ": "An administrator runs `GRANT ALL ON {NAME}.* TO {USER}`.",
    r"^1045 |password|authentication|role .* does not exist": "Check the user and the password.",
    r"permission denied for schema (?P<schema>\S+)": (
        'As the owner of the schema run `GRANT CREATE ON SCHEMA {schema} TO "{USER}"`, '
        "or take another role."
    ),
    r"permission denied|must be owner": "Have its owner grant that, or take another role.",
    r"unable to open database file|readonly database": (
        "Its folder has to be there, and this user to have the right to write in it."
    ),
    r"file is not a database": "Name another file.",
    r"invalid (connection option|keyword argument|.* value)": "Correct the database's OPTIONS.",
}
"""What to do, by what stands in the driver's words; MariaDB's and MySQL's begin with a number."""

UNREACHED = "Is the server running there, and is the address right?"

FORBIDDEN = "42501"
"""PostgreSQL's code for a right that is lacking: to Django an error of the program's."""


@contextmanager
def explained(alias: str) -> Iterator[None]:
    """Have the code inside say in words why the database cannot be used.

    Errors that are no fault of the database's, or of the way to it, pass as they are.

    Args:
        alias: the database's, in DATABASES.

    Raises:
        DatabaseUnusable: it cannot be reached, or refuses.
    """
    try:
        yield
    except DatabaseError as problem:
        if not (_is_cut_off(alias) or _is_refused(problem)):
            raise
        raise DatabaseUnusable(_sentences(alias, problem)) from problem


def demand(alias: str) -> None:
    """Connect to a database.

    Raises:
        DatabaseUnusable: it cannot be reached, or refuses.
    """
    with explained(alias):
        try:
            connections[alias].ensure_connection()
        except TypeError as problem:  # so some drivers refuse an option that they do not know
            raise DatabaseUnusable(_sentences(alias, problem)) from problem


def _is_cut_off(alias: str) -> bool:
    return connections[alias].connection is None


def _is_refused(problem: DatabaseError) -> bool:
    code = getattr(problem.__cause__, "sqlstate", None)
    return isinstance(problem, (OperationalError, MigrationSchemaMissing)) or code == FORBIDDEN


def _sentences(alias: str, problem: Exception) -> str:
    words = _words(problem)
    reason = words[-1].splitlines()[0].strip().rstrip(".")
    said = f"Database {alias!r} ({_place(alias)}) cannot be used: {reason}."
    return f"{said} {_advice(alias, ' '.join(words))}".rstrip()


def _words(problem: BaseException) -> list[str]:
    """Return what the driver says: its number, where it has one, and its text."""
    if isinstance(problem, MigrationSchemaMissing) and problem.__context__ is not None:
        problem = problem.__context__  # Django puts it into brackets
    return [str(word) for word in problem.args] or [type(problem).__name__]


def _place(alias: str) -> str:
    """Return where a database is: never with its password."""
    given = connections[alias].settings_dict
    if connections[alias].vendor == "sqlite":
        return str(given["NAME"])
    host = given["HOST"] or "this machine"
    address = f"{host}:{given['PORT']}" if given["PORT"] else host
    user = f", as {given['USER']}" if given["USER"] else ""
    return f"{given['NAME']} at {address}{user}"


def _advice(alias: str, words: str) -> str:
    """Return what to do, as far as that can be told."""
    given: dict[str, Any] = connections[alias].settings_dict
    for pattern, advice in ADVICE.items():
        if found := re.search(pattern, words):
            return advice.format(**{**given, **found.groupdict()})
    return UNREACHED if _is_cut_off(alias) and connections[alias].vendor != "sqlite" else ""
