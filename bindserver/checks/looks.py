"""What looks at a running project are made of: `check --deploy` and `bindings doctor` take them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from django.core.checks import CheckMessage

Look = Callable[[], Iterator[CheckMessage]]
"""Looks at one thing, and yields what is wrong with it."""

LookAt = Callable[[str], Iterator[CheckMessage]]
"""Looks at one thing of a database, by its alias, and yields what is wrong with it."""


class Irrelevant(Exception):
    """There is nothing to look at, as where a database is of another kind."""


def option_of(alias: str) -> str:
    """Return how a command line names a database; nothing for the usual one."""
    return "" if alias == "default" else f" --database {alias}"
