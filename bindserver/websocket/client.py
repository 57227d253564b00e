"""One client: its conversation, who it is, and what is written to it.

It performs the session's effects: asks the hub, proves the user, closes, and writes frames one
after the other as fast as the client takes them. It does not know how its messages come, and of how
they go only what a `Wire` says.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import Coroutine
from typing import Any

from bindserver.clients.connections import Connection, connections
from bindserver.clients.identity import Identity
from bindserver.clients.seats import Crowded, Seat
from bindserver.clients.session_listener import SessionListener
from bindserver.clients.tokens import NotProven
from bindserver.conf import conf
from bindserver.engine.effects import Close, Prove
from bindserver.engine.events import Event, Published
from bindserver.engine.frames import BREATH_BYTES, Frame
from bindserver.engine.intake import MESSAGE_BYTES, read
from bindserver.engine.line import Line
from bindserver.engine.parsing import Malformed
from bindserver.engine.protocol import Closing, Code, Message
from bindserver.engine.session import Session
from bindserver.hub.hub import hub
from bindserver.logs import Repeats
from bindserver.supervision import end_process_where_hopeless
from bindserver.websocket.elsewhere import elsewhere
from bindserver.websocket.origins import origin_allowed, why_refused
from bindserver.websocket.wire import Wire

NOT_ALLOWED = "this origin is not allowed: see ORIGINS in the server's settings"
"""What a page is told; a reason has 123 bytes at most."""

SERVER_CODES = frozenset({Closing.TOO_BIG, 1011, Closing.RESTART})
"""Codes of a disconnect that the ASGI server has begun by itself."""

_repeats = Repeats(logging.getLogger("bindserver.websocket"))


class Client(SessionListener):
    """The client of one WebSocket. It keeps as little as can be: there are very many of these.

    Args:
        scope: the connection's; it is not kept.
        wire: what the client is written to by.

    Attributes:
        loop: the event loop that all of this happens on.
        closed_with: how the server has closed the connection, if it has.
    """

    __slots__ = (
        "_closing", "_connection", "_identity", "_seat", "_session", "_wire", "_write_is_due",
        "_writer", "closed_with", "loop",
    )  # fmt: skip

    def __init__(self, scope: Any, wire: Wire) -> None:
        self.loop = asyncio.get_running_loop()
        self.closed_with: Close | None = None
        self._wire = wire
        self._session = Session(conf.limits())
        self._write_is_due = False
        self._writer: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._seat: Seat | None = None
        self._identity = Identity(scope, self)
        self._connection = Connection(
            transport="websocket",
            host=(scope.get("client") or [None])[0],
            session=self._session,
            person=self._identity,
        )

    @property
    def line(self) -> Line:
        """Where deltas are written past the session."""
        return self._session.line

    # From the client.

    async def let_in(self, scope: Any, straight: Wire | None) -> None:
        """Take an accepted connection, if its origin may have it, and what it proves. Only after
        that the client is heard.

        Args:
            scope: the connection's.
            straight: the way past ASGI, if there is one.
        """
        if straight is not None:
            self._wire = straight
        if not origin_allowed(scope):
            # Accepted first, because only then can a browser's page read the code.
            connections.refused_origins += 1
            why = why_refused(scope)
            self._connection.refuse("refused origins", "a page may not connect: %s", why)
            self._perform([Close(code=Closing.FORBIDDEN, reason=NOT_ALLOWED)])
            self._perform(self._session.gone())
        elif self._sit_down():
            await self._greet(scope)
            await self._serve()

    def receive(self, text: str | None) -> Coroutine[Any, Any, None] | None:
        """Take a message.

        Args:
            text: the message; None for a binary one.

        Returns:
            What must be waited for before the next is heard, if anything.
        """
        if self.closed_with is not None:
            return None  # such as one that was not let in, and has spoken before it knew
        if text is None:
            self._perform(self._session.receive_binary())
            return None
        if len(text) > MESSAGE_BYTES:
            return self._read_elsewhere(text)
        return self._take(text)

    async def _read_elsewhere(self, text: str) -> None:
        """Take a big message, such as one with all the keys that a client holds: to read it takes
        as long as to write to a thousand others."""
        heard = await elsewhere(read, text)
        if (rest := self._take(text, heard)) is not None:
            await rest

    def _take(
        self, text: str, heard: Message | Malformed | None = None
    ) -> Coroutine[Any, Any, None] | None:
        rest, refused = None, self._session.rate_limited
        for effect in list(self._session.receive(text, time.monotonic(), heard)):
            if isinstance(effect, Prove):
                rest = self._prove(effect)
            else:
                self._perform([effect])
        connections.rate_limited += self._session.rate_limited - refused
        self._write()
        return rest

    def gone(self, code: int, reason: str) -> None:
        """Called when the connection is over.

        Args:
            code: why, if the server has not closed it in order.
            reason: the same in words.
        """
        self._identity.leave()
        if self._seat is not None:
            self._seat.leave()
        self._perform(self._session.gone())
        for task in (self._writer, self._closing):
            if task is not None:
                task.cancel()
        if (ours := self.closed_with) is not None:
            self._connection.end(ours.code, ours.reason, by_us=True)
        else:
            self._connection.end(code, reason, by_us=code in SERVER_CODES)

    # From the hub.

    def hear(self, number: int, event: Event) -> None:
        """Take an event about the subscription or question `number`."""
        if type(event) is Published and self._pass_by(number, event):
            return
        super().hear(number, event)

    def fail(self) -> None:
        """Give the connection up: an event could not be taken, so its copy may be wrong. Nothing
        more is written but the close: what follows would bring it to a state that it has not."""
        problem = sys.exception()
        _repeats.note("a connection is closed after a failure", problem or RuntimeError())
        self._perform([Close(code=Closing.RESTART, reason="the server failed; come back")])
        self._perform(self._session.gone())

    def settle(self, state: str) -> None:
        """Called when all frames of one committed state are here."""
        if self._session.settle_quietly():
            self._open_line()
        else:
            self._perform(self._session.committed(state))
            self._write()

    # From the session.

    def _end_with(self, close: Close) -> None:
        """Close the connection, behind what waits."""
        if self._closing is None:
            self.closed_with = close
            self._closing = self.loop.create_task(self._close(close.code, close.reason))

    def _wake(self) -> None:
        """See that what waits is written in the loop's next step: in this one, the rest of a state
        may come that belongs behind one mark."""
        if self._writer is None and not self._write_is_due and self._session.has_work():
            self._write_is_due = True
            self.loop.call_soon(self._write_due)

    async def _serve(self) -> None:
        """Have this process serve. Only then is the client heard: a server without a lifespan
        prepares now, and may close a handshake that waits for that, as Daphne does after 5 s."""
        if hub.is_serving:
            return
        try:
            await self.loop.run_in_executor(None, hub.prepare)
            end_process_where_hopeless()
            hub.serve()
        except Exception as problem:
            _repeats.note("this process cannot serve yet", problem)
            self._perform([Close(code=Closing.TRY_LATER, reason="try again later")])

    # Who the client is.

    def _sit_down(self) -> bool:
        """Have the connection counted, as that of who the client is by now; return whether there is
        room. Else it is closed."""
        try:
            if self._seat is None:
                self._seat = Seat(self._identity.owner)
            else:
                self._seat.change(self._identity.owner)
        except Crowded as problem:
            self._connection.refuse("crowded", "a client may not connect: %s", problem)
            reason = f"too many connections ({problem.setting}); try again later"
            self._perform([Close(code=Closing.TRY_LATER, reason=reason)])
            self._perform(self._session.gone())
            return False
        return True

    async def _greet(self, scope: Any) -> None:
        """Take the handshake's own proof, and refuse a client whose proof is none."""
        try:
            await self._identity.greet()
        except NotProven as problem:
            self._disbelieve(problem)
            self._perform([Close(code=Closing.UNAUTHENTICATED, reason=str(problem))])
        except Exception as problem:
            _repeats.note("nobody can tell who a client is", problem)
            self._perform([Close(code=Closing.TRY_LATER, reason="try again later")])
        else:
            if self._sit_down():
                self._tell_log(scope)

    def _tell_log(self, scope: Any) -> None:
        headers = dict(scope.get("headers") or ())
        origin, agent = headers.get(b"origin"), headers.get(b"user-agent")
        self._connection.greet(
            None if origin is None else origin.decode("latin-1"),
            None if agent is None else agent.decode("latin-1"),
        )

    def _disbelieve(self, problem: NotProven) -> None:
        connections.failed_proofs += 1
        self._connection.refuse("failed proofs", "a client has not proved who it is: %s", problem)

    async def _prove(self, effect: Prove) -> None:
        """Find out who the client is. What it says next is heard when that is known."""
        session = self._session
        try:
            expires = await self._identity.prove(effect.token)
        except NotProven as problem:
            if effect.token is not None:  # else there was no proof to look at
                self._disbelieve(problem)
            self._perform(session.not_authenticated(str(problem), effect.ref))
        except Exception as problem:
            _repeats.note("nobody can tell who a client is", problem)
            detail = "the server cannot tell who you are now; try again later"
            self._perform(session.not_authenticated(detail, effect.ref, Code.UNAVAILABLE))
        else:
            if not self._sit_down():
                return
            seconds = None if expires is None else int(expires)
            self._perform(session.authenticated(seconds, effect.ref))

    # Writing.

    def _pass_by(self, number: int, published: Published) -> bool:
        """Write a small delta at once, if nothing waits before it; return whether that was so.

        This is how a client hears of changes that has several subscriptions, or a closed line.
        """
        frame = published.small
        if frame is None or self._writer is not None or not self._wire.is_open():
            return False
        if not self._session.pass_by(number, published.version):
            return False
        self.line.put(frame)
        return True

    def _open_line(self) -> None:
        """Have further deltas written without us, while the socket takes them."""
        if self._writer is None and self._wire.is_open():
            self._session.open_line()

    def _write_due(self) -> None:
        self._write_is_due = False
        self._write()

    def _write(self) -> None:
        """See that what waits is being written; one task does it, while the socket takes less than
        there is."""
        if self._writer is not None:
            return
        first = None
        try:
            first = self._write_at_once()
        except Exception:
            self.fail()  # the frame is lost, and nothing after it can be right
        if first is not None or self._session.has_work():
            self._writer = self.loop.create_task(self._write_all(first))
        else:
            self._open_line()

    def _write_at_once(self) -> Frame | None:
        """Write what the socket takes, but not much more than one big frame: other connections are
        to have their turn. Return one that must be compressed first, if it comes to that."""
        written = 0
        while self._wire.is_open() and written <= BREATH_BYTES:
            frame = self._next_frame()
            if frame is None or self._must_pack(frame):
                return frame
            self.line.put(frame)
            written += frame.size
        return None

    def _must_pack(self, frame: Frame) -> bool:
        return self.line.packs and frame.takes_long_to_pack

    async def _write_all(self, first: Frame | None) -> None:
        is_whole = await self._write_slowly(first)
        self._writer = None
        if is_whole:
            self._write()  # what was said while the last frame was asked for

    async def _write_slowly(self, first: Frame | None) -> bool:
        """Write what waits as fast as the client takes it; return whether all of it was written.

        Args:
            first: comes before that.
        """
        try:
            while (frame := first or self._next_frame()) is not None:
                first = None
                if self._must_pack(frame):
                    await elsewhere(_pack, frame)
                async with asyncio.timeout(conf.SLOW_CLIENT_SECONDS):
                    size = await self._wire.send(frame)
                self.line.sent(size)
                if frame.size > BREATH_BYTES:
                    await asyncio.sleep(0)  # sending need not have waited for anything
            return True
        except TimeoutError:
            self._perform([Close(code=Closing.TOO_SLOW, reason="the client reads too slowly")])
            self._perform(self._session.gone())
        except OSError:
            pass  # the client is gone, of which we are told next
        except Exception:
            self.fail()  # the frame is lost, and nothing after it can be right
        return False

    async def _close(self, code: Closing, reason: str) -> None:
        """Write what waits, for a moment, and close."""
        if self._writer is not None and code is not Closing.TOO_SLOW:
            await asyncio.wait([self._writer], timeout=1)
        self._perform(self._session.gone())
        if self._writer is not None:
            self._writer.cancel()  # nothing may be written after the close
        self._connection.end(code, reason, by_us=True)
        with contextlib.suppress(OSError):  # closed by the other side or the server meanwhile
            await self._wire.close(code, reason)


def _pack(frame: Frame) -> None:
    """Have a message compressed; of very many clients that get it, the first one's call does."""
    _ = frame.packed
