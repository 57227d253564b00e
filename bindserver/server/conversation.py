"""WebSocket by the `websockets` library, as a binding server speaks it, and what it bounds."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from http import HTTPStatus
from typing import Any

from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.streams import StreamReader

from bindserver.conf import conf
from bindserver.engine.line import Line

VERSION = "13"
"""The only version of WebSocket that was ever a standard."""

PIECES = 4_096
"""In so many frames a message may come: empty ones count as no bytes, and are kept all the same."""

GOODBYE = "the server restarts; come back after a random wait"
GOODBYE_SECONDS = 3.0
"""How long a client may take to answer the close at the server's end."""


class LongLines(StreamReader):
    """Reads lines of up to MAX_HEADER_BYTES, whatever the library thinks is enough."""

    def read_line(self, m: int, *args: Any) -> Generator[None, None, bytearray]:
        """Read a line of a handshake; frames have none."""
        return super().read_line(int(conf.MAX_HEADER_BYTES), *args)


class Conversation(ServerProtocol):
    """A WebSocket's server side, for handshakes with long headers.

    Attributes:
        line: stopped when the conversation is not open any more.
    """

    line: Line | None = None

    @property
    def state(self) -> State:
        """Where it stands."""
        return self._state

    @state.setter
    def state(self, state: State) -> None:
        self._state = state
        self.stop_line()

    def stop_line(self) -> None:
        """Have nothing more go straight to the socket."""
        if self.line is not None:
            self.line.stop()

    def parse(self) -> Generator[None]:
        """Read a handshake, and then frames."""
        self.reader = LongLines()
        yield from super().parse()

    def accept(self, request: Request) -> Response:
        """Return the answer to a handshake; one of another version is told ours."""
        response = super().accept(request)
        versions = request.headers.get_all("Sec-WebSocket-Version")
        if response.status_code == HTTPStatus.BAD_REQUEST and versions not in ([], [VERSION]):
            text = f"This server speaks version {VERSION} of WebSocket.\n"
            response = self.reject(HTTPStatus.UPGRADE_REQUIRED, text)
            response.headers["Upgrade"] = "websocket"
            response.headers["Sec-WebSocket-Version"] = VERSION
        return response

    def refusal(self) -> bytes:
        """Return the answer to a handshake that could not be read."""
        if said := b"".join(self.data_to_send()):
            return said  # it knows what is too long
        why = self.handshake_exc and self.handshake_exc.__cause__
        return self.reject(
            HTTPStatus.BAD_REQUEST, f"The WebSocket handshake cannot be read: {why}.\n"
        ).serialize()


def text_of(pieces: Sequence[bytes]) -> str | None:
    """Return the text of a message that came in pieces, None if it is not UTF-8."""
    try:
        return b"".join(pieces).decode()
    except UnicodeDecodeError:
        return None
