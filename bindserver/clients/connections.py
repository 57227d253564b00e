"""Who is connected to this process, by whatever transport: numbers for metrics, lines for the log.

A transport opens a `Connection` for each client, tells what it writes to it, and ends it once.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import Counter
from typing import Protocol

from bindserver.engine.protocol import Closing
from bindserver.engine.session import Session
from bindserver.forks import on_fork
from bindserver.logs import Sparse, address, key_of, quoted

logger = logging.getLogger("bindserver.connection")
_sparse = Sparse(logger)

KNOWN_CODES = frozenset({1000, 1002, 1005, 1006, 1007, 1010, 1011, *Closing})
"""Close codes that are counted each for itself: clients may choose any of four thousand."""

ABNORMAL = 1006
"""The code of a connection that broke without a word."""

CUT_OFF = {
    Closing.TOO_MANY_MALFORMED: "connections closed for malformed messages",
    Closing.TOO_SLOW: "connections closed as their clients read too slowly",
    Closing.TOO_MANY_MESSAGES: "connections closed for too many messages",
}
"""Closes that an operator wants to hear of, whatever the level of the log."""


class Person(Protocol):
    """Who the client is."""

    @property
    def user_key(self) -> str | None:
        """The key of the user that the client is by now; None for nobody."""


class Connection:
    """One client's connection.

    Args:
        transport: its kind, as in "websocket".
        host: the client's address.
        session: the conversation.
        person: who the client is.

    Attributes:
        id: names it in the log.
    """

    __slots__ = (
        "_began", "_is_greeted", "_is_over", "_person", "address", "id", "session", "transport"
    )  # fmt: skip

    def __init__(self, *, transport: str, host: object, session: Session, person: Person) -> None:
        self.id = secrets.token_hex(4)
        self.transport = transport
        self.address = address(host)
        self.session = session
        self._person = person
        self._began = time.monotonic()
        self._is_greeted = False
        self._is_over = False
        connections.add(self)

    @property
    def is_greeted(self) -> bool:
        """Whether the client was let in."""
        return self._is_greeted

    @property
    def seconds(self) -> float:
        """For how long it has been there."""
        return time.monotonic() - self._began

    @property
    def frames(self) -> int:
        """How many frames have been written."""
        return self.session.line.frames

    @property
    def bytes(self) -> int:
        """How many bytes these had."""
        return self.session.line.bytes

    @property
    def user(self) -> str:
        """The key of the user that the client is by now."""
        key = self._person.user_key
        return "nobody" if key is None else key_of(key)

    def greet(self, origin: str | None, agent: str | None) -> None:
        """Called when the client is let in: the log hears of it.

        Args:
            origin: the page's origin that the client names; None for none.
            agent: what it says it is.
        """
        self._is_greeted = True
        logger.info(
            "bindserver: connection %s opened: %s, origin %s, agent %s",
            self.id,
            self._who(),
            "none" if origin is None else quoted(origin),
            "none" if agent is None else quoted(agent),
            extra=self._told(origin=(origin or "")[:200], agent=(agent or "")[:200]),
        )

    def refuse(self, kind: str, message: str, *args: object) -> None:
        """Tell the log why the client is not let in, unless too many such lines were told.

        Args:
            kind: what is refused, as in "refused origins".
            message: what `logging` takes; it follows the client's address.
            args: the same.
        """
        _sparse.warn(kind, f"bindserver: {message} (%s)", *args, self._who(), **self._told())

    def end(self, code: int, reason: str, *, by_us: bool) -> None:
        """Called when it is over; only the first call counts.

        Args:
            code: the WebSocket close code, or what comes nearest to it.
            reason: why, in words.
            by_us: whether the server has closed it.
        """
        if self._is_over:
            return
        self._is_over = True
        connections.remove(self, code)
        seconds = round(time.monotonic() - self._began, 3)
        told = self._told(code=code, reason=reason[:200], by_us=by_us, seconds=seconds)
        who = "the server" if by_us else "the client"
        if by_us and code in CUT_OFF:
            said = "bindserver: connection %s is closed with %d, %s (%s)"
            _sparse.warn(CUT_OFF[Closing(code)], said, self.id, code, reason, self._who(), **told)
        if self._is_greeted:
            logger.info(
                "bindserver: connection %s ended with %d by %s (%s): %s, %.3f s, %d frames, "
                "%d bytes",
                self.id, code, who, quoted(reason), self._who(), seconds, self.frames, self.bytes,
                extra=told,
            )  # fmt: skip

    def _who(self) -> str:
        return f"user {self.user}, address {self.address}, {self.transport}"

    def _told(self, **more: object) -> dict[str, object]:
        """Return the same as fields."""
        return {
            "connection": self.id,
            "user": self.user,
            "address": self.address,
            "transport": self.transport,
            "frames": self.frames,
            "bytes": self.bytes,
            **more,
        }


class Connections:
    """All connections of this process.

    Each number is changed by the event loop alone. Other threads read them as they are.

    Attributes:
        opened: how many there have been, by transport.
        closed: how many of these are over, by transport and close code.
        refused_origins: how many were refused for their origin.
        failed_proofs: how many credentials proved nothing.
        rate_limited: how many messages were refused, as there were too many.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew, as a process must after a fork: its parent's connections are none of its."""
        self._open: dict[Connection, None] = {}
        self.opened: Counter[str] = Counter()
        self.closed: Counter[tuple[str, str]] = Counter()
        self._frames = self._bytes = 0
        self._lock = threading.Lock()
        self.refused_origins = self.failed_proofs = self.rate_limited = 0

    def add(self, connection: Connection) -> None:
        """Take a connection that is open now."""
        self._open[connection] = None
        self.opened[connection.transport] += 1

    def remove(self, connection: Connection, code: int) -> None:
        """Let go of one that is over."""
        with self._lock:
            if connection in self._open:
                del self._open[connection]
                self._frames += connection.frames
                self._bytes += connection.bytes
        self.count_close(connection.transport, code)

    def count_close(self, transport: str, code: int) -> None:
        """Count a connection that is over."""
        self.closed[transport, str(int(code)) if code in KNOWN_CODES else "other"] += 1

    @property
    def frames(self) -> int:
        """How many frames have been written to all that there were; from any thread."""
        with self._lock:  # none is left out, or counted twice, that ends meanwhile
            ended, still = self._frames, self.all()
        return ended + sum(connection.frames for connection in still)

    @property
    def bytes(self) -> int:
        """How many bytes these had."""
        with self._lock:
            ended, still = self._bytes, self.all()
        return ended + sum(connection.bytes for connection in still)

    def all(self) -> list[Connection]:
        """Return those that are open; from any thread."""
        return list(self._open)


connections = Connections()
"""This process's connections."""

on_fork(connections.forget)
