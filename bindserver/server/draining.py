"""uvicorn's server, with an end in order: nobody is cut off, and it takes no longer than it may."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from types import FrameType

import uvicorn

logger = logging.getLogger("uvicorn.error")

NEWCOMER_SECONDS = 1.0
"""How long a connection that has been taken may be silent at the end: its request is on its way."""

SPARE_SECONDS = 5.0
"""How long threads may take to end, beyond the time for clients."""


class DrainingServer(uvicorn.Server):
    """One process's server.

    Args:
        config: uvicorn's.
        is_to_end: asked ten times a second; True ends it in order, as SIGTERM does.
        before_end: called when it begins to end.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        is_to_end: Callable[[], bool] = lambda: False,
        before_end: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__(config)
        self._is_to_end = is_to_end
        self._before_end = before_end

    async def on_tick(self, counter: int) -> bool:
        """Return whether the server is to end."""
        return bool(await super().on_tick(counter)) or self._is_to_end()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, answer what was asked, and send those away who would stay."""
        from bindserver.http.open_streams import open_streams  # the application has been loaded

        self._before_end()
        open_streams.end()
        for server in self.servers:
            server.close()
        for sock in sockets or []:
            sock.close()
        await self._hear_newcomers()
        await super().shutdown()

    async def _hear_newcomers(self) -> None:
        """Wait for the first requests of connections that have just been taken.

        To close them now would be to lose a request that its client has sent already.
        """
        until = asyncio.get_running_loop().time() + NEWCOMER_SECONDS
        while any(getattr(c, "cycle", c) is None for c in self.server_state.connections):
            if asyncio.get_running_loop().time() > until:
                break
            await asyncio.sleep(0.01)


def leave_in_order() -> None:
    """Have SIGTERM and SIGINT end this process with status 0, once uvicorn has ended in order.

    uvicorn takes both while it serves, and raises the signal again for whoever was there before.
    """
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, _leave)


def _leave(number: int, frame: FrameType | None) -> None:
    # Whoever says it again must not make an end in order look like a failure.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(0)


def seconds_to_end(drain_seconds: float) -> float:
    """Return how long a process may take to end, from when it is told to.

    Args:
        drain_seconds: how long what is under way may take.
    """
    return NEWCOMER_SECONDS + drain_seconds + SPARE_SECONDS


def end_anyway_after(seconds: float) -> None:
    """End this process with status 0 when so many seconds have passed, whatever it is at.

    A view of the project's may sit in a thread for as long as it likes, and Python waits for it.
    """
    timer = threading.Timer(seconds, _end_anyway, (seconds,))
    timer.daemon = True
    timer.start()


def _end_anyway(seconds: float) -> None:
    said = "A thread has not ended within %g s; process [%d] ends without it"
    logger.error(said, seconds, os.getpid())
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(0)
