"""Writers at full speed: a transaction as every kind of database takes it, and who runs it."""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

Execute = Callable[[str], object]
"""Runs a statement; one by itself is committed at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What one transaction does.

    Attributes:
        statements: `:id` stands for a random number from 1 to `highest`, `:last` for the key of
            the row that was inserted just before.
        highest: see there.
    """

    statements: tuple[str, ...]
    highest: int

    def told(self, last: str) -> Script:
        """Return it with what a kind of database calls `:last`."""
        return replace(self, statements=tuple(s.replace(":last", last) for s in self.statements))

    def for_pgbench(self) -> str:
        """Return it as pgbench reads it."""
        lines = [f"{statement};" for statement in self.statements]
        if len(lines) > 1:
            lines = ["BEGIN;", *lines, "COMMIT;"]
        return "\n".join([f"\\set id random(1, {self.highest})", *lines, ""])

    def run(self, execute: Execute) -> None:
        """Do it once."""
        number = str(random.randint(1, self.highest))
        statements = [statement.replace(":id", number) for statement in self.statements]
        if len(statements) > 1:
            statements = ["BEGIN", *statements, "COMMIT"]
        for statement in statements:
            execute(statement)


def transactions_per_second(
    connect: Callable[[], Execute], script: Script, writers: int, seconds: float
) -> float:
    """Return how many transactions several processes do at full speed in a second.

    Args:
        connect: called in each of the processes.
        script: what they do.
        writers: how many there are.
        seconds: for how long.
    """
    forked = multiprocessing.get_context("fork")
    together, counts = forked.Barrier(writers), forked.SimpleQueue()
    processes = [
        forked.Process(target=_write, args=(connect, script, seconds, together, counts))
        for _ in range(writers)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0, "a writer failed"
    done = sum(int(counts.get()) for _ in processes)
    return done / seconds


def _write(
    connect: Callable[[], Execute], script: Script, seconds: float, together: Any, counts: Any
) -> None:
    random.seed()
    execute, done = connect(), 0
    together.wait()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        script.run(execute)
        done += 1
    counts.put(done)
