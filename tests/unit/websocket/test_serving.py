"""What a process does before it serves, while its first client waits."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator

import pytest
from channels.testing import WebsocketCommunicator

from bindserver.engine.intake import MESSAGE_BYTES, read
from bindserver.hub.hub import hub
from bindserver.websocket import client as room
from bindserver.websocket.consumer import BindingConsumer
from bindserver.websocket.wire import WIRE
from tests.support.logs import logged
from tests.support.patience import nobody_waits_without_end

SECONDS = 10
"""More than anything here waits for; never waited out."""


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Holds up what this process does before it serves, until it is set."""
    gate = threading.Event()
    hub.stop()
    monkeypatch.setattr(hub, "_before_serving", [lambda: gate.wait(SECONDS)])
    yield gate
    gate.set()
    hub.stop()


async def test_a_handshake_does_not_wait_for_what_is_done_before_serving(
    gate: threading.Event,
) -> None:
    """Daphne has no lifespan, and closes a handshake that has no answer after 5 seconds."""
    client = WebsocketCommunicator(BindingConsumer.as_asgi(), "/ws/")
    connected, _ = await client.connect(timeout=SECONDS)
    assert connected
    assert not gate.is_set()
    await client.send_to(json.dumps({"event": "nobody_s", "data": {"ref": 1}}))
    assert await client.receive_nothing(0.05)  # nor is it heard before
    gate.set()
    told = json.loads(await client.receive_from(timeout=SECONDS))
    assert told["data"]["payload"]["code"] == "unknown_event"
    await client.disconnect()


async def test_a_client_of_a_process_that_cannot_serve_is_told_to_come_later(
    gate: threading.Event, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise RuntimeError

    monkeypatch.setattr(hub, "_before_serving", [fail])
    client = WebsocketCommunicator(BindingConsumer.as_asgi(), "/ws/")
    assert (await client.connect(timeout=SECONDS))[0]
    closed = await client.receive_output(timeout=SECONDS)
    assert (closed["type"], closed["code"]) == ("websocket.close", 1013)
    assert not hub.is_serving
    assert "RuntimeError" in logged(caplog)[0]


async def test_who_is_not_let_in_is_not_heard(
    gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        gate.wait(SECONDS)
        raise RuntimeError

    monkeypatch.setattr(hub, "_before_serving", [fail])
    client = WebsocketCommunicator(BindingConsumer.as_asgi(), "/ws/")
    assert (await client.connect(timeout=SECONDS))[0]
    await client.send_to("no JSON")
    gate.set()
    closed = await client.receive_output(timeout=SECONDS)
    assert (closed["type"], closed["code"]) == ("websocket.close", 1013)


async def test_the_event_loop_goes_on_meanwhile(gate: threading.Event) -> None:
    clients = [WebsocketCommunicator(BindingConsumer.as_asgi(), "/ws/") for _ in range(3)]
    async with asyncio.timeout(SECONDS):
        assert [(await client.connect())[0] for client in clients] == [True] * 3
    assert not hub.is_serving
    gate.set()
    for client in clients:
        await client.send_to(json.dumps({"event": "nobody_s", "data": {"ref": 1}}))
        await client.receive_from(timeout=SECONDS)
        await client.disconnect()
    assert hub.is_serving


async def test_a_big_message_is_read_in_a_thread_and_the_next_one_heard_behind_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    readers = []

    def noted(text: str) -> object:
        readers.append(threading.current_thread().name)
        return read(text)

    monkeypatch.setattr(room, "read", noted)
    client = WebsocketCommunicator(BindingConsumer.as_asgi(), "/ws/")
    assert (await client.connect(timeout=SECONDS))[0]
    held = list(range(MESSAGE_BYTES // 4))
    for data in ({"ref": 1, "held": held}, {"ref": 2, "held": [*held, None]}):
        await client.send_to(json.dumps({"event": "nobody_s", "data": data}))
    await client.send_to(json.dumps({"event": "$ping", "data": 3}))
    told = [json.loads(await client.receive_from(timeout=SECONDS)) for _ in range(3)]
    codes = {one["data"]["payload"]["code"] for one in told if one["data"] != 3}
    assert codes == {"unknown_event", "malformed"}
    assert "$pong" in [one["event"] for one in told[1:]]
    assert len(readers) == 2
    assert all(name.startswith("bindserver-messages") for name in readers)
    await client.disconnect()


async def test_a_connection_that_is_cancelled_before_it_is_let_in_is_closed(
    gate: threading.Event,
) -> None:
    told: list[str] = []

    class Straight:
        def hand_over(self, taker: object) -> Straight:
            return self

        def is_open(self) -> bool:
            return False

        def listen(self) -> None:
            told.append("listen")

        async def close(self, code: int, reason: str) -> None:
            told.append(f"close {code}")

    async def receive() -> object:
        return {"type": "websocket.connect"}

    async def send(message: object) -> None:
        pass

    scope = {"type": "websocket", "headers": [], "extensions": {WIRE: Straight()}}
    task = asyncio.create_task(BindingConsumer()(scope, receive, send))
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.sleep(0.05)
    gate.set()  # what a thread has begun is waited for, though nobody wants it any more
    await asyncio.wait([task], timeout=SECONDS)
    async with nobody_waits_without_end():
        while len(told) < 2:
            await asyncio.sleep(0.01)
    assert told == ["listen", "close 1012"]
