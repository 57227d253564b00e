"""uvicorn's HTTP protocol, as a binding server wants it: no client holds what it does not use.

`manage.py bindserver` uses it. Elsewhere: `uvicorn --http bindserver.server.requests:HTTPProtocol`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from bindserver.conf import conf
from bindserver.server.request_clock import RequestClock, RequestPart
from bindserver.server.transports import patient

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as Protocol
else:
    Protocol = AutoHTTPProtocol

LINES = 4
"""So many of the longest lines that are allowed may a request have in front of its body."""

TELLS_PARTS = hasattr(AutoHTTPProtocol, "on_headers_complete")
"""Whether the parser hands on a request by its parts; h11 does not, and bounds a head by itself."""

TOO_LONG = "The head of this request is too long: expected no more than %d bytes.\n"
TOO_LATE = "The head of this request did not come within %g seconds.\n"

REST_SECONDS = 1.0
"""For so long the rest of what is refused is read: a close before that could cut off the answer."""


class HTTPProtocol(Protocol):
    """One connection, until it becomes a WebSocket's."""

    _unread = 0
    """How many bytes came since the parser has last handed anything on: it keeps them all, and
    copies what it has of a line with each piece that comes."""
    _is_refused = False
    _part = RequestPart.NOTHING
    """What is to come of a request, where the parser tells."""

    # The client and what is written to it.

    def connection_made(self, transport: Any) -> None:
        """Called when there is a connection."""
        self._patient = patient(transport, self.loop)
        handed: Any = self._patient  # it does what transports do
        super().connection_made(handed)
        self._reading = RequestClock(self.loop, self._late, self._waits_for_us)
        self._reading.expect(RequestPart.HEAD, None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called when the connection is closed."""
        self._reading.end()
        super().connection_lost(exc)

    def eof_received(self) -> None:
        """Called when the client says no more: the connection is closed, as it ever was."""
        self.transport.close()

    def pause_writing(self) -> None:
        """Called when the client leaves more in the transport's buffer than should wait there."""
        super().pause_writing()
        self._patient.watch()

    def resume_writing(self) -> None:
        """Called when it has taken most of that."""
        super().resume_writing()
        self._patient.rest()

    # What the client says.

    def data_received(self, data: bytes) -> None:
        """Take what the client has sent, unless there is no end of a head."""
        if self._is_refused:
            return
        self._unread += len(data)
        super().data_received(data)
        if self._is_refused:
            return
        if self.transport.get_protocol() is self:  # no WebSocket's, by now
            part = self._part if TELLS_PARTS else self._part_by_h11()
            self._reading.expect(part, self.cycle, len(data))
        most = LINES * int(conf.MAX_HEADER_BYTES)
        if TELLS_PARTS and self._unread > most and not self.transport.is_closing():
            self.logger.warning("A request with a head too long is refused")
            self._refuse("431 Request Header Fields Too Large", TOO_LONG % most)

    def _part_by_h11(self) -> RequestPart:
        connection: Any = getattr(self, "conn", None)
        state = str(connection.their_state)
        if state == "IDLE":
            return RequestPart.HEAD if connection.trailing_data[0] else RequestPart.NOTHING
        return RequestPart.BODY if state == "SEND_BODY" else RequestPart.NOTHING

    def on_message_begin(self) -> None:
        """Called at the beginning of a head."""
        self._part = RequestPart.HEAD
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Called at the end of a head."""
        self._unread = 0
        self._part = RequestPart.BODY
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Called with a part of a body."""
        self._unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Called at the end of a request."""
        self._unread = 0
        self._part = RequestPart.NOTHING
        super().on_message_complete()

    def handle_websocket_upgrade(self, *args: Any) -> None:
        """Hand the connection to the WebSocket's protocol, unless it owes the client an answer.

        Nobody would hear that the client has gone before it, or takes nothing of it: the transport
        tells one protocol alone.
        """
        if self._owes() or self.flow.write_paused:
            self.logger.warning("A WebSocket handshake came before an answer was read")
            self.transport.close()
            return
        self._reading.end()
        super().handle_websocket_upgrade(*args)

    # Who is refused.

    def _waits_for_us(self, part: RequestPart) -> bool:
        """Return whether the client has a right to wait with the rest of its request."""
        if part is RequestPart.BODY:
            return self.flow.read_paused or bool(self.cycle.waiting_for_100_continue)
        return self._owes()

    def _late(self, part: RequestPart) -> None:
        """Called when a request did not come in time."""
        if part is RequestPart.HEAD and self._unread:
            self.logger.warning("A request whose head does not come is refused")
            self._refuse("408 Request Timeout", TOO_LATE % conf.HEAD_SECONDS)
        else:  # without a word: nothing was asked, or it is the application that would answer
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Called by the parser with what is no request."""
        self._refuse("400 Bad Request", f"{msg}\n")

    def _refuse(self, status: str, text: str) -> None:
        head = (
            f"HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\n"
            f"connection: close\r\ncontent-length: {len(text)}\r\n\r\n"
        )
        if self._owes():  # this one would stand in the middle of another answer
            self.transport.close()
            return
        self._is_refused = True
        self._reading.end()
        self.transport.write((head + text).encode())
        self.loop.call_later(REST_SECONDS, self.transport.close)

    def _owes(self) -> bool:
        """Return whether the client waits for an answer."""
        return self.cycle is not None and not self.cycle.response_complete
