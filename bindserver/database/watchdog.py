"""Ends calls to a database that does not answer: a stopped process, a host that has gone silent.

A thread that waits in a call cannot look at a clock. So it says beforehand how long an answer may
take, and one thread for the whole process looks on: where the time is over it shuts the
connection's socket, and the call raises as it does for any lost connection. Nobody else ever
touches what belongs to the waiting thread, which thus stays the only one that publishes.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from bindserver.database import database_of
from bindserver.forks import on_fork
from bindserver.supervision import Supervised

logger = logging.getLogger("bindserver.database")

LOOK_SECONDS = 0.25
"""How often to look whether somebody has waited too long."""


class Watchdog:
    """Watches the calls that one thread makes on its connection.

    Args:
        connection: that thread's own.
    """

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection
        self._raw: Any = None
        self._socket: socket.socket | None = None
        self._patience = self._until = math.inf
        self._ended = False
        _keeper.add(self)

    @contextmanager
    def patience(self, seconds: float) -> Iterator[None]:
        """Let no call in the block wait for more than `seconds`, each statement by itself.

        Beyond, the connection is ended, and the call raises what a lost connection raises.
        """
        self._patience = seconds
        self._restart()
        try:
            with self._connection.execute_wrapper(self):
                yield
        finally:
            self._patience = self._until = math.inf

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        self._restart()
        try:
            return execute(sql, params, many, context)
        finally:
            self._until = time.monotonic() + self._patience

    def _restart(self) -> None:
        self._until = time.monotonic() + self._patience
        if self._connection.connection is not self._raw:
            self._hold()

    def _hold(self) -> None:
        """Hold the socket of the present connection, by a descriptor that nobody else closes."""
        self._let_go()
        self._raw = self._connection.connection
        self._ended = False
        number = database_of(self._connection.vendor).socket_of(self._connection)
        if number is not None:
            self._socket = socket.socket(fileno=os.dup(number))

    def _let_go(self) -> None:
        self._raw, held, self._socket = None, self._socket, None
        if held is not None:
            held.close()

    def look(self) -> None:
        """End the connection if somebody has waited too long on it."""
        if self._socket is None or self._ended or time.monotonic() < self._until:
            return
        logger.warning(
            "bindserver: database %r has not answered for %g s; the connection is ended",
            self._connection.alias,
            self._patience,
        )
        self._end()

    def give_up(self) -> None:
        """End the connection if somebody waits on it, however short a time; from any thread."""
        if self._until < math.inf:
            self._end()

    def _end(self) -> None:
        self._ended, held = True, self._socket
        if held is not None:
            with contextlib.suppress(OSError):  # it is gone already
                held.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Watch no more."""
        _keeper.remove(self)
        self._let_go()


class _Keeper:
    """The thread that looks at all watchdogs of this process, as long as there are any."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew, as a process must after a fork."""
        self._dogs: set[Watchdog] = set()
        self._lock = threading.Lock()
        self._runs = False

    def add(self, dog: Watchdog) -> None:
        with self._lock:
            self._dogs.add(dog)
            if not self._runs:
                self._runs = True
                Supervised("bindserver-watchdog", "watchdog", self._run).start()

    def remove(self, dog: Watchdog) -> None:
        with self._lock:
            self._dogs.discard(dog)

    def _run(self) -> None:
        while True:
            time.sleep(LOOK_SECONDS)
            with self._lock:
                if not self._dogs:
                    self._runs = False
                    return
                dogs = list(self._dogs)
            for dog in dogs:
                dog.look()


_keeper = _Keeper()
on_fork(_keeper.forget)
