"""The straight way to a client's socket, past ASGI, where the server offers it.

An ASGI message for each frame costs a dict, a coroutine and a task, and what Channels and the
server do with these: several times what the system's own call takes. `manage.py bindserver` puts a
connection's protocol into its scope; on another server each frame is an ASGI message.
"""

from __future__ import annotations

from typing import Protocol

from bindserver.engine.line import Line

WIRE = "bindserver.wire"
"""The extension of a scope that holds a connection's `Wire`."""


class Wire(Protocol):
    """What a WebSocket's protocol class offers. All on its event loop's own thread."""

    def is_open(self) -> bool:
        """Return whether the socket takes more: it is connected, nobody closes it, and not too much
        waits to be taken by the client."""

    def attach(self, line: Line) -> None:
        """Have a line write to the socket, and stop it as soon as the socket takes no more."""

    def write(self, data: bytes) -> None:
        """Write whole frames, behind all that was written before."""
