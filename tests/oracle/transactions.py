"""Transactions of raw writes: committed, undone, undone in part."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.oracle.raw import Write
from tests.oracle.sessions import Refused
from tests.oracle.writer import Writer


@contextmanager
def transaction(w: Writer) -> Iterator[None]:
    """Begin; if anything is refused, nothing of it stays."""
    w.run(w.dialect.begin)
    with undoing(w):
        yield


@contextmanager
def undoing(w: Writer) -> Iterator[None]:
    """Roll back what is refused."""
    try:
        yield
    except Refused:
        w.run("ROLLBACK")
        raise


def atomically(w: Writer, writes: list[Write], *, commit: bool = True) -> None:
    """Run writes in one transaction."""
    with transaction(w):
        for write in writes:
            write(w)
        w.run("COMMIT" if commit else "ROLLBACK")


def in_savepoint(w: Writer, kept: list[Write], undone: list[Write]) -> None:
    """Run a transaction a part of which is undone."""
    with transaction(w):
        kept[0](w)
        w.run("SAVEPOINT inside")
        for write in undone:
            write(w)
        w.run("ROLLBACK TO SAVEPOINT inside")
        w.run("RELEASE SAVEPOINT inside")
        for write in kept[1:]:
            write(w)
        w.run("COMMIT")
