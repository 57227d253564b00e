"""Who hears that they have all of a committed state: nobody who is behind, and whoever was."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bindserver.cycle.delivery import Fanout, Outbound
from bindserver.cycle.inbox import SubscriptionRef
from bindserver.engine import frames
from bindserver.engine.deflate import deflate
from bindserver.engine.events import Event, Published
from bindserver.engine.frames import Frame
from bindserver.engine.line import Line


class Listener:
    """Notes what it hears."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.heard: list[str] = []

    def hear(self, number: int, event: Event) -> None:
        self.heard.append(type(event).__name__)

    def settle(self, state: str) -> None:
        self.heard.append(state)

    def fail(self) -> None:
        pytest.fail("an event could not be heard")


def news(*listeners: Any) -> Outbound:
    outbound = Outbound()
    refs = [SubscriptionRef(listener, 1) for listener in listeners]
    outbound.add(refs, Published(frames=(), version=1))
    return outbound


async def send(fanout: Fanout, outbound: Outbound, state: str, *behind: Any) -> None:
    await asyncio.to_thread(fanout.send, outbound, state, frozenset(behind))


async def test_who_is_behind_has_no_state_until_they_are_not() -> None:
    fanout, one, other = Fanout(), Listener(), Listener()
    await send(fanout, news(one, other), "s", one)
    assert (one.heard, other.heard) == (["Published"], ["Published", "s"])
    await send(fanout, news(one), "t")
    assert one.heard == ["Published", "Published", "Arrived", "t"]
    assert other.heard == ["Published", "s"]


async def test_who_had_waited_for_nothing_new_is_told_of_the_state_all_the_same() -> None:
    fanout, one = Fanout(), Listener()
    await send(fanout, news(one), "s", one)
    await send(fanout, Outbound(), "t")
    assert one.heard == ["Published", "Arrived", "t"]
    await send(fanout, Outbound(), "u")
    assert one.heard == ["Published", "Arrived", "t"]


async def test_a_listener_that_cannot_take_a_state_is_given_up_and_others_hear_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fanout, broken, other = Fanout(), Listener(), Listener()

    def settle(state: str) -> None:
        raise RuntimeError

    monkeypatch.setattr(broken, "settle", settle)
    monkeypatch.setattr(broken, "fail", lambda: broken.heard.append("given up"))
    await send(fanout, news(broken, other), "s")
    await send(fanout, news(other), "t")
    assert broken.heard == ["Published", "given up"]
    assert other.heard == ["Published", "s", "Published", "t"]


class Hopeless(Listener):
    """Cannot hear, and cannot be given up."""

    def hear(self, number: int, event: Event) -> None:
        raise ValueError(event)

    def fail(self) -> None:
        raise RuntimeError("nor this")


async def test_who_cannot_even_be_given_up_keeps_no_other_from_its_events(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fanout, hopeless, other = Fanout(), Hopeless(), Listener()
    for state in ("s", "t"):
        await send(fanout, news(hopeless, other), state)
    assert other.heard == ["Published", "s", "Published", "t"]
    assert "cannot be given up" in caplog.text


async def test_each_is_written_the_form_it_takes_and_what_is_compressed_is_so_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compressed: list[bytes] = []

    def noted(payload: bytes) -> bytes | None:
        compressed.append(payload)
        return deflate(payload)

    monkeypatch.setattr(frames, "deflate", noted)
    frame, outbound = Frame.of("x" * 500), Outbound()
    written: list[bytes] = []
    lines = [Line() for _ in range(100)]
    for index, line in enumerate(lines):
        line.carries, line.packs, line.write = 1, index % 3 == 0, written.append
    refs = [SubscriptionRef(listener(), 1, line) for line in lines]
    outbound.add(refs, Published(frames=(frame,), version=7))
    await send(Fanout(), outbound, "s")
    assert written == [frame.packed if line.packs else frame.wire for line in lines]
    assert [line.bytes for line in lines] == [len(wire) for wire in written]
    assert {(line.version, line.frames) for line in lines} == {(7, 1)}
    assert compressed == [frame.text.encode()]


async def test_nothing_is_compressed_where_nobody_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "deflate", lambda payload: pytest.fail("it was compressed"))
    outbound, line, frame = Outbound(), Line(), Frame.of("x" * 500)
    written: list[bytes] = []
    line.carries, line.write = 1, written.append
    outbound.add([SubscriptionRef(listener(), 1, line)], Published(frames=(frame,), version=1))
    await send(Fanout(), outbound, "s")
    assert written == [frame.wire]


def listener() -> Any:
    return Listener()
