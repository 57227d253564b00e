"""Faults to plant in a server's own threads. Each waits for a file that FAULT_FILE names: a test
makes it when it is time."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bindserver import supervision
from bindserver.cycle.inbox import SessionRequest
from bindserver.cycle.invalidation import Invalidation
from bindserver.cycle.loader import Loader
from bindserver.cycle.serving import Serving
from bindserver.cycle.turn import Turn
from bindserver.engine.changes import Change, Position
from bindserver.supervision import Supervised


def _file() -> Path:
    return Path(os.environ["FAULT_FILE"])


def _failing(of: type, name: str, raised: Callable[[], BaseException], *, once: bool) -> None:
    """Have a method raise while the file is there; once takes it away."""
    method = getattr(of, name)

    @functools.wraps(method)
    def failing(*args: Any, **kwargs: Any) -> Any:
        if _file().exists():
            if once:
                _file().unlink()
            raise raised()
        return method(*args, **kwargs)

    setattr(of, name, failing)


def turn_ends_once() -> None:
    """A turn wants to end its thread, after requests were served."""
    method = Turn._settle

    def failing(self: Turn, *args: Any) -> None:
        method(self, *args)
        if _file().exists():
            _file().unlink()
            raise SystemExit(3)

    setattr(Turn, "_settle", failing)


def turn_fails_once() -> None:
    """A turn fails by a fault of ours, while the database is there."""
    _failing(Turn, "run", lambda: RuntimeError("a fault of ours"), once=True)


def serving_fails_once() -> None:
    """A turn fails while it serves a subscription."""
    method = Serving._serve

    def failing(self: Serving, request: Any) -> None:
        if isinstance(request, SessionRequest) and _file().exists():
            _file().unlink()
            raise RuntimeError("a fault of ours")
        method(self, request)

    setattr(Serving, "_serve", failing)


def turn_fails_always() -> None:
    """Each turn does."""
    _failing(Turn, "run", lambda: RuntimeError("a fault of ours"), once=False)


def load_ends_once() -> None:
    """A load wants to end its thread."""
    _failing(Loader, "_load_all", lambda: SystemExit(3), once=True)


def load_never_ends() -> None:
    """A load lasts as long as the file is there."""
    method = Loader._load_all

    def lasting(self: Loader, *args: Any) -> Any:
        while _file().exists():
            time.sleep(0.01)
        return method(self, *args)

    setattr(Loader, "_load_all", lasting)


def next_changes_lost() -> None:
    """The next changes that a turn is told of are lost: nothing that they touch is read again."""
    method = Invalidation.since

    def since(self: Invalidation, position: Position) -> list[Change] | None:
        changes = method(self, position)
        if changes and _file().exists():
            _file().unlink()
            self._changes[position] = changes = []
        return changes

    setattr(Invalidation, "since", since)


def thread_is_gone() -> None:
    """A turn ends its thread, and so does what is there to begin it anew."""
    turn_fails_always()
    setattr(supervision, "give_up", lambda part: None)
    _failing(Supervised, "_rest", lambda: RuntimeError("and this as well"), once=False)


FAULTS_IN_THREADS: dict[str, Callable[[], None]] = {
    fault.__name__: fault
    for fault in (
        turn_ends_once,
        turn_fails_once,
        serving_fails_once,
        turn_fails_always,
        load_ends_once,
        load_never_ends,
        next_changes_lost,
        thread_is_gone,
    )
}
