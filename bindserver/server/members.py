"""Worker processes, as their parent knows them."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import signal
import socket
import threading
import time
from functools import partial
from multiprocessing.connection import Connection

import uvicorn

from bindserver.server.draining import (
    DrainingServer,
    end_anyway_after,
    leave_in_order,
    seconds_to_end,
)

logger = logging.getLogger("uvicorn.error")

START_SECONDS = 180.0
"""How long a worker may take until it serves."""

ANSWER_SECONDS = 30.0
"""How long a worker that serves may be silent before it is killed: its interpreter hangs."""

ASK_SECONDS = 1.0
"""How often a worker is asked whether it is there."""


class Member:
    """One worker process. It ends in order when its parent is gone.

    Args:
        config: uvicorn's.
        sock: where to serve.

    Attributes:
        is_ready: whether it serves.
    """

    def __init__(self, config: uvicorn.Config, sock: socket.socket) -> None:
        self.is_ready = False
        self._channel, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        self._process = context.Process(target=work, args=(config, sock, theirs))
        self._process.start()
        theirs.close()
        self._began_at = time.monotonic()
        self._asked_at: float | None = None
        self._answered_at = 0.0

    @property
    def pid(self) -> int:
        """The number of its process."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def status(self) -> int | None:
        """With which status it has ended; None while it is there."""
        return self._process.exitcode

    def look(self) -> None:
        """Note whether it serves, and ask it again now and then."""
        now = time.monotonic()
        with contextlib.suppress(OSError, EOFError):  # it has ended, which its status tells
            while self._channel.poll():
                self.is_ready = self._channel.recv()
                self._asked_at, self._answered_at = None, now
            if self._asked_at is None and (
                not self.is_ready or now > self._answered_at + ASK_SECONDS
            ):
                self._asked_at = now
                self._channel.send(None)

    @property
    def is_stuck(self) -> bool:
        """Whether it has been silent for too long."""
        if not self.is_ready:
            return time.monotonic() > self._began_at + START_SECONDS
        return self._asked_at is not None and time.monotonic() > self._asked_at + ANSWER_SECONDS

    def end(self) -> None:
        """Have it end in order."""
        self._process.terminate()

    def kill(self) -> None:
        """End it at once, and wait until it has ended."""
        self._process.kill()
        self._process.join()


def work(config: uvicorn.Config, sock: socket.socket, channel: Connection) -> None:
    """Serve, in a worker process, until SIGTERM or until the parent is gone.

    Args:
        config: uvicorn's.
        sock: where to serve.
        channel: leads to the parent.
    """
    leave_in_order()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the parent's business, whoever gets it too
    config.configure_logging()
    seconds = seconds_to_end(config.timeout_graceful_shutdown or 0)
    server = DrainingServer(config, before_end=partial(end_anyway_after, seconds))
    threading.Thread(target=_answer, args=(channel, server), daemon=True).start()
    server.run(sockets=[sock])


def _answer(channel: Connection, server: uvicorn.Server) -> None:
    """Answer the parent, for as long as there is one."""
    with contextlib.suppress(OSError, EOFError):
        while True:
            channel.recv()
            channel.send(server.started)
    server.should_exit = True
