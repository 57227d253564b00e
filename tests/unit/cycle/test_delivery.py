"""Who hears that they have all of a committed state: nobody who is behind, and whoever was."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bindserver.cycle.delivery import Fanout, Outbound
from bindserver.cycle.inbox import SubscriptionRef
from bindserver.engine.events import Event, Published


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
