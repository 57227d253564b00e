"""A connection past ASGI tells what the client says in order, one by one, and the end last."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState
from websockets.client import ClientProtocol
from websockets.frames import Frame as WebSocketFrame
from websockets.frames import Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.uri import parse_uri

from bindserver.engine.frames import Frame
from bindserver.engine.line import Line
from bindserver.server.conversation import PIECES, Conversation
from bindserver.server.deadline import READ_SECONDS
from bindserver.server.keepalive import TICK_SECONDS, KeepAlive
from bindserver.server.sockets import WebSocketProtocol
from bindserver.server.straight import StraightProtocol

tenant: ContextVar[str] = ContextVar("tenant", default="nobody's")


class FakeTransport:
    """A socket that takes all, into its client's protocol.

    Attributes:
        is_reading: whether it is read.
        is_closed: whether it is closed.
    """

    def __init__(self, client: ClientProtocol) -> None:
        self._client = client
        self.is_reading = True
        self.is_closed = False

    def write(self, data: bytes) -> None:
        self._client.receive_data(data)

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    abort = close

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True

    def get_write_buffer_size(self) -> int:
        return 0


class Taker:
    """Notes what it is told, and waits where it is asked to.

    Attributes:
        told: what it was told.
        gate: what a message of "wait" waits for.
    """

    def __init__(self) -> None:
        self.line = Line()
        self.told: list[str] = []
        self.gate = asyncio.Event()

    def receive(self, text: str | None) -> Coroutine[Any, Any, None] | None:
        if text == "raise":
            raise RuntimeError
        if text == "raise later":
            return self._raise()
        self.told.append("binary" if text is None else f"{text} of {tenant.get()}")
        return self._wait() if text == "wait" else None

    async def _wait(self) -> None:
        await self.gate.wait()
        self.told.append(f"waited of {tenant.get()}")

    async def _raise(self) -> None:
        raise RuntimeError

    def fail(self) -> None:
        self.told.append("fail")

    def gone(self, code: int, reason: str) -> None:
        self.told.append(f"gone {code}")


class Talk:
    """A client and its connection, accepted and not listened to yet."""

    def __init__(self, keepalive: KeepAlive | None = None) -> None:
        logger = logging.getLogger("uvicorn.error")
        self.client = ClientProtocol(parse_uri("ws://localhost/"))
        conversation = Conversation(max_size=1_000_000, logger=logger)
        self.client.send_request(self.client.connect())
        conversation.receive_data(b"".join(self.client.data_to_send()))
        (request,) = conversation.events_received()
        assert isinstance(request, Request)
        conversation.send_response(conversation.accept(request))
        self.client.receive_data(b"".join(conversation.data_to_send()))
        self.client.events_received()
        self.taker, self.transport = Taker(), FakeTransport(self.client)
        self.connections: set[Any] = set()
        self.straight = StraightProtocol(
            self.transport,
            conversation,
            self.taker,
            connections=self.connections,
            keepalive=keepalive,
            waiting=["early"],
            pieces=[],
            is_text=True,
            is_reading=True,
            is_full=False,
        )

    async def say(self, *texts: str | bytes) -> None:
        for text in texts:
            if isinstance(text, str):
                self.client.send_text(text.encode())
            else:
                self.client.send_binary(text)
        self.flush()
        await asyncio.sleep(0)

    def flush(self) -> None:
        self.straight.data_received(b"".join(self.client.data_to_send()))

    def read(self) -> list[WebSocketFrame]:
        return [one for one in self.client.events_received() if isinstance(one, WebSocketFrame)]

    async def until(self, told: str) -> None:
        async with asyncio.timeout(10):
            while told not in self.taker.told:
                await asyncio.sleep(0)


async def test_nothing_is_told_before_the_client_is_let_in() -> None:
    talk = Talk()
    await talk.say("one")
    assert talk.taker.told == []
    assert not talk.transport.is_reading
    talk.straight.listen()
    assert talk.taker.told == ["early of nobody's", "one of nobody's"]
    assert talk.transport.is_reading


async def test_what_comes_while_a_message_is_waited_for_is_told_behind_it_and_the_end_last() -> (
    None
):
    talk = Talk()
    talk.straight.listen()
    await talk.say("wait", "two", b"three")
    assert not talk.transport.is_reading
    talk.client.send_close(1000)
    talk.flush()
    assert talk.taker.told == ["early of nobody's", "wait of nobody's"]
    assert talk.transport.is_closed
    talk.straight.connection_lost(None)
    talk.taker.gate.set()
    await talk.until("gone 1000")
    assert talk.taker.told[2:] == ["waited of nobody's", "two of nobody's", "binary", "gone 1000"]
    assert not talk.connections


async def test_messages_are_taken_in_the_context_of_the_projects_middleware() -> None:
    talk = Talk()
    tenant.set("Ann's")
    talk.straight.listen()
    tenant.set("another's")
    await talk.say("one", "wait")
    talk.taker.gate.set()
    await talk.until("waited of Ann's")
    assert talk.taker.told[:3] == ["early of Ann's", "one of Ann's", "wait of Ann's"]


async def test_a_taker_that_raises_is_failed() -> None:
    talk = Talk()
    talk.straight.listen()
    await talk.say("raise")
    assert talk.taker.told[1:] == ["fail"]


@pytest.mark.parametrize("message", ["raise", "raise later"])
async def test_a_taker_that_cannot_even_fail_loses_its_socket_and_hears_of_the_end(
    message: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    talk = Talk()
    state: dict[str, None] = {}
    monkeypatch.setattr(talk.taker, "fail", lambda: state["what it needs"])
    talk.straight.listen()
    await talk.say(message)
    await asyncio.sleep(0)
    assert talk.transport.is_closed
    assert "what it needs" in caplog.text
    talk.straight.connection_lost(None)
    assert talk.taker.told[-1] == "gone 1005"
    assert not talk.connections


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (lambda talk: talk.client.send_text(b"\xff"), 1007),
        (lambda talk: [talk.client.send_text(b"", fin=False)]
         + [talk.client.send_continuation(b"", fin=False) for _ in range(PIECES)], 1009),
        (lambda talk: talk.client.send_text(b"x" * 1_000_001), 1009),
    ],
    ids=["no text", "no end of pieces", "too big"],
)  # fmt: skip
async def test_what_no_client_may_say_closes_the_connection(
    said: Callable[[Talk], object], code: int
) -> None:
    talk = Talk()
    talk.straight.listen()
    said(talk)
    talk.flush()
    assert talk.client.close_rcvd is not None
    assert talk.client.close_rcvd.code == code
    assert talk.taker.told[1:] == [f"gone {code}"]
    assert talk.transport.is_closed
    talk.straight.connection_lost(None)
    assert talk.taker.told[1:] == [f"gone {code}"]


async def test_a_client_may_answer_the_close_before_its_socket_is_closed() -> None:
    for close in (talk_close, talk_shutdown):
        talk = Talk()
        talk.straight.listen()
        await close(talk)
        assert talk.client.close_rcvd is not None
        assert talk.client.close_rcvd.code == 1012
        assert talk.taker.told[1:] == ["gone 1012"]
        assert not talk.straight.is_open()
        assert not talk.transport.is_closed
        talk.flush()
        assert talk.transport.is_closed


async def talk_close(talk: Talk) -> None:
    await talk.straight.close(1012, "come back")


async def talk_shutdown(talk: Talk) -> None:
    talk.straight.shutdown()


async def test_a_message_waits_for_a_socket_that_is_full_and_a_line_is_stopped() -> None:
    talk = Talk()
    talk.straight.listen()
    talk.taker.line.carries = 1
    talk.straight.pause_writing()
    assert not talk.straight.is_open()
    assert talk.taker.line.carries == 0
    sending = asyncio.create_task(talk.straight.send(Frame.of("rows")))
    await asyncio.sleep(0.01)
    assert not talk.read()
    talk.straight.resume_writing()
    await sending
    assert [bytes(frame.data) for frame in talk.read()] == [b"rows"]


async def test_who_leaves_what_it_is_sent_is_not_heard_meanwhile() -> None:
    talk = Talk()
    talk.straight.listen()
    talk.straight.pause_writing()
    await talk.say("one", "two")
    assert talk.taker.told == ["early of nobody's"]
    assert not talk.transport.is_reading
    talk.straight.resume_writing()
    assert talk.taker.told[1:] == ["one of nobody's", "two of nobody's"]
    assert talk.transport.is_reading


async def test_whoever_waits_for_a_full_socket_learns_that_it_is_gone() -> None:
    talk = Talk()
    talk.straight.listen()
    talk.straight.pause_writing()
    sending = asyncio.create_task(talk.straight.send(Frame.of("rows")))
    await asyncio.sleep(0)
    talk.transport.close()
    talk.straight.connection_lost(ConnectionResetError())
    with pytest.raises(ConnectionAbortedError):
        await sending
    assert talk.taker.told[1:] == ["gone 1005"]


class FakeLoop:
    """A clock that is put forward by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, call: Callable[[], None]) -> object:
        self._due.append((self.now + seconds, call))
        return call

    def forward(self, seconds: float) -> None:
        for step in (seconds, READ_SECONDS):
            self.now += step
            due, self._due = self._due, []
            for when, call in due:
                if when <= self.now:
                    call()
                else:
                    self._due.append((when, call))


