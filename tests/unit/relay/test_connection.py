"""One life of the relay on a loop of the test's own, by the channel layer in memory."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from channels.exceptions import ChannelFull
from channels.layers import InMemoryChannelLayer
from django.test import override_settings

from bindserver.cycle.inbox import CommandKind
from bindserver.engine.changes import Change
from bindserver.relay import connection as lines
from bindserver.relay.connection import NoEcho, RelayConnection, SendQueue
from bindserver.relay.control import _hear_oneself
from bindserver.relay.messages import Beat, CommandMessage, Hints, dump
from tests.support.receiver import Receiver

PATIENCE_SECONDS = 10


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(lines, "COMPARE_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(lines, "JOIN_BEAT_SECONDS", 0.02)
    with override_settings(BINDSERVER={"RELAY_BEAT_SECONDS": 0.05}):
        yield


class End:
    """One process's end of a relay."""

    def __init__(self, layer: Any, name: str) -> None:
        self.receiver = Receiver()
        self.bag = SendQueue(name)
        self.line = RelayConnection(layer, self.bag, self.receiver, lambda: None)

    def write(self, *pks: Any) -> None:
        self.bag.put("default", [Change(table="t", pks=frozenset(pks))])
        self.line.ring()

    async def hears(self) -> None:
        """Return when it is connected: it compares then."""
        await until(lambda: self.receiver.compares > 0)


@asynccontextmanager
async def living(*ends: End) -> AsyncIterator[None]:
    """Have ends live, and listen, for a while."""
    tasks = [asyncio.create_task(end.line.run()) for end in ends]
    for end in ends:
        end.line.listen()
        await end.hears()
    yield
    for end in ends:
        end.line.end()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.gather(*tasks)


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not done():
            await asyncio.sleep(0.005)


async def test_two_ends_hear_each_other_and_not_themselves() -> None:
    layer = InMemoryChannelLayer()
    one, two = End(layer, "one"), End(layer, "two")
    async with living(one, two):
        one.write(1, 2)
        two.write("x")
        await until(
            lambda: two.receiver.told == {"t": {1, 2}} and one.receiver.told == {"t": {"x"}}
        )


async def test_hints_are_put_together_while_they_wait() -> None:
    end = End(InMemoryChannelLayer(), "one")
    for number in range(500):
        end.write(number)
    sent = end.bag.first()
    assert isinstance(sent, Hints)
    assert sent.changes == (Change(table="t", pks=frozenset(range(500))),)
    end.bag.done()
    assert end.bag.first() is None
    assert end.bag.wait_until_sent(0)


async def test_what_a_full_channel_has_dropped_is_compared_for() -> None:
    layer = InMemoryChannelLayer(capacity=3)
    end = End(layer, "one")
    async with living(end):
        before = end.receiver.compares
        [channel] = layer.groups["bindserver"]
        for number in range(1, 30):  # in one go: nobody reads meanwhile
            with suppress(ChannelFull):
                await layer.send(channel, dump(Beat(sender="other", number=number)))
        await asyncio.sleep(0.05)
        await layer.group_send("bindserver", dump(Beat(sender="other", number=30)))
        await until(lambda: end.receiver.compares > before)


async def test_a_life_without_an_echo_ends() -> None:
    layer = InMemoryChannelLayer()
    end = End(layer, "one")
    task = asyncio.create_task(end.line.run())
    end.line.listen()
    await until(lambda: end.receiver.compares > 0)
    layer.groups.clear()  # as Redis does that was emptied
    with pytest.raises(NoEcho, match="no echo for"):
        await asyncio.wait_for(task, PATIENCE_SECONDS)


async def test_a_layer_that_fails_ends_the_life_and_keeps_what_was_not_sent() -> None:
    class Broken(InMemoryChannelLayer):  # type: ignore[misc]  # channels has no types
        async def group_send(self, group: str, message: dict[str, Any]) -> None:
            raise ConnectionError("gone")

    end = End(Broken(), "one")
    end.write(1)
    with pytest.raises(ConnectionError, match="gone"):
        await asyncio.wait_for(end.line.run(), PATIENCE_SECONDS)
    sent = end.bag.first()
    assert isinstance(sent, Hints)
    assert sent.number == 1
    assert not end.bag.wait_until_sent(0)


async def test_a_layer_that_swallows_its_end_is_told_again() -> None:
    class Stubborn(InMemoryChannelLayer):  # type: ignore[misc]  # channels has no types
        async def receive(self, channel: str) -> Any:
            with suppress(asyncio.CancelledError):
                return await super().receive(channel)
            return await super().receive(channel)

    async with living(End(Stubborn(), "one")):
        pass


async def test_a_layer_that_fails_when_it_is_told_to_end_leaves_no_complaint_behind() -> None:
    class Failing(InMemoryChannelLayer):  # type: ignore[misc]  # channels has no types
        async def group_send(self, group: str, message: dict[str, Any]) -> None:
            pass  # so nobody hears an echo, and the joining goes on

        async def receive(self, channel: str) -> Any:
            receiving.set()
            try:
                return await super().receive(channel)
            except asyncio.CancelledError:
                raise ConnectionError from None

    receiving = asyncio.Event()
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, about: complaints.append(about))
    end = End(Failing(), "one")
    end.line.listen()
    task = asyncio.create_task(end.line.run())
    await receiving.wait()
    end.line.end()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await task
    del end, task
    gc.collect()
    await asyncio.sleep(0)
    assert complaints == []


async def test_an_order_is_taken_and_answered() -> None:
    layer = InMemoryChannelLayer()
    end = End(layer, "one")
    reply = await layer.new_channel()
    await _hear_oneself(layer, reply)
    command = CommandMessage(
        sender="operator",
        number=1,
        command=CommandKind.SYNC,
        events=frozenset({"products"}),
        reply=reply,
    )
    async with living(end):
        before = end.receiver.compares
        await layer.group_send("bindserver", dump(command))
        answer = await asyncio.wait_for(layer.receive(reply), PATIENCE_SECONDS)
        assert answer == {"type": "bindserver.done", "sender": "one"}
        assert end.receiver.commands == [(CommandKind.SYNC, {"products"})]
        assert end.receiver.compares == before
