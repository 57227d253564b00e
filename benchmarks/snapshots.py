"""For how long the event loop is held while very many rows are sent, and what they cost.

Run with `python -m benchmarks.snapshots --rows 100000 --clients 20`. It serves in this process, on
SQLite and on asyncio's own loop, and notes how long each step of the loop computes: by the thread's
own clock, so that other programs do not count. Clients in another process ask for all rows, first
one, then all others at once, and read until they have them.

Printed are the longest step and how many took more than ten milliseconds, how long the loop's
thread and all others computed for a client, and how often the rows were read and written as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import tempfile
import time
from asyncio.events import Handle
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest.mock import patch

import uvicorn

from benchmarks.peers.audience import PASS_SECONDS, Audience, Manner, text_frame
from tests.support.server import Server, free_port
from tests.support.sqlite import SQLiteProgram

SUBSCRIBE = text_frame('{"event":"products"}')
LAST = b'"cursor":"'


def ask(port: int, counts: list[int], pipe: Connection) -> None:
    """Have so many clients ask for all rows at once, one group after the other, and say when each
    has them."""
    for count in counts:
        audience = Audience(port, count, Manner())
        audience.greet()
        pipe.send("connected")
        pipe.recv()
        audience.say(SUBSCRIBE)
        while audience.frames < count:
            time.sleep(PASS_SECONDS)
            audience.read(LAST)
        pipe.send("answered")
        pipe.recv()


class Steps:
    """The steps of an event loop, by how long each computed."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    def run(self, run: Any) -> Any:
        """Return what runs a step, and notes how long."""

        def noted(handle: Handle) -> None:
            began = time.thread_time()
            run(handle)
            self.taken.append(time.thread_time() - began)

        return noted


async def measure(counts: list[int]) -> None:
    """Serve, and print."""
    from bindserver.engine.frames import FrameEncoder
    from bindserver.server.requests import HTTPProtocol
    from bindserver.server.sockets import WebSocketProtocol
    from tests.asgi import application

    port, encoded, steps = free_port(), 0, Steps()
    sync = FrameEncoder.sync

    def counted(*args: Any) -> Any:
        nonlocal encoded
        encoded += 1
        return sync(*args)

    config = uvicorn.Config(
        application, port=port, http=HTTPProtocol, ws=WebSocketProtocol, loop="asyncio",
        log_level="warning", ws_per_message_deflate=False,
    )  # fmt: skip
    server = uvicorn.Server(config)
    with (
        patch.object(Handle, "_run", steps.run(Handle._run)),
        patch.object(FrameEncoder, "sync", counted),
    ):
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(
            target=ask, args=(port, counts, theirs)
        )
        process.start()
        for count in counts:
            assert await asyncio.to_thread(ours.recv) == "connected"
            steps.taken.clear()
            encoded, before, began = 0, time.process_time(), time.thread_time()
            ours.send("go")
            assert await asyncio.to_thread(ours.recv) == "answered"
            loop, whole = time.thread_time() - began, time.process_time() - before
            long = [step for step in steps.taken if step > 0.01]
            print(
                f"{count} clients at once: the longest step of the loop took "
                f"{max(steps.taken) * 1e3:.1f} ms, {len(long)} above 10 ms; the loop's thread "
                f"computed {loop / count * 1e3:.0f} ms for each client, the others "
                f"{(whole - loop) / count * 1e3:.0f}; frames were made {encoded} times",
                flush=True,
            )
            ours.send("go on")
        await asyncio.to_thread(process.join)
        server.should_exit = True
        await serving


def main() -> None:
    """Make the rows, and measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.snapshots", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--clients", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bindserver-bench-") as folder:
        server = Server(Path(folder) / "db.sqlite3").prepare()
        program = SQLiteProgram(server.database)
        program.add_products(options.rows)
        program.close()
        os.environ.update(DATABASE_URL=server.url, DJANGO_SETTINGS_MODULE="tests.settings")
        import django

        django.setup()
        asyncio.run(measure([1, options.clients]))


if __name__ == "__main__":
    main()
