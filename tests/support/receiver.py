"""Who hears, in tests, what the relay has to tell."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import Any

from bindserver.cycle.inbox import CommandKind
from bindserver.engine.changes import Change

PATIENCE_SECONDS = 15


class Receiver:
    """What a hub would hear."""

    def __init__(self) -> None:
        self.told: dict[str, set[Any] | None] = {}
        self.compares = 0
        self.commands: list[tuple[CommandKind, Any]] = []
        self._news = threading.Condition()

    def hint(self, alias: str, changes: tuple[Change, ...]) -> None:
        with self._news:
            for change in changes:
                known = self.told.setdefault(change.table, set())
                if known is None or change.pks is None:
                    self.told[change.table] = None
                else:
                    self.told[change.table] = {*known, *change.pks}
            self._news.notify_all()

    def compare(self, alias: str | None = None) -> None:
        with self._news:
            self.compares += 1
            self._news.notify_all()

    def command(self, command: CommandKind, events: Collection[str] | None = None) -> None:
        with self._news:
            self.commands.append((command, events))
            self._news.notify_all()

    def wait(self, done: Callable[[], bool]) -> None:
        with self._news:
            assert self._news.wait_for(done, PATIENCE_SECONDS), (self.told, self.compares)
