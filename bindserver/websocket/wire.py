"""How a client is written to: by ASGI messages, or straight, past ASGI, where the server offers it.

An ASGI message for each frame costs a dict, a coroutine and a task, and what Channels and the
server do with these: several times what the system's own call takes. A connection that waits in an
ASGI application costs as much again in memory: a task, a queue, a scope with all headers.
`manage.py bindserver` puts a connection's protocol into its scope, by which an accepted connection
leaves ASGI; on another server each message is an ASGI message. `wire_of` alone decides.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Protocol

from bindserver.engine.frames import Frame
from bindserver.engine.line import Line

WIRE = "bindserver.wire"
"""The extension of a scope that holds what hands its connection over, once it is accepted."""


class Taker(Protocol):
    """Who is told what a client says. All on its event loop's own thread."""

    @property
    def line(self) -> Line:
        """Where deltas are written past everything else."""

    def receive(self, text: str | None) -> Coroutine[Any, Any, None] | None:
        """Take a message, None for a binary one; return what must be waited for before the next
        may be told, if anything."""

    def fail(self) -> None:
        """Called in the handling of what taking a message has raised: give the connection up."""

    def gone(self, code: int, reason: str) -> None:
        """Called when the connection is over, once, and last of all."""


class Wire(Protocol):
    """What writes to a client. All on its event loop's own thread."""

    def is_open(self) -> bool:
        """Return whether the client's line may be written to: the connection has left ASGI, nobody
        closes it, and the socket takes more."""

    async def send(self, frame: Frame) -> int:
        """Write a message as soon as the socket takes more; return how many bytes that took.

        Raises:
            OSError: the connection is gone.
        """

    async def close(self, code: int, reason: str) -> None:
        """Close the connection behind what was written.

        Raises:
            OSError: it is gone.
        """


class StraightWire(Wire, Protocol):
    """A connection that has left ASGI."""

    def listen(self) -> None:
        """Tell its taker, from now on, what the client says, and has said meanwhile."""


class HandsOver(Protocol):
    """A connection that can leave ASGI."""

    def hand_over(self, taker: Taker) -> StraightWire | None:
        """Return what the client is written to by from now on, past ASGI; its application may end.
        None where the connection must stay: it is not accepted yet, or over."""


class ASGIWire:
    """A connection that stays with ASGI."""

    def __init__(self, send: Callable[[Any], Awaitable[None]]) -> None:
        self._send = send

    def is_open(self) -> bool:
        """Return that everything must be sent."""
        return False

    async def send(self, frame: Frame) -> int:
        """Send a message as one of ASGI's; the server waits until there is room."""
        await self._tell({"type": "websocket.send", "text": frame.text})
        return frame.size

    async def close(self, code: int, reason: str) -> None:
        """Close the connection."""
        await self._tell({"type": "websocket.close", "code": int(code), "reason": reason})

    async def _tell(self, message: Any) -> None:
        """Send an ASGI message.

        Raises:
            OSError: the connection is gone. uvicorn raises a RuntimeError where it has closed it by
                itself, as after text that is not UTF-8; we are told of that next.
        """
        try:
            await self._send(message)
        except RuntimeError as problem:
            raise ConnectionAbortedError(str(problem)) from problem


def wire_of(scope: Mapping[str, Any], taker: Taker) -> StraightWire | None:
    """Return the way past ASGI for a connection that has just been accepted, None if there is none.

    Args:
        scope: the connection's.
        taker: is told from now on what the client says.
    """
    offered: HandsOver | None = (scope.get("extensions") or {}).get(WIRE)
    return None if offered is None else offered.hand_over(taker)
