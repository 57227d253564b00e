"""The inspector's feed: nothing runs while nobody looks, and a lost database holds up nobody."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError

from bindserver.cycle.inbox import Caller, SessionRequest
from bindserver.engine.effects import Ask, CatchUp, Reconsider, Release
from bindserver.engine.events import Accepted, Answered, Ended, Event, Published, Rejected
from bindserver.engine.protocol import Code, Subscribe
from bindserver.inspector.asked import EVENT
from bindserver.inspector.feed import InspectorFeed
from bindserver.inspector.lookups import BUSY

STAFF = Caller(user=User(username="ann", is_staff=True))  # of no table: nobody is looked up


class Ear:
    """Hears what it is told, in order."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.told: asyncio.Queue[tuple[int, Event]] = asyncio.Queue()

    def hear(self, number: int, event: Event) -> None:
        self.told.put_nowait((number, event))

    def settle(self, state: str) -> None:
        """Nothing to do."""

    def fail(self) -> None:
        raise AssertionError

    async def next(self) -> Event:
        async with asyncio.timeout(60):
            _, event = await self.told.get()
            return event


numbers = count(1)


def ask(feed: InspectorFeed, ear: Ear, caller: Caller = STAFF, **params: Any) -> int:
    """Subscribe, and return the subscription's number."""
    number = next(numbers)
    message = Subscribe(event=EVENT, params=params)
    feed.take(SessionRequest(ear, caller, Ask(number=number, message=message)))
    return number


@pytest.fixture
async def feed() -> AsyncIterator[InspectorFeed]:
    made = InspectorFeed(look_seconds=0.01)
    yield made
    await asyncio.to_thread(made.stop)


async def test_whoever_asks_is_told_all_rows_and_then_what_changes(feed: InspectorFeed) -> None:
    ear = Ear()
    number = ask(feed, ear, table="processes")
    accepted, answered = await ear.next(), await ear.next()
    assert isinstance(accepted, Accepted)
    assert isinstance(answered, Answered)
    data = json.loads(answered.frames[0].text)
    assert (data["event"], data["data"]["action"]) == (EVENT, "sync")
    feed.take(SessionRequest(ear, STAFF, CatchUp(number=number, event=EVENT, version=0)))
    assert isinstance(await ear.next(), (Answered, Published))


async def test_the_thread_ends_when_the_last_one_leaves_and_begins_for_the_next(
    feed: InspectorFeed,
) -> None:
    ear = Ear()
    for _ in range(2):
        number = ask(feed, ear, table="processes")
        assert isinstance(await ear.next(), Accepted)
        thread = feed._thread
        assert thread is not None
        feed.take(SessionRequest(ear, STAFF, Release(number=number)))
        await asyncio.to_thread(thread.join, 60)
        assert feed._thread is None
        while not ear.told.empty():
            ear.told.get_nowait()


async def test_releases_of_other_subscriptions_start_nothing(feed: InspectorFeed) -> None:
    feed.take(SessionRequest(Ear(), STAFF, Release(number=4711)))
    assert feed._thread is None


async def test_who_is_nobody_any_more_is_cut_off(feed: InspectorFeed) -> None:
    ear = Ear()
    number = ask(feed, ear, table="bindings")
    assert isinstance(await ear.next(), Accepted)
    nobody = Caller(user=None)
    feed.take(SessionRequest(ear, nobody, Reconsider(number=number, event=EVENT)))
    told = await ear.next()
    while not isinstance(told, Ended):
        told = await ear.next()
    assert told.code is Code.REVOKED


async def test_a_user_that_cannot_be_looked_up_is_told_to_come_later(
    feed: InspectorFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OperationalError("the database is away")

    monkeypatch.setattr("bindserver.inspector.lookups.admit", fail)
    ear = Ear()
    ask(feed, ear, table="views")
    told = await ear.next()
    assert isinstance(told, Rejected)
    assert (told.code, "away" in told.detail) == (Code.UNAVAILABLE, False)


async def test_questions_that_are_too_many_are_refused(
    feed: InspectorFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    monkeypatch.setattr("bindserver.inspector.lookups.answer", lambda *_: go_on.wait(60) and [])
    ear = Ear()
    for time in range(6):
        ask(feed, ear, table="why", view="default-1", row="1", time=time)
    told = [await ear.next() for _ in range(6)]
    go_on.set()
    assert [event.detail for event in told if isinstance(event, Rejected)] == [BUSY]


async def test_a_failure_of_its_own_ends_what_is_followed_and_no_more(
    feed: InspectorFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    ear = Ear()
    ask(feed, ear, table="bindings")
    assert isinstance(await ear.next(), Accepted)

    def fail(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr("bindserver.inspector.feed.Facts", fail)
        told = await ear.next()
        while not isinstance(told, Ended):
            told = await ear.next()
        assert told.code is Code.UNAVAILABLE
        ask(feed, ear, table="bindings")
        assert isinstance(await ear.next(), Rejected)
    ask(feed, ear, table="bindings")
    assert isinstance(await ear.next(), Accepted)