async def test_nobody_is_given_up_whose_answer_is_not_read_yet() -> None:
    loop: Any = FakeLoop()
    talk = Talk(KeepAlive(loop, 20, 10))
    talk.straight.listen()
    await talk.say("wait")
    assert not talk.transport.is_reading
    loop.forward(20 + TICK_SECONDS)
    loop.forward(10 + TICK_SECONDS)
    assert not talk.transport.is_closed
    talk.taker.gate.set()
    await talk.until("waited of nobody's")


async def test_without_a_timeout_a_client_may_take_any_time_to_answer() -> None:
    loop: Any = FakeLoop()
    talk = Talk(KeepAlive(loop, 20, None))
    talk.straight.listen()
    for _ in range(5):
        loop.forward(20 + TICK_SECONDS)
    assert not talk.transport.is_closed


async def test_a_connection_that_raises_keeps_no_other_from_being_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop: Any = FakeLoop()
    keepalive = KeepAlive(loop, 20, 10)
    one, other = Talk(keepalive), Talk(keepalive)
    monkeypatch.setattr(StraightProtocol, "ping", lambda self, data: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        loop.forward(20 + TICK_SECONDS)
    monkeypatch.undo()
    loop.forward(TICK_SECONDS)
    assert [frame.opcode for frame in other.read()] == [Opcode.PING]
    assert not one.read()


def test_a_tls_transport_that_has_written_all_is_not_full() -> None:
    class Transport:
        def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
            assert high  # of 0 bytes, a TLS transport says that they are reached

        def get_extra_info(self, name: str, default: object = None) -> object:
            return default

    config = uvicorn.Config(lambda: None, log_config=None)
    config.load()
    loop: Any = FakeLoop()
    WebSocketProtocol(config, ServerState(), {}, loop).connection_made(Transport())


async def test_a_client_is_asked_again_after_each_answer_and_given_up_without_one() -> None:
    loop: Any = FakeLoop()
    keepalive = KeepAlive(loop, 20, 10)
    one, other, left = Talk(keepalive), Talk(keepalive), Talk(keepalive)
    for talk in (one, other, left):
        talk.straight.listen()
    left.straight.connection_lost(None)
    for _ in range(3):
        loop.forward(20 + TICK_SECONDS)
        assert [frame.opcode for frame in one.read()] == [Opcode.PING]
        one.flush()  # the client's answer
        if other.client.state is State.OPEN:
            other.client.data_to_send()  # which is lost
            other.client.send_pong(b"else")
            other.flush()
        loop.forward(10 + TICK_SECONDS)
    assert one.taker.told == ["early of nobody's"]
    assert other.taker.told[1:] == ["gone 1011"]
    assert other.transport.is_closed
    assert left.taker.told[1:] == ["gone 1005"]
    assert not left.read()
