"""Server-Sent Events: the conversation of a client that asks once, and then listens.

A stream has a `Session`, as a WebSocket has. What the request asks for is the only message; the
frames are read by Django's handler, as fast as the client takes them.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any

from bindserver.clients.connections import ABNORMAL, Connection
from bindserver.clients.identity import Credentials, Identity
from bindserver.clients.seats import Crowded, Seat
from bindserver.clients.session_listener import SessionListener
from bindserver.conf import conf
from bindserver.engine.cursor import is_like_one
from bindserver.engine.effects import Ask, Close
from bindserver.engine.events import Accepted, Event, Rejected
from bindserver.engine.frames import BREATH_BYTES, Frame, Shared
from bindserver.engine.protocol import Closing, Code, Subscribe
from bindserver.engine.session import Session
from bindserver.http.open_streams import open_streams
from bindserver.logs import Repeats

BEAT = b":\n\n"
"""A comment, which clients pass over: proxies close what is silent for a minute."""

BEAT_SECONDS = 15.0

RETRY_SECONDS = 2.0
"""When a client whose stream has broken comes back at the earliest. Each is told a time of its own,
up to twice that, or all would come at once."""

TOLD = frozenset({"error", "disconnect"})
"""What a client is told of all that is said to one client alone: the rest answers messages, and a
stream has none."""

_repeats = Repeats(logging.getLogger("bindserver.http"))


class NotOpened(Exception):
    """A stream is refused; the message is fit for the client's eyes.

    Attributes:
        code: why, in the contract's words.
    """

    def __init__(self, code: Code, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class EventStream(SessionListener):
    """One client's stream: an asynchronous iterator of bytes, for a `StreamingHttpResponse`.

    What nobody reads for SLOW_CLIENT_SECONDS is let go of, also where reading never begins, as
    when a client leaves before its response is on its way.

    Args:
        scope: the request's ASGI scope, with who asks as `user` and, where a session proves that,
            its `session`.
        credentials: who asks, and what proves it.
        expires: for how many seconds from now that holds; None for no end.
        wanted: what the client subscribes to.
        named: whether each event names its binding, and each id the cursors of all, in the order of
            what is wanted.
    """

    def __init__(
        self,
        scope: Mapping[str, Any],
        credentials: Credentials,
        expires: float | None,
        wanted: Sequence[Subscribe],
        *,
        named: bool,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self._wanted = wanted
        self._named = named
        # What is no cursor has no place in an id: it may have commas, or ends of lines.
        given = [message.cursor or "" for message in wanted]
        self._cursors = [cursor if is_like_one(cursor) else "" for cursor in given]
        self._asked: dict[int, int] = {}  # what waits for an answer, by number
        self._places: dict[tuple[str, str | None], int] = {}
        self._session = Session(conf.limits())
        self._identity = Identity(scope, self, credentials, expires)
        host, *_ = scope.get("client") or (None,)
        self._connection = Connection(
            transport="event stream", host=host, session=self._session, person=self._identity
        )
        self._seat: Seat | None = None
        self._accepted: asyncio.Future[None] = self.loop.create_future()
        self._waking = asyncio.Event()
        self._closed_with: Close | None = None
        self._is_over = False
        self._reader: asyncio.Task[object] | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._first: bytes | None = f"retry: {_retry_milliseconds()}\n\n".encode()

    async def open(self) -> EventStream:
        """Ask for what the client wants; return when any of it is accepted.

        Raises:
            NotOpened: the client is to have none of it, or not now; it says why of the last.
        """
        try:
            self._seat = Seat(self._identity.owner)
            self._identity.look_again_later()
            open_streams.add(self)
            effects = [list(self._session.ask(message)) for message in self._wanted]
            for place, asking in enumerate(effects):
                self._asked |= {ask.number: place for ask in asking if isinstance(ask, Ask)}
            self._perform(chain.from_iterable(effects))
            async with asyncio.timeout(conf.SNAPSHOT_SECONDS):
                await self._accepted
        except Crowded as problem:
            self._connection.refuse("crowded", "a client may not connect: %s", problem)
            self._leave(Closing.TRY_LATER, str(problem), by_us=True)
            detail = f"too many connections ({problem.setting}); try again later"
            raise NotOpened(Code.UNAVAILABLE, detail) from None
        except TimeoutError:
            self._leave(Closing.TRY_LATER, "no answer in time", by_us=True)
            detail = "the server cannot answer now; try again later"
            raise NotOpened(Code.UNAVAILABLE, detail) from None
        except BaseException:  # refused, or the client has left: nothing of it may stay
            self._leave(ABNORMAL, "not opened", by_us=False)
            raise
        self._be_patient()
        return self

    def greet(self, origin: str | None, agent: str | None) -> None:
        """Called when the client is let in: the log hears of it."""
        self._connection.greet(origin, agent)

    # What Django's handler reads.

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> bytes:
        """Return what is to be written next; it waits for that."""
        self._stop_patience()
        self._reader = asyncio.current_task()
        try:
            while True:
                self._waking.clear()  # taking may itself bring what is to be read next
                chunk = self._taken()
                if chunk:
                    self._be_patient()
                    return chunk
                if self._is_over or self._closed_with is not None or self._has_ended():
                    raise StopAsyncIteration
                if not await self._woken():
                    self._be_patient()
                    return BEAT
        except BaseException:
            self._leave_in_order()
            raise

    async def _woken(self) -> bool:
        """Wait until there may be something to read; return whether that came in time."""
        try:
            async with asyncio.timeout(BEAT_SECONDS):
                await self._waking.wait()
        except TimeoutError:
            return False
        return True

    def _taken(self) -> bytes:
        """Return what waits; nothing where it cannot be written, which is the end."""
        try:
            return self._take()
        except Exception:  # a frame is lost, and nothing after it can be right
            self.fail()
            return b""

    def _take(self) -> bytes:
        """Return what waits, but not much more than one big frame."""
        parts, size = [], 0
        if self._first is not None:
            parts.append(self._first)
            self._first = None
        while size <= BREATH_BYTES and (frame := self._next_frame()) is not None:
            part = self._streamed(frame)
            self._session.line.sent(len(part))
            parts.append(part)
            size += len(part)
        return b"".join(parts)

    def _streamed(self, frame: Frame) -> bytes:
        """Return a frame as the stream has it: nothing of what answers messages."""
        shared = frame.shared
        if shared is not None:
            return frame.lines(named=self._named) + self._id(shared)
        said = json.loads(frame.text)
        data = said["data"]
        if data.get("action") not in TOLD:
            return b""
        if self._named:
            data = {"event": said["event"], **data}
        return f"event: {data['action']}\ndata: {json.dumps(data)}\n\n".encode()

    def _id(self, shared: Shared) -> bytes:
        """Return the rest of an event: its id, where it brings the client to a state."""
        if shared.cursor is None:
            return b"\n"
        if not self._named:
            return f"id: {shared.cursor}\n\n".encode()
        self._cursors[self._places[shared.event, shared.params]] = shared.cursor
        return f"id: {','.join(self._cursors)}\n\n".encode()

    def _has_ended(self) -> bool:
        """Whether nothing can follow: the server has ended all that the stream is about."""
        return not self._session.subscriptions and not self._asked

    def close(self) -> None:
        """Let go of everything; from any thread. Django calls it when the response is over."""
        with suppress(RuntimeError):  # the loop is closed, and all that was on it is gone
            self.loop.call_soon_threadsafe(self._leave_in_order)

    # What the hub says.

    def hear(self, number: int, event: Event) -> None:
        """Take an event about the subscription."""
        match event:
            case Accepted(params=params, takes_params=takes) if number in self._asked:
                place = self._asked.pop(number)
                self._places[self._wanted[place].event, params if takes else None] = place
                if not self._accepted.done():
                    self._accepted.set_result(None)
            case Rejected(code=code, detail=detail):
                self._asked.pop(number, None)
                if not self._asked and not self._accepted.done():
                    self._accepted.set_exception(NotOpened(code, detail))
        super().hear(number, event)

    def settle(self, state: str) -> None:
        """Called when all frames of one committed state are here."""
        self._perform(self._session.committed(state))

    def fail(self) -> None:
        """Give the stream up: an event could not be taken, so the client's copy may be wrong."""
        problem = sys.exception()
        _repeats.note("an event stream is ended after a failure", problem or RuntimeError())
        self.end(Closing.RESTART, "the server failed; come back")

    def end(self, code: Closing, reason: str) -> None:
        """End, and leave what waits unwritten; the client comes back by itself."""
        self._perform([Close(code=code, reason=reason)])
        self._perform(self._session.gone())

    # From the session.

    def _end_with(self, close: Close) -> None:
        self._closed_with = self._closed_with or close

    def _wake(self) -> None:
        self._waking.set()

    # The end.

    def _be_patient(self) -> None:
        """Wait for the client to take what it was given, for so long and no longer."""
        self._stop_patience()
        self._patience = self.loop.call_later(conf.SLOW_CLIENT_SECONDS, self._lose_patience)

    def _stop_patience(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _lose_patience(self) -> None:
        self._leave(Closing.TOO_SLOW, "the client reads too slowly", by_us=True)
        if self._reader is not None:
            self._reader.cancel()

    def _leave_in_order(self) -> None:
        ours = self._closed_with
        if ours is None:
            self._leave(ABNORMAL, "", by_us=False)
        else:
            self._leave(ours.code, ours.reason, by_us=True)

    def _leave(self, code: int, reason: str, *, by_us: bool) -> None:
        """Let go of everything; only the first call counts."""
        if self._is_over:
            return
        self._is_over = True
        open_streams.remove(self)
        self._stop_patience()
        self._identity.leave()
        if self._seat is not None:
            self._seat.leave()
        self._perform(self._session.gone())
        self._connection.end(code, reason, by_us=by_us)


def _retry_milliseconds() -> int:
    return int(1000 * RETRY_SECONDS * random.uniform(1, 2))  # noqa: S311  (not all at once)
