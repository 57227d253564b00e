"""Once a frame is lost nothing more is written: the client would take what follows it for whole."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from channels.testing import WebsocketCommunicator

from bindserver.cycle.inbox import SessionRequest
from bindserver.engine.events import Accepted, Answered, Arrived, Published
from bindserver.engine.frames import Frame
from bindserver.engine.line import Line
from bindserver.engine.protocol import Closing
from bindserver.hub.hub import hub
from bindserver.websocket.consumer import BindingConsumer
from bindserver.websocket.wire import WIRE

SECONDS = 10
"""More than anything here waits for; never waited out."""

HALF = "\ud800"
"""Half of a surrogate pair, which no frame can carry."""


class FakeWire:
    """A socket that takes all that there is.

    Attributes:
        text: what was written.
        is_full: whether it takes nothing for now.
    """

    def __init__(self) -> None:
        self.text = ""
        self.is_full = False

    def is_open(self) -> bool:
        return not self.is_full

    def attach(self, line: Line) -> None:
        line.write = self.write

    def write(self, data: bytes) -> None:
        self.text += data.decode("utf-8", "replace")


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[SessionRequest]:
    """What the hub is asked for; it answers nothing."""
    asked: list[SessionRequest] = []
    monkeypatch.setattr(hub, "request", asked.append)
    monkeypatch.setattr(hub, "prepare", lambda: None)
    monkeypatch.setattr(hub, "serve", lambda: None)
    return asked


async def subscribed(requests: list[SessionRequest]) -> tuple[WebsocketCommunicator, Any, FakeWire]:
    """Return a client, its consumer and its socket, with a subscription that has its rows."""
    client, wire = WebsocketCommunicator(BindingConsumer.as_asgi(), "/ws/"), FakeWire()
    client.scope["extensions"] = {WIRE: wire}
    assert (await client.connect(timeout=SECONDS))[0]
    await client.send_to(json.dumps({"event": "products", "data": {"ref": 1}}))
    async with asyncio.timeout(SECONDS):
        while not requests:
            await asyncio.sleep(0.01)
    listener = requests[0].ref.listener
    listener.hear(1, Accepted(params="{}", takes_params=False, key="id", ordered=True))
    listener.hear(1, Answered(frames=(Frame.of("rows"),), version=1))
    async with asyncio.timeout(SECONDS):
        while "rows" not in wire.text:
            await asyncio.sleep(0.01)
    return client, listener, wire


async def closed(client: WebsocketCommunicator) -> int:
    told = await client.receive_output(timeout=SECONDS)
    assert told["type"] == "websocket.close"
    return int(told["code"])


@pytest.mark.parametrize("small", [True, False], ids=["at once", "by the outbox"])
async def test_nothing_is_written_behind_a_frame_that_cannot_be(
    requests: list[SessionRequest], small: bool
) -> None:
    client, listener, wire = await subscribed(requests)
    lost = (Frame.of(HALF),) if small else (Frame.of("part"), Frame.of(HALF))
    whole = (Frame.of("later"),), (Frame.of("a page"), Frame.of("last"))
    for version, frames in enumerate((lost, *whole), 2):
        try:
            listener.hear(1, Published(frames=frames, version=version))
        except UnicodeEncodeError:
            listener.fail()
    assert await closed(client) == Closing.RESTART
    assert "later" not in wire.text
    assert "last" not in wire.text
    await client.disconnect()


async def test_nothing_overtakes_a_frame_that_is_being_written(
    requests: list[SessionRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, listener, wire = await subscribed(requests)
    line, taken = requests[0].line, asyncio.Event()
    assert line is not None

    async def send(message: Any) -> None:
        await taken.wait()
        wire.text += message["text"]

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
    monkeypatch.setattr(listener, "base_send", send)
    publish(3)
    await asyncio.sleep(0.05)  # its frame is being written by now, and nothing waits behind it
    wire.is_full = False
    listener.hear(0, Arrived())
    listener.settle("state 3")
    publish(4)
    taken.set()
    async with asyncio.timeout(SECONDS):
        while "4;" not in wire.text:
            await asyncio.sleep(0.01)
    publish(5)
    assert [part[-1:] for part in wire.text.split(";")[-5:-1]] == ["2", "3", "4", "5"]
    assert wire.text.endswith("at once 5;")
    await client.disconnect()
