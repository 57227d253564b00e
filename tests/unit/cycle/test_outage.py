"""What is said of requests while a cycle's thread rests, and what waits for its return."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.test import override_settings

from bindserver.cycle.delivery import Outbound
from bindserver.cycle.inbox import Caller, Hint, ReadRequest, SessionRequest
from bindserver.cycle.outage import out_of_reach, refuse_at_once
from bindserver.engine.effects import Ask, CatchUp, Reconsider, Release
from bindserver.engine.events import Ended, Event, Rejected, Staled
from bindserver.engine.protocol import Subscribe
from bindserver.exceptions import Unavailable
from tests.app.bindings import ProductBinding
from tests.support.turning import Turning, add


class Listener:
    """Notes what it hears, at once."""

    def __init__(self) -> None:
        self.loop: Any = SimpleNamespace(call_soon_threadsafe=lambda call, *args: call(*args))
        self.heard: list[tuple[int, Event]] = []

    def hear(self, number: int, event: Event) -> None:
        self.heard.append((number, event))

    def settle(self, state: str) -> None:
        """Nothing to do."""

    def fail(self) -> None:
        raise AssertionError


def test_who_asks_is_refused_and_what_is_to_be_let_go_of_waits() -> None:
    listener, read = Listener(), ReadRequest(instance=ProductBinding())
    message = Subscribe(event="products", params={})
    ask, again, release, catch_up = (
        SessionRequest(listener, Caller(), effect)
        for effect in (
            Ask(number=1, message=message),
            Reconsider(number=2, event="products"),
            Release(number=3),
            CatchUp(number=4, event="products", version=5),
        )
    )
    hint = Hint()
    assert refuse_at_once([hint, ask, release, read, again, catch_up]) == [hint, release, catch_up]
    assert [(number, type(event)) for number, event in listener.heard] == [
        (1, Rejected),
        (2, Ended),
    ]
    with pytest.raises(Unavailable):
        read.answer.result(timeout=0)


def told(outbound: Outbound) -> list[type[Event]]:
    """Return what is told, to all together."""
    return [type(event) for refs, event in outbound for _ in refs]


def test_who_was_answered_before_the_turn_met_the_outage_is_refused_nothing(
    sqlite_turning: Turning,
) -> None:
    sqlite_turning.follow(ProductBinding())
    asked = sqlite_turning.asked()
    sqlite_turning.turn()
    assert told(out_of_reach(sqlite_turning.store, asked)) == [Staled]


@override_settings(BINDSERVER={"SYNC_ROWS": 1})
def test_who_still_waits_for_an_answer_is_told_that_there_is_none(sqlite_turning: Turning) -> None:
    add(1)
    add(2)
    sqlite_turning.follow(ProductBinding())
    asked = sqlite_turning.asked()
    with sqlite_turning.loader_held():
        sqlite_turning.take_one()
        assert Rejected in told(out_of_reach(sqlite_turning.store, asked))
    sqlite_turning.next_load()
