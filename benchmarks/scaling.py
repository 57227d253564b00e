"""What grows with the number of processes: questions to PostgreSQL, and messages through Redis.

Run with `python -m benchmarks.scaling --processes 1 2 4 8`. It starts a PostgreSQL, a Redis and so
many servers, each with one subscriber to the same rows, and counts, while nobody writes and while
rows are changed one at a time: transactions and processor time of PostgreSQL, commands and bytes of
Redis, processor time of a server. With the change log another program writes; with signals, where
hints travel through Redis, a process of the project does, by Django's ORM.

What is counted does not depend on what else the machine does. Of servers, as many as there are
cores can be measured at their best; so times are the processors', and none is a delay.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from websockets.asyncio.client import connect

from benchmarks.homes import PostgreSQL, cpu_of
from tests.support.postgresql import PostgreSQLProgram
from tests.support.redis import Redis
from tests.support.server import ROOT, Server

SETTLE_SECONDS = 3.0
"""How long PostgreSQL takes, with some to spare, to add up what its sessions have done."""

MEAN_PAUSE = 0.1
CAPTURES = {"log": True, "signals": False}
"""Whether there is a change log."""

WRITER = """
import sys, django
django.setup()
from tests.app.models import Product
product = Product.objects.get()
for line in sys.stdin:
    product.stock += 1
    product.save()
    print(flush=True)
"""


@dataclass(frozen=True, slots=True)
class Counts:
    """What was counted up to a moment."""

    at: float
    transactions: int
    database: float
    commands: int
    bytes: int
    servers: float


class Stage:
    """PostgreSQL, Redis and servers.

    Args:
        home: keeps the databases.
        program: asks the database for its figures.
        redis: where hints travel.
        servers: the servers.
    """

    def __init__(
        self, home: PostgreSQL, program: PostgreSQLProgram, redis: Redis, servers: list[Server]
    ) -> None:
        self._home = home
        self._program = program
        self._redis = redis
        self.servers = servers

    def count(self) -> Counts:
        """Return what was counted up to now."""
        time.sleep(SETTLE_SECONDS)
        [(transactions,)] = self._program.run(
            "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
        )
        told = self._told()
        return Counts(
            time.monotonic(),
            transactions,
            self._home.computed(),
            told("total_commands_processed"),
            told("total_net_input_bytes") + told("total_net_output_bytes"),
            sum(cpu_of(server.pid) for server in self.servers),
        )

    def _told(self) -> Any:
        with socket.create_connection(("127.0.0.1", self._redis.port)) as talk:
            talk.sendall(b"INFO stats\r\n")
            text = ""
            while "total_net_output_bytes" not in text or not text.endswith("\r\n"):
                text += talk.recv(65_536).decode()
        return lambda name: int(re.findall(rf"{name}:(\d+)", text)[0])


def rates(before: Counts, after: Counts, by: float) -> dict[str, float]:
    """Return what was counted in between, for each of so many."""
    return {
        "transactions": (after.transactions - before.transactions) / by,
        "database": (after.database - before.database) / by,
        "commands": (after.commands - before.commands) / by,
        "bytes": (after.bytes - before.bytes) / by,
        "servers": (after.servers - before.servers) / by,
    }


@contextmanager
def staged(home: PostgreSQL, redis: Redis, processes: int, *, logged: bool) -> Iterator[Stage]:
    """Start servers on a new database."""
    place = home.make(logged=logged)
    program = PostgreSQLProgram(place.url)
    program.add_products(1)
    environment = {} if logged else {"REDIS_URL": redis.url}
    with ExitStack() as ends:
        servers = [
            Server(place.server.database.with_suffix(f".{n}"), url=place.url,
                   environment=environment)
            for n in range(processes)
        ]  # fmt: skip
        for server in servers:
            ends.enter_context(server)
        yield Stage(home, program, redis, servers)
    program.close()


@contextmanager
def writing(stage: Stage, *, logged: bool) -> Iterator[Any]:
    """Yield what changes the row once."""
    if logged:
        program = PostgreSQLProgram(stage.servers[0].url)
        yield lambda: program.run("UPDATE app_product SET stock = stock + 1")
        program.close()
        return
    with subprocess.Popen(
        [sys.executable, "-c", WRITER], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={**stage.servers[0].environment, "PYTHONPATH": str(ROOT)}, text=True,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        said, heard = process.stdin, process.stdout

        def write() -> None:
            print(file=said, flush=True)
            heard.readline()

        write()  # the first one connects
        yield write
        said.close()


async def measure(stage: Stage, writes: int, seconds: float, *, logged: bool) -> None:
    """Follow on every server, and print what is counted."""
    async with AsyncExitStack() as ends:
        followers = []
        for server in stage.servers:
            ws = await ends.enter_async_context(connect(server.ws))
            await ws.send(json.dumps({"event": "by_stock"}))
            followers.append(asyncio.create_task(_hear(ws)))
        await asyncio.sleep(5)
        before = await asyncio.to_thread(stage.count)
        await asyncio.sleep(seconds)
        idle = await asyncio.to_thread(stage.count)
        resting = rates(before, idle, idle.at - before.at)
        with writing(stage, logged=logged) as write:
            began = await asyncio.to_thread(stage.count)
            for _ in range(writes):
                await asyncio.to_thread(write)
                await asyncio.sleep(random.expovariate(1 / MEAN_PAUSE))
            ended = await asyncio.to_thread(stage.count)
        span = ended.at - began.at - SETTLE_SECONDS
        told = rates(began, ended, 1)
        written = {name: told[name] - SETTLE_SECONDS * resting[name] for name in told}
        busy = {name: value / span for name, value in written.items()}
        for follower in followers:
            follower.cancel()
    count = len(stage.servers)
    print(
        f"| {'change log' if logged else 'signals'} | {count} | {resting['transactions']:.0f} | "
        f"{resting['database']:.2%} | {resting['servers'] / count:.2%} | "
        f"{resting['commands']:.1f} | {writes / span:.1f} | {busy['transactions']:.0f} | "
        f"{busy['database']:.1%} | {busy['servers'] / count:.1%} | "
        f"{written['commands'] / writes:.1f} | {written['bytes'] / writes:.0f} |",
        flush=True,
    )


async def _hear(ws: Any) -> None:
    async for _ in ws:
        pass


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--writes", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=8, help="while nobody writes")
    parser.add_argument("--capture", choices=CAPTURES, nargs="+", default=list(CAPTURES))
    options = parser.parse_args()
    print(
        "| capture | processes | idle: transactions a second | PostgreSQL, of a core | a server | "
        "Redis, commands a second | writes a second | transactions a second | PostgreSQL | "
        "a server | Redis, commands a write | bytes a write |\n|" + " --- |" * 12
    )
    with (
        tempfile.TemporaryDirectory(prefix="bindserver-bench-") as folder,
        Redis(Path(folder)) as redis,
    ):
        home = PostgreSQL(Path(folder), durable=False)
        try:
            for logged in [CAPTURES[name] for name in options.capture]:
                for processes in options.processes:
                    with staged(home, redis, processes, logged=logged) as stage:
                        asyncio.run(measure(stage, options.writes, options.seconds, logged=logged))
        finally:
            home.stop()
    print(f"\nload {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
