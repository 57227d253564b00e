"""What is said of requests while a cycle's thread rests, and what waits for its return."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from bindserver.cycle.inbox import Caller, Hint, ReadRequest, SessionRequest
from bindserver.cycle.outage import refuse_at_once
from bindserver.engine.effects import Ask, CatchUp, Reconsider, Release
from bindserver.engine.events import Ended, Event, Rejected
from bindserver.engine.protocol import Subscribe
from bindserver.exceptions import Unavailable
from tests.app.bindings import ProductBinding


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
