"""Once a frame is lost nothing more is written: the client would take what follows it for whole."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest
from channels.testing import WebsocketCommunicator

from bindserver.cycle.inbox import SessionRequest
from bindserver.engine import frames as frames_module
from bindserver.engine.deflate import deflate
from bindserver.engine.events import Accepted, Answered, Arrived, Published
from bindserver.engine.frames import BREATH_BYTES, Frame
from bindserver.engine.protocol import Closing
from bindserver.hub.hub import hub
from bindserver.websocket.consumer import BindingConsumer
from bindserver.websocket.wire import WIRE, Taker

SECONDS = 10
"""More than anything here waits for; never waited out."""

HALF = "\ud800"
"""Half of a surrogate pair, which no frame can carry."""


class FakeWire:
    """A connection past ASGI, whose socket takes all that there is.

    Attributes:
        text: what was written.
        is_full: whether it takes nothing for now.
        taker: who is told what the client says.
        code: by which it was closed.
    """

    taker: Taker

    def __init__(self) -> None:
        self.text = ""
        self.written: list[bytes] = []
        self.code: int | None = None
        self._room = asyncio.Event()
        self._room.set()

    @property
    def is_full(self) -> bool:
        return not self._room.is_set()

    @is_full.setter
    def is_full(self, is_full: bool) -> None:
        (self._room.clear if is_full else self._room.set)()

    def hand_over(self, taker: Taker) -> FakeWire:
        self.taker = taker
        taker.line.write = self.write
        return self

    def listen(self) -> None:
        pass

    def is_open(self) -> bool:
        return not self.is_full

    def write(self, data: bytes) -> None:
        self.text += data.decode("utf-8", "replace")
        self.written.append(data)

    async def send(self, frame: Frame) -> int:
        await self._room.wait()
        data = frame.form(packed=self.taker.line.packs)
        self.write(data)
        return len(data)

    async def close(self, code: int, reason: str) -> None:
        self.code = code
        self.taker.gone(code, reason)


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[SessionRequest]:
    """What the hub is asked for; it answers nothing."""
    asked: list[SessionRequest] = []
    monkeypatch.setattr(hub, "request", asked.append)
    monkeypatch.setattr(hub, "prepare", lambda: None)
    monkeypatch.setattr(hub, "serve", lambda: None)
    return asked


async def subscribed(requests: list[SessionRequest]) -> tuple[Any, FakeWire]:
    """Return a client and its socket, with a subscription that has its rows."""
    client, wire = WebsocketCommunicator(BindingConsumer.as_asgi(), "/ws/"), FakeWire()
    client.scope["extensions"] = {WIRE: wire}
    assert (await client.connect(timeout=SECONDS))[0]
    await client.wait(SECONDS)  # its application has ended
    assert wire.taker.receive(json.dumps({"event": "products", "data": {"ref": 1}})) is None
    listener = requests[0].ref.listener
    listener.hear(1, Accepted(params="{}", takes_params=False, key="id", ordered=True))
    listener.hear(1, Answered(frames=(Frame.of("rows"),), version=1))
    async with asyncio.timeout(SECONDS):
        while "rows" not in wire.text:
            await asyncio.sleep(0.01)
    return listener, wire


async def closed(wire: FakeWire) -> int:
    async with asyncio.timeout(SECONDS):
        while wire.code is None:
            await asyncio.sleep(0.01)
    return wire.code


@pytest.mark.parametrize("small", [True, False], ids=["at once", "by the outbox"])
async def test_nothing_is_written_behind_a_frame_that_cannot_be(
    requests: list[SessionRequest], small: bool
) -> None:
    listener, wire = await subscribed(requests)
    lost = (Frame.of(HALF),) if small else (Frame.of("part"), Frame.of(HALF))
    whole = (Frame.of("later"),), (Frame.of("a page"), Frame.of("last"))
    for version, frames in enumerate((lost, *whole), 2):
        try:
            listener.hear(1, Published(frames=frames, version=version))
        except UnicodeEncodeError:
            listener.fail()
    assert await closed(wire) == Closing.RESTART
    assert "later" not in wire.text
    assert "last" not in wire.text


async def test_nothing_overtakes_a_frame_that_is_being_written(
    requests: list[SessionRequest],
) -> None:
    listener, wire = await subscribed(requests)
    line = requests[0].line
    assert line is not None

    def publish(version: int) -> None:
        if line.carries == 1:
            line.write(f"at once {version};".encode())
            line.version = version
            return
        listener.hear(1, Published(frames=(Frame.of(f"{version};"),), version=version))
        listener.settle(f"state {version}")

    listener.settle("state 1")
    publish(2)
    assert wire.text.endswith("at once 2;")
    wire.is_full = True
    line.stop()
    publish(3)
    await asyncio.sleep(0.05)  # its frame is being written by now, and nothing waits behind it
    wire.is_full = False  # of which the writer hears in the loop's next step
    listener.hear(0, Arrived())
    listener.settle("state 3")
    publish(4)
    async with asyncio.timeout(SECONDS):
        while "4;" not in wire.text:
            await asyncio.sleep(0.01)
    publish(5)
    assert [part[-1:] for part in wire.text.split(";")[-5:-1]] == ["2", "3", "4", "5"]
    assert wire.text.endswith("at once 5;")


@pytest.mark.parametrize("is_full", [False, True])
async def test_a_big_frame_is_compressed_in_a_thread_once_and_nothing_overtakes_it(
    requests: list[SessionRequest], monkeypatch: pytest.MonkeyPatch, is_full: bool
) -> None:
    threads: list[str] = []

    def noted(payload: bytes) -> bytes | None:
        if len(payload) > BREATH_BYTES:
            threads.append(threading.current_thread().name)
        return deflate(payload)

    monkeypatch.setattr(frames_module, "deflate", noted)
    talks = []
    for _ in range(3):
        requests.clear()
        talks.append(await subscribed(requests))
    pages = tuple(Frame.of(f"{number};" + "x" * BREATH_BYTES) for number in (2, 3))
    for listener, wire in talks:
        wire.written.clear()
        wire.is_full = is_full
        wire.taker.line.packs = True
        for version, frame in enumerate((*pages, Frame.of("4;")), 2):
            listener.hear(1, Published(frames=(frame,), version=version))
            listener.settle(f"state {version}")
        wire.is_full = False
    for _, wire in talks:
        async with asyncio.timeout(SECONDS):
            while len(wire.written) < 3:
                await asyncio.sleep(0.01)
        assert wire.written == [pages[0].packed, pages[1].packed, b"\x81\x024;"]
    assert [name.partition("_")[0] for name in threads] == ["bindserver-messages"] * len(pages)
