"""What tests open on databases: closed after each, whatever it did.

A test that fails has left the middle of its own, and its programs with it: a lock that one holds
would hang the next test on that database, and one that is collected unclosed would fail any other.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Closable(Protocol):
    """Whatever is open until somebody closes it, once."""

    def close(self) -> None: ...


_open: dict[int, Closable] = {}


def note(opened: Closable) -> None:
    """Have something closed after the test, if nobody has closed it before."""
    _open[id(opened)] = opened


def forget(closed: Closable) -> None:
    """Called when something is closed."""
    _open.pop(id(closed), None)


@contextmanager
def closing() -> Iterator[None]:
    """Close what is opened in the block and still open at its end, the last first."""
    before = set(_open)
    try:
        yield
    finally:
        for key in reversed(list(_open)):
            if key not in before:
                _open.pop(key).close()
