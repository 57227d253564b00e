"""uvicorn's HTTP protocol, as a binding server wants it: no client holds what it does not use.

`manage.py bindserver` uses it. Elsewhere: `uvicorn --http bindserver.server.requests:HTTPProtocol`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from bindserver.conf import conf
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


REST_SECONDS = 1.0
"""For so long the rest of what is refused is read: a close before that could cut off the answer."""


class HTTPProtocol(Protocol):
    """One connection, until it becomes a WebSocket's."""

    _unread = 0
    """How many bytes came since the parser has last handed anything on: it keeps them all, and
    copies what it has of a line with each piece that comes."""
    _is_refused = False

    # The client and what is written to it.

    def connection_made(self, transport: Any) -> None:
        """Called when there is a connection."""
        self._patient = patient(transport, self.loop)
        handed: Any = self._patient  # it does what transports do
        super().connection_made(handed)

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
        most = LINES * int(conf.MAX_HEADER_BYTES)
        if TELLS_PARTS and self._unread > most and not self.transport.is_closing():
            self.logger.warning("A request with a head too long is refused")
            self._refuse(TOO_LONG % most)

    def on_headers_complete(self) -> None:
        """Called at the end of a head."""
        self._unread = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Called with a part of a body."""
        self._unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Called at the end of a request."""
        self._unread = 0
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
        super().handle_websocket_upgrade(*args)

    def _refuse(self, text: str) -> None:
        said = text.encode()
        head = (
            b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
            b"content-type: text/plain; charset=utf-8\r\nconnection: close\r\n"
        )
        if self._owes():  # this one would stand in the middle of another answer
            self.transport.close()
            return
        self._is_refused = True
        self.transport.write(head + b"content-length: %d\r\n\r\n" % len(said) + said)
        self.loop.call_later(REST_SECONDS, self.transport.close)

    def _owes(self) -> bool:
        """Return whether the client waits for an answer."""
        return self.cycle is not None and not self.cycle.response_complete
