"""The event streams that are open in this process, and their end when its server ends.

uvicorn waits for its responses before it stops, and a stream is one that never ends by itself.
"""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from typing import Any, Protocol

from bindserver.engine.protocol import Closing
from bindserver.forks import on_fork

LOOK_SECONDS = 0.25
"""How often it is looked whether a server is about to stop that does not tell."""


class Stream(Protocol):
    """What can be ended, on its own loop."""

    loop: asyncio.AbstractEventLoop

    def end(self, code: Closing, reason: str) -> None:
        """End, and leave what waits unwritten; the client comes back by itself."""

    def fail(self) -> None:
        """The same in the handling of a failure, which the log is told."""


class OpenStreams:
    """All event streams of this process."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew, as a process must after a fork."""
        self._all: dict[Stream, None] = {}
        self._looking: asyncio.Task[None] | None = None

    def add(self, stream: Stream) -> None:
        """Take one that is open now."""
        self._all[stream] = None
        looking = self._looking
        if looking is None or looking.done() or looking.get_loop() is not stream.loop:
            self._looking = stream.loop.create_task(self._look())

    def remove(self, stream: Stream) -> None:
        """Let go of one that is over."""
        self._all.pop(stream, None)

    def all(self) -> list[Stream]:
        """Return those that are open."""
        return list(self._all)

    def end(self) -> None:
        """End all in order: their server is about to stop. From any thread."""
        for stream in self.all():
            with suppress(RuntimeError):  # its loop has been closed
                stream.loop.call_soon_threadsafe(stream.end, Closing.RESTART, "the server restarts")

    async def _look(self) -> None:
        while self._all:
            if _server_ends():
                self.end()
                return
            await asyncio.sleep(LOOK_SECONDS)


def _server_ends() -> bool:
    """Return whether a plain uvicorn has been told to stop: it takes the signals by a method of its
    server, which notes that."""
    server: Any = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return bool(getattr(server, "should_exit", False))


open_streams = OpenStreams()
"""This process's."""

on_fork(open_streams.forget)
