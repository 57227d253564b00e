"""WebSocket by the `websockets` library, as a binding server speaks it, and what it bounds."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from http import HTTPStatus
from typing import Any

from websockets.frames import CTRL_OPCODES, Frame
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.streams import StreamReader

from bindserver.conf import conf
from bindserver.engine.line import Line
from bindserver.server.compression import Deflate

VERSION = "13"
"""The only version of WebSocket that was ever a standard."""

PIECES = 4_096
"""In so many frames a message may come: empty ones count as no bytes, and are kept all the same."""

GOODBYE = "the server restarts; come back after a random wait"
GOODBYE_SECONDS = 3.0
"""How long a client may take to answer the close at the server's end."""


class Reader(StreamReader):
    """Reads lines of up to MAX_HEADER_BYTES, whatever the library thinks is enough; and frames.

    Attributes:
        rests: whether no further frame is to be read for now.
    """

    rests = False

    def read_exact(self, n: int) -> Generator[None, None, bytearray]:
        """Read a part of a frame, of `n` bytes."""
        while self.rests:
            yield
        return (yield from super().read_exact(n))

    def read_line(self, m: int, *args: Any) -> Generator[None, None, bytearray]:
        """Read a line of a handshake; frames have none."""
        return super().read_line(int(conf.MAX_HEADER_BYTES), *args)


class Conversation(ServerProtocol):
    """A WebSocket's server side, for handshakes with long headers.

    Where messages may be compressed, it reads one at a time: `read_on` has it read the next. In one
    piece of what the socket has, there can be a thousand times as much, once it is unpacked.

    Attributes:
        line: stopped when the conversation is not open any more.
    """

    line: Line | None = None
    reader: Reader

    @property
    def deflate(self) -> Deflate | None:
        """What compresses messages, if the client has asked for that."""
        return next((one for one in self.extensions if isinstance(one, Deflate)), None)

    @property
    def state(self) -> State:
        """Where it stands."""
        return self._state

    @state.setter
    def state(self, state: State) -> None:
        self._state = state
        self.stop_line()
        if state in (State.CLOSING, State.CLOSED) and (deflate := self.deflate) is not None:
            deflate.is_heard = self.reader.rests = False

    def stop_line(self) -> None:
        """Have nothing more go straight to the socket."""
        if self.line is not None:
            self.line.stop()

    def parse(self) -> Generator[None]:
        """Read a handshake, and then frames."""
        self.reader = Reader()
        yield from super().parse()

    def recv_frame(self, frame: Frame) -> None:
        """Take a frame; behind a message, rest."""
        super().recv_frame(frame)
        if frame.fin and frame.opcode not in CTRL_OPCODES and (deflate := self.deflate) is not None:
            self.reader.rests = deflate.is_heard

    def read_on(self) -> None:
        """Read what stands behind a message, as that has been taken: as after `receive_data`."""
        if self.extensions:
            self.reader.rests = False
            next(self.parser)

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
