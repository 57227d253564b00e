"""A WebSocket that has left ASGI: what the client says goes straight to who takes it, and back.

It takes an accepted connection over from `bindserver.server.sockets.WebSocketProtocol`: the socket,
and the parser with all that it has read. The ASGI task, its scope and its queue end, which together
take several times the memory of this.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Sequence
from contextvars import Context, copy_context
from typing import Any

from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import State

from bindserver.conf import conf
from bindserver.engine.frames import Frame as Message
from bindserver.server.conversation import GOODBYE, GOODBYE_SECONDS, PIECES, Conversation, text_of
from bindserver.server.keepalive import KeepAlive
from bindserver.server.mailbox import PauseGate
from bindserver.websocket.wire import Taker

CLOSE_SECONDS = 10.0
"""How long a client may take to answer a close."""

SLICE_SECONDS = 0.004
"""For so long one client's messages are heard before others have their turn."""

logger = logging.getLogger("uvicorn.error")


class StraightProtocol(asyncio.Protocol):
    """One connection, from when it leaves ASGI on.

    Args:
        transport: its socket's.
        conversation: its parser.
        taker: is told what the client says, once `listen` is called.
        connections: all of the server's, which are told when it ends.
        keepalive: asks whether the client is still there; None if nobody does.
        waiting: the messages that have come already, None for a binary one.
        pieces: what has come of a further one.
        is_text: whether that is text.
        is_full: whether the socket takes no more for now.
    """

    __slots__ = (
        "_closer", "_connections", "_context", "_conversation", "_end", "_is_closing",
        "_is_reading", "_is_text", "_keepalive", "_next", "_pieces", "_rest", "_room", "_taker",
        "_transport", "_waiting", "write",
    )  # fmt: skip

    def __init__(
        self,
        transport: Any,
        conversation: Conversation,
        taker: Taker,
        *,
        connections: set[Any],
        keepalive: KeepAlive | None,
        waiting: Sequence[str | None],
        pieces: list[bytes],
        is_text: bool,
        is_reading: bool,
        is_full: bool,
    ) -> None:
        self._transport = transport
        self._conversation = conversation
        self._taker: Taker | None = taker
        self._connections = connections
        self._keepalive = keepalive
        self._waiting: list[str | None] | None = list(waiting) or None
        self._pieces: list[bytes] | None = pieces or None
        self._is_text = is_text
        self._is_reading = is_reading
        self._room: PauseGate | None = None
        self._rest: asyncio.Task[None] | None = None
        self._next: asyncio.Handle | None = None
        self._closer: asyncio.TimerHandle | None = None
        self._end: tuple[int, str] | None = None
        self._context: Context | None = None
        self.write = transport.write
        """Writes whole frames, behind all that was written before."""
        self._is_closing = transport.is_closing
        conversation.line = taker.line
        taker.line.write = self.write
        taker.line.packs = conversation.deflate is not None
        if is_full:
            self.pause_writing()
        connections.add(self)
        if keepalive is not None:
            keepalive.join(self)

    # What writes: see `bindserver.websocket.wire`.

    def listen(self) -> None:
        """Tell the taker what the client says, and has said. It is told as whoever calls this: what
        the project's middleware has set for the connection holds."""
        self._context = copy_context()
        self._go_on()

    def is_open(self) -> bool:
        """Return whether the socket takes more, and nobody closes it."""
        return (
            self._room is None and self._conversation.state is State.OPEN and not self._is_closing()
        )

    async def send(self, message: Message) -> int:
        """Write a message as soon as the socket takes more; return how many bytes that took.

        Raises:
            ConnectionAbortedError: the connection is over.
        """
        while self._room is not None:
            await self._room.wait()
        if self._conversation.state is not State.OPEN or self._is_closing():
            raise ConnectionAbortedError
        data = message.form(packed=self._conversation.deflate is not None)
        self.write(data)
        return len(data)

    async def close(self, code: int, reason: str) -> None:
        """Close the connection, and give it up if the client does not answer in time."""
        if self._conversation.state is State.OPEN and not self._is_closing():
            seconds, end = CLOSE_SECONDS, self._transport.close
            if self._room is not None:  # it leaves what it is sent: it has had its time
                seconds = min(seconds, float(conf.SLOW_CLIENT_SECONDS))
                end = self._transport.abort
            self._say_goodbye(code, reason, seconds, end)

    def shutdown(self) -> None:
        """Send the client away, as the server ends; it is to come back after a random wait. Its
        answer is awaited, as at any other close: see `WebSocketProtocol.shutdown`."""
        if self._conversation.state is not State.OPEN or self._is_closing():
            self._transport.close()
        else:
            restart = CloseCode.SERVICE_RESTART
            self._say_goodbye(restart, GOODBYE, GOODBYE_SECONDS, self._transport.close)

    def _say_goodbye(self, code: int, reason: str, seconds: float, end: Any) -> None:
        self._conversation.send_close(code, reason)
        self._flush()
        self._closer = asyncio.get_running_loop().call_later(seconds, end)
        self._tell_end(code, reason)

    # What the socket says.

    def data_received(self, data: bytes) -> None:
        """Take what the client has sent."""
        self._conversation.receive_data(data)
        self._take_frames()

    def eof_received(self) -> None:
        """Called when the client says no more: the connection is closed."""
        self._conversation.stop_line()
        self._transport.close()

    def pause_writing(self) -> None:
        """Called when the client leaves more in the transport's buffer than should wait there."""
        self._conversation.stop_line()
        if self._room is None:
            self._room = PauseGate()
            self._room.clear()

    def resume_writing(self) -> None:
        """Called when it has taken most of that."""
        room, self._room = self._room, None
        if self._waiting and not self._is_busy():
            self._go_on()  # before what waits for room takes it all
        if room is not None:
            room.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called when the connection is no more."""
        self._conversation.stop_line()
        self._connections.discard(self)
        if self._closer is not None:
            self._closer.cancel()
        self.resume_writing()  # whoever waits learns that it is over
        if exc is None:
            self._transport.close()
        self._tell_end(int(CloseCode.NO_STATUS_RCVD), "")

    # Whether the client is still there.

    def ping(self, data: bytes) -> None:
        """Ask the client."""
        if self._conversation.state is State.OPEN and not self._is_closing():
            self._conversation.send_ping(data)
            self._flush()

    def give_up(self) -> None:
        """Called when it has not answered in time; an answer may stand in what is not read yet."""
        if not self._is_reading and self._keepalive is not None and self._end is None:
            self._keepalive.join(self)
        elif self._conversation.state is State.OPEN and not self._is_closing():
            self._conversation.fail(CloseCode.INTERNAL_ERROR, "keepalive ping timeout")
            self._break_off()

    # What the client says.

    def _take_frames(self) -> None:
        if self._conversation.parser_exc is not None:
            self._break_off()
            return
        for event in self._conversation.events_received():
            if isinstance(event, Frame):
                self._take(event)

    def _take(self, frame: Frame) -> None:
        match frame.opcode:
            case Opcode.TEXT | Opcode.BINARY:
                self._is_text = frame.opcode is Opcode.TEXT
                self._pieces = [bytes(frame.data)]
                if frame.fin:
                    self._take_message()
            case Opcode.CONT:
                self._take_piece(frame)
            case Opcode.PING:
                self._answer_ping()
            case Opcode.PONG if self._keepalive is not None:
                self._keepalive.hear(self, bytes(frame.data))
            case Opcode.CLOSE:
                self._take_close()

    def _take_piece(self, frame: Frame) -> None:
        if self._pieces is None:
            return
        if len(self._pieces) >= PIECES:
            logger.info("A message in more than %d pieces came from a client", PIECES)
            self._refuse(CloseCode.MESSAGE_TOO_BIG)
            return
        self._pieces.append(bytes(frame.data))
        if frame.fin:
            self._take_message()

    def _take_message(self) -> None:
        pieces, self._pieces = self._pieces or [], None
        if self._end is not None:
            return
        text = None
        if self._is_text and (text := text_of(pieces)) is None:
            logger.info("Text that is not UTF-8 came from a client")
            self._refuse(CloseCode.INVALID_DATA)
            return
        if self._waiting is None:
            self._waiting = []
        self._waiting.append(text)
        if not self._is_busy():
            # Others have their turn before: a client that says very much is not read meanwhile.
            self._next = asyncio.get_running_loop().call_soon(self._go_on)
        if self._is_reading and not self._is_closing():
            self._is_reading = False
            self._transport.pause_reading()

    def _answer_ping(self) -> None:
        """Answer a ping, unless the client reads no answers: they would pile up in memory. Of many
        pings the last may be answered alone (RFC 6455, 5.5.3)."""
        if self._transport.get_write_buffer_size() < conf.MAX_OUTBOX_BYTES:
            self._flush()
        else:
            self._conversation.data_to_send()

    def _take_close(self) -> None:
        """Take the client's close, or its answer to ours."""
        if self._is_closing():
            return
        if self._end is None:
            said = self._conversation.close_rcvd
            assert said is not None
            self._flush()
            self._tell_end(said.code, said.reason)
        if self._closer is not None:
            self._closer.cancel()
            self._closer = None
        self._transport.close()

    def _refuse(self, code: CloseCode) -> None:
        self._pieces = None
        if self._conversation.state is State.OPEN:  # else the client has closed by now
            self._conversation.send_close(code)
            self._break_off()

    def _break_off(self) -> None:
        """Close the connection behind the close that the parser has said, if it has."""
        said = self._conversation.close_sent
        self._flush()
        self._transport.close()
        if said is None:
            self._tell_end(int(CloseCode.ABNORMAL_CLOSURE), "")
        else:
            self._tell_end(said.code, said.reason)

    def _flush(self) -> None:
        data = b"".join(self._conversation.data_to_send())
        if data and not self._is_closing():
            self.write(data)

    # Telling the taker, one message after the other.

    def _is_busy(self) -> bool:
        """Return whether a message must wait: an earlier one does, or nobody listens yet."""
        return self._context is None or self._rest is not None or self._next is not None

    def _tell_end(self, code: int, reason: str) -> None:
        """Tell that the connection is over, behind all that the client has said; only the first
        call counts. What it says from now on is read, and not heard."""
        if self._end is not None:
            return
        self._end = (int(code), reason)
        self._conversation.stop_line()
        if self._keepalive is not None:
            self._keepalive.leave(self)
        self._read_on()
        if not self._is_busy():
            self._go_on()

    def _go_on(self) -> None:
        """Tell what waits, as long as nothing must be waited for, and then the end. Who leaves what
        it is sent is not heard meanwhile: the answers would pile up."""
        self._next = None
        assert self._context is not None
        until = time.perf_counter() + SLICE_SECONDS
        while self._waiting and self._taker is not None:
            if self._room is not None and self._end is None:
                return
            text = self._waiting.pop(0)
            if not self._waiting:
                self._waiting = None
            self._context.run(self._tell, self._taker, text)
            if self._rest is not None:
                return
            if self._waiting and time.perf_counter() > until:
                self._next = asyncio.get_running_loop().call_soon(self._go_on)
                return
        if self._end is None:
            self._read_on()
        elif self._taker is not None:
            taker, self._taker = self._taker, None
            self._context.run(taker.gone, *self._end)

    def _tell(self, taker: Taker, text: str | None) -> None:
        try:
            rest = taker.receive(text)
        except Exception:
            self._fail(taker)
            return
        if rest is not None:
            self._rest = asyncio.get_running_loop().create_task(self._finish(taker, rest))

    async def _finish(self, taker: Taker, rest: Coroutine[Any, Any, None]) -> None:
        try:
            await rest
        except Exception:
            self._fail(taker)
        finally:
            self._rest = None
            self._go_on()

    def _fail(self, taker: Taker) -> None:
        """Have the taker give the connection up; where it cannot do that either, nobody would read
        on or close, so the socket goes."""
        try:
            taker.fail()
        except Exception:
            logger.exception("bindserver: a connection that failed is broken off")
            self._transport.abort()

    def _read_on(self) -> None:
        if self._is_reading or self._is_closing():
            return
        self._conversation.read_on()
        self._take_frames()
        if not self._waiting and not self._is_closing():
            self._is_reading = True
            self._transport.resume_reading()
