"""Once a frame is lost nothing more is written: the client would take what follows it for whole."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from channels.testing import WebsocketCommunicator

from bindserver.cycle.inbox import SessionRequest
from bindserver.engine.events import Accepted, Answered, Published
from bindserver.engine.frames import Frame
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
    """

    def __init__(self) -> None:
        self.text = ""

    def is_open(self) -> bool:
        return True

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
