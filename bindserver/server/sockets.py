"""uvicorn's WebSocket protocol, as a binding server wants it: whoever is refused is told why.

uvicorn reads a handshake with its HTTP parser, and hands it to this protocol, which reads it once
more. What is wrong with its headers was found out in silence there, and the connection left open.

`manage.py bindserver` uses it. Elsewhere:
`uvicorn --ws bindserver.server.sockets:WebSocketProtocol`.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any
from weakref import WeakKeyDictionary

from uvicorn.config import Config
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame
from websockets.http11 import Request
from websockets.protocol import State

from bindserver.conf import conf
from bindserver.server.compression import DeflateFactory
from bindserver.server.conversation import (
    GOODBYE,
    GOODBYE_SECONDS,
    PIECES,
    Conversation,
    text_of,
)
from bindserver.server.keepalive import KeepAlive
from bindserver.server.mailbox import Mailbox, PauseGate
from bindserver.server.straight import StraightProtocol
from bindserver.server.transports import patient
from bindserver.websocket.wire import WIRE, Taker

COMPRESSION = [DeflateFactory()]
"""What a client may ask for, where the setting of this name is on."""

_keepalives: WeakKeyDictionary[Config, KeepAlive] = WeakKeyDictionary()


def _keepalive_of(config: Config, loop: asyncio.AbstractEventLoop) -> KeepAlive | None:
    """Return who asks all connections of a server whether they are still there."""
    if not config.ws_ping_interval:
        return None
    if config not in _keepalives:
        _keepalives[config] = KeepAlive(loop, config.ws_ping_interval, config.ws_ping_timeout)
    return _keepalives[config]


class Left:
    """The transport of a connection that has left ASGI, as its application may still see it."""

    def close(self) -> None:
        """Do nothing: it is another's."""

    def is_closing(self) -> bool:
        """Return that nothing can be written."""
        return True


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
            extensions=COMPRESSION if conf.COMPRESSION else [],
            max_size=self.config.ws_max_size,
            logger=self.conn.logger,
        )

    def connection_made(self, transport: Any) -> None:
        """Called when there is a connection."""
        handed: Any = patient(transport, self.loop)  # it does what transports do
        super().connection_made(handed)
        # What is left over is told at once. With a limit of 0, a TLS transport that has written all
        # would say that it is full.
        transport.set_write_buffer_limits(high=1, low=0)

    def eof_received(self) -> None:
        """Called when the client says no more: the connection is closed, as it ever was."""
        self.transport.close()

    def handle_connect(self, event: Request) -> None:
        """Take a handshake, and tell the application the straight way to the socket."""
        super().handle_connect(event)
        if self.response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
            extensions: dict[str, Any] = self.scope["extensions"]
            extensions[WIRE] = self  # the application begins in the loop's next step

    def hand_over(self, taker: Taker) -> StraightProtocol | None:
        """Leave an accepted connection to a protocol past ASGI: see `websocket.wire.HandsOver`."""
        over = self.close_sent or self.disconnected or self.transport.is_closing()
        if over or not self.handshake_complete or self.conn.state is not State.OPEN:
            return None
        self.stop_keepalive()
        messages: Any = self.queue
        straight = StraightProtocol(
            self.transport,
            self.conn,
            taker,
            connections=self.connections,
            keepalive=_keepalive_of(self.config, self.loop),
            waiting=[message.get("text") for message in messages.drain()],
            pieces=self.frames,
            is_text=self.curr_msg_data_type == "text",
            is_reading=not self.read_paused,
            is_full=self._is_full,
        )
        self.connections.discard(self)
        self.transport.set_protocol(straight)
        # What is left of the application says and hears nothing any more.
        left: Any = Left()
        self.transport = left
        self._is_sent_away, self.read_paused = True, False
        self.queue.put_nowait({"type": "websocket.disconnect", "code": CloseCode.GOING_AWAY})
        extensions: Any = self.scope["extensions"]
        del extensions[WIRE]  # else the two would keep each other until the collector comes
        return straight

    def pause_writing(self) -> None:
        """Called when the client leaves more in the transport's buffer than should wait there."""
        self._is_full = True
        super().pause_writing()

    def resume_writing(self) -> None:
        """Called when it has taken most of that."""
        self._is_full = False
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        """Take what the client has sent; the first of it is the whole handshake."""
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self._refuse()

    async def receive(self) -> Any:
        """Return the next ASGI message."""
        message = await super().receive()
        self._read_on()
        return message

    def _read_on(self) -> None:
        """Take what stands behind a message, if the application has taken that."""
        if self.read_paused or self.transport.is_closing():
            return
        self.conn.read_on()
        if self.conn.parser_exc is not None:
            self.handle_parser_exception()
        else:
            self.handle_events()

    def send_receive_event_to_app(self) -> None:
        """Hand on a message, if it is one: text that is not UTF-8 closes the connection with 1007,
        and is no failure of the server's that its log must explain."""
        if (
            self.curr_msg_data_type == "text"
            and not self.close_sent
            and text_of(self.frames) is None
        ):
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
        self._read_on()

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
        if closes:
            self._read_on()
            if self._is_full and self.close_timer is not None:
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
