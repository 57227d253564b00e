"""uvicorn's WebSocket protocol, as a binding server wants it: whoever is refused is told why.

uvicorn reads a handshake with its HTTP parser, and hands it to this protocol, which reads it once
more. What is wrong with its headers was found out in silence there, and the connection left open.

`manage.py bindserver` uses it. Elsewhere:
`uvicorn --ws bindserver.server.sockets:WebSocketProtocol`.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.streams import StreamReader

from bindserver.conf import conf
from bindserver.engine.line import Line
from bindserver.server.mailbox import Mailbox, PauseGate
from bindserver.server.transports import patient
from bindserver.websocket.wire import WIRE

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


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """One connection from its handshake on."""

    conn: Conversation

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Thousands wait for something: in what is smaller than asyncio's own, and does the same.
        self.queue = Mailbox()  # type: ignore[assignment]
        self.writable = PauseGate()  # type: ignore[assignment]
        self._is_full = False
        self._is_sent_away = self._goes_when_open = False
        self.conn = Conversation(
            extensions=self.conn.available_extensions,
            max_size=self.config.ws_max_size,
            logger=self.conn.logger,
        )

    def connection_made(self, transport: Any) -> None:
        """Called when there is a connection; what is asked of it for each frame is looked up
        once."""
        self._write, self._is_closing = transport.write, transport.is_closing
        handed: Any = patient(transport, self.loop)  # it does what transports do
        super().connection_made(handed)
        transport.set_write_buffer_limits(0)  # what is left over is told at once

    def eof_received(self) -> None:
        """Called when the client says no more: the connection is closed, as it ever was."""
        self._stop_line()
        self.transport.close()

    def handle_connect(self, event: Request) -> None:
        """Take a handshake, and tell the application the straight way to the socket."""
        super().handle_connect(event)
        if self.response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
            extensions: dict[str, Any] = self.scope["extensions"]
            extensions[WIRE] = self  # the application begins in the loop's next step

    def is_open(self) -> bool:
        """Return whether the socket takes more: see `bindserver.websocket.wire.Wire`."""
        return not (
            self._is_full
            or self.close_sent
            or self.conn.state is not State.OPEN
            or self._is_closing()
        )

    def attach(self, line: Line) -> None:
        """Have a line write to the socket, and stop it as soon as the socket takes no more."""
        self.conn.line = line
        line.write = self._write

    def _stop_line(self) -> None:
        if self.conn.line is not None:
            self.conn.line.stop()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called when the connection is no more."""
        self._stop_line()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Called when the client leaves more in the transport's buffer than should wait there."""
        self._is_full = True
        self._stop_line()
        super().pause_writing()

    def resume_writing(self) -> None:
        """Called when it has taken most of that."""
        self._is_full = False
        super().resume_writing()

    def write(self, data: bytes) -> None:
        """Write whole frames, behind all that was written before."""
        self._write(data)

    def data_received(self, data: bytes) -> None:
        """Take what the client has sent; the first of it is the whole handshake."""
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self._refuse()

    def send_receive_event_to_app(self) -> None:
        """Hand on a message, if it is one: text that is not UTF-8 closes the connection with 1007,
        and is no failure of the server's that its log must explain."""
        if self.curr_msg_data_type == "text" and not self.close_sent and not _is_utf8(self.frames):
            self.frames = []
            if self.conn.state is State.OPEN:  # else the client has closed by now
                self.logger.info("Text that is not UTF-8 came from a client")
                self.conn.send_close(CloseCode.INVALID_DATA)
                self.handle_parser_exception()
        else:
            super().send_receive_event_to_app()

    def handle_cont(self, event: Frame) -> None:
        """Take a further piece of a message, unless there is no end of them."""
        if len(self.frames) < PIECES:
            super().handle_cont(event)
            return
        self.frames = []
        if self.conn.state is State.OPEN:
            self.logger.info("A message in more than %d pieces came from a client", PIECES)
            self.conn.send_close(CloseCode.MESSAGE_TOO_BIG)
            self.handle_parser_exception()

    def handle_ping(self) -> None:
        """Answer a ping, unless the client reads no answers: they would pile up in memory. Of many
        pings the last may be answered alone (RFC 6455, 5.5.3)."""
        if self.transport.get_write_buffer_size() < conf.MAX_OUTBOX_BYTES:
            super().handle_ping()
        else:
            self.conn.data_to_send()

    def shutdown(self) -> None:
        """Send the client away, as the server ends; it is to come back after a random wait.

        uvicorn closes the connection right behind the close frame. Where something of the client's
        has not been read by then, the kernel resets the connection, and the frame may be lost: a
        client that does not know why comes back at once, together with all others. So the answer
        is awaited, as at any other close.
        """
        if self.handshake_initiated and not self.handshake_complete:
            self._goes_when_open = True  # its handshake is being answered
            return
        if self.close_sent or self.transport.is_closing() or not self.handshake_complete:
            super().shutdown()
            return
        self.stop_keepalive()
        self.queue.put_nowait(
            {"type": "websocket.disconnect", "code": CloseCode.SERVICE_RESTART, "reason": GOODBYE}
        )
        self.conn.send_close(CloseCode.SERVICE_RESTART, GOODBYE)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = self._is_sent_away = True
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(GOODBYE_SECONDS, self.transport.close)

    async def send(self, message: Any) -> None:
        """Send an ASGI message.

        Raises:
            ClientDisconnected: the client has been sent away; the application is told next.
        """
        if self._is_sent_away:
            raise ClientDisconnected
        closes = message["type"] == "websocket.close" and not self.close_sent
        if closes:
            self.writable.set()  # a close need not wait until the client reads
        await super().send(message)
        if message["type"] == "websocket.accept":
            self._forget_handshake()
        if closes and self._is_full and self.close_timer is not None:
            self._give_up_soon()
        if self._goes_when_open and self.handshake_complete:
            self._goes_when_open = False
            self.shutdown()

    def _forget_handshake(self) -> None:
        """Let go of what was read and said in it: the application has the headers in its scope. The
        parser goes on in the function that holds the request."""
        self.request.headers.clear()
        del self.request, self.response

    def _give_up_soon(self) -> None:
        """Wait no longer for a client that leaves what it is sent: it has had its time."""
        assert self.close_timer is not None
        self.close_timer.cancel()
        seconds = min(self.close_timeout, conf.SLOW_CLIENT_SECONDS)
        self.close_timer = self.loop.call_later(seconds, self.transport.abort)

    def _refuse(self) -> None:
        self.handshake_initiated = self.handshake_complete = self.close_sent = True
        self.logger.info("A WebSocket handshake is refused: %s", self.conn.handshake_exc)
        self.transport.write(self.conn.refusal())
        self.transport.close()


def _is_utf8(pieces: Sequence[bytes]) -> bool:
    try:
        b"".join(pieces).decode()
    except UnicodeDecodeError:
        return False
    return True
