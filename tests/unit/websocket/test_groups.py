"""Sending to channel-layer groups from threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from channels.layers import InMemoryChannelLayer
from django.test import override_settings

from bindserver.websocket import groups
from bindserver.websocket.groups import send_to_groups, serve_from_this_loop

LAYER = {"default": {"BACKEND": "tests.unit.websocket.test_groups.NotingLayer"}}


class NotingLayer(InMemoryChannelLayer):  # type: ignore[misc]  # channels has no types
    """Notes which loop each message is sent from."""

    sent: list[tuple[str, Any, asyncio.AbstractEventLoop]] = []

    async def group_send(self, group: str, message: Any) -> None:
        self.sent.append((group, message, asyncio.get_running_loop()))


@pytest.fixture(autouse=True)
def layer() -> Iterator[None]:
    NotingLayer.sent.clear()
    with override_settings(CHANNEL_LAYERS=LAYER):
        yield
    groups._serving.clear()


@pytest.fixture
def serving() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that serves, in another thread."""
    loop = asyncio.new_event_loop()
    loop.call_soon(serve_from_this_loop)
    ready = threading.Event()
    loop.call_soon(ready.set)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    ready.wait()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_what_a_thread_sends_is_sent_on_the_loop_that_serves(
    serving: asyncio.AbstractEventLoop,
) -> None:
    send_to_groups(["a", "b"], {"type": "x"})
    assert NotingLayer.sent == [("a", {"type": "x"}, serving), ("b", {"type": "x"}, serving)]


def test_without_a_server_it_is_sent_all_the_same() -> None:
    serve_from_this_loop()  # there is none
    send_to_groups(["a"], {"type": "x"})
    assert [(group, message) for group, message, _ in NotingLayer.sent] == [("a", {"type": "x"})]


def test_a_loop_that_has_ended_is_not_waited_for() -> None:
    async def serve() -> None:
        serve_from_this_loop()

    asyncio.run(serve())
    send_to_groups(["a"], {"type": "x"})
    assert len(NotingLayer.sent) == 1


def test_what_the_layer_raises_is_raised(
    serving: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(self: Any, group: str, message: Any) -> None:
        raise ConnectionError("the layer is gone")

    monkeypatch.setattr(NotingLayer, "group_send", refuse)
    with pytest.raises(ConnectionError, match="the layer is gone"):
        send_to_groups(["a"], {"type": "x"})
