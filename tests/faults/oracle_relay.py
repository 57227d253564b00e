"""Faults to plant in capture and relay, each of which the oracle of several processes must find."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from bindserver.capture import querysets, signals
from bindserver.capture.transactions import TransactionChanges, TransactionRecorder
from bindserver.engine.changes import Change
from bindserver.relay.connection import RelayConnection
from bindserver.relay.messages import GapDetector


def gaps_not_noticed() -> None:
    """A message that is missing is nobody's concern."""
    setattr(GapDetector, "follows", lambda self, sender, number: True)


def savepoints_forgotten() -> None:
    """What is written after a savepoint goes into the savepoint's bag, and is undone with it."""

    def takes(self: TransactionChanges, connection: Any) -> bool:
        return not self._over

    setattr(TransactionChanges, "takes", takes)


def hints_before_the_commit() -> None:
    """Hints are handed on when the row is written, not when it can be read."""

    def add(self: TransactionRecorder, alias: str, changes: Iterable[Change]) -> None:
        self._hand_over(alias, tuple(changes))

    setattr(TransactionRecorder, "add", add)


def silent_tables_forgotten() -> None:
    """Nobody thinks of the rows that a delete changes without a signal."""
    setattr(signals, "_silent_tables", lambda model: ())


def bulk_writes_not_told() -> None:
    """Our querysets write and say nothing."""
    setattr(querysets, "written", lambda *args, **kwargs: None)


def beats_not_sent() -> None:
    """Nobody says how far it is; and so the last message may be lost unnoticed."""

    async def once(self: RelayConnection) -> None:
        await self._over.wait()

    setattr(RelayConnection, "_beat_all", once)


RELAY_FAULTS: dict[str, Callable[[], None]] = {
    fault.__name__: fault
    for fault in (
        gaps_not_noticed,
        savepoints_forgotten,
        hints_before_the_commit,
        silent_tables_forgotten,
        bulk_writes_not_told,
        beats_not_sent,
    )
}
