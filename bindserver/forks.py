"""Forks, while threads of ours work: a child has none of them, but all the locks that they held.

A thread that was inside SQLite when its process forked left the child a library whose mutex nobody
would ever give back. So threads of ours say when they are at work, and a fork waits until none is.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

PATIENCE_SECONDS = 5.0
"""How long a fork waits at most: a big load may take longer, or the thread that forks be ours."""


class Gate:
    """Open to threads that work; closed while the process forks."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self._changed = threading.Condition()
        self._working = 0
        self._closed = False

    def __enter__(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._closed)
            self._working += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._working -= 1
            if self._closed:
                self._changed.notify_all()

    def close(self) -> None:
        """Let nobody begin, and wait until all who work have done."""
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: not self._working, PATIENCE_SECONDS)

    def open(self) -> None:
        """Let those who wait go on."""
        with self._changed:
            self._closed = False
            self._changed.notify_all()


working = Gate()
"""What a thread of ours works in, as in `with working:`."""


def on_fork(forget: Callable[[], None]) -> None:
    """Have a child of this process begin without what its parent's threads have made."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=forget)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=working.close, after_in_parent=working.open, after_in_child=working._forget
    )
