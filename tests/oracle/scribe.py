"""A process that writes through the ORM, as many as it is told; and how it is told.

Run as `python -m tests.oracle.scribe`, it reads lines of JSON, `{"seed": 7, "count": 3}`, and
answers each by what it did.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from tests.support.server import ROOT


class Scribe:
    """One writing process, from outside.

    Args:
        environment: its environment, which names the database and the channel layer.
        log: takes what it complains of.
    """

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        self._log = log
        self._environment = dict(environment)
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.oracle.scribe"),
                cwd=ROOT,
                env=self._environment,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )

    async def write(self, seed: int, count: int) -> dict[str, int]:
        """Have it write so many times; return how often it did what."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"seed": seed, "count": count}).encode() + b"\n")
        await self._process.stdin.drain()
        line = await self._process.stdout.readline()
        assert line, self._log.read_text()
        done: dict[str, int] = json.loads(line)
        return done

    async def end(self, *, crash: bool) -> None:
        """End it: in order, when it can send its last hints, or as a crash would."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGKILL if crash else signal.SIGINT)
        await self._process.wait()
        self._process = None


def main() -> None:
    """Write as told until there is nobody to tell."""
    import django

    django.setup()
    from django.db import DatabaseError

    from tests.oracle.sessions import Session
    from tests.oracle.signalled import WAYS, WRITES
    from tests.oracle.writer import Writer

    writer = Writer(Session(os.environ["DATABASE_URL"]), random.Random(0))
    for line in sys.stdin:
        told = json.loads(line)
        writer.rng.seed(told["seed"])
        done: Counter[str] = Counter()
        for _ in range(told["count"]):
            way, write = writer.rng.choice(WAYS), writer.rng.choice(WRITES)
            try:
                way(writer, write)
                done[write.__name__] += 1
            except DatabaseError as problem:
                if not writer.dialect.refuses(problem.__cause__):
                    raise
                done["refused"] += 1  # another process has taken away what this one chose
        print(json.dumps(done), flush=True)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(0)
