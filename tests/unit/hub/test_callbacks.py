"""The threads that call `message`: a fault of ours there costs one binding a repetition."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any

import pytest

from bindserver import Binding
from bindserver.cycle.inbox import SessionRequest
from bindserver.engine.effects import Ask, Release
from bindserver.engine.events import Published
from bindserver.engine.frames import Frame, changes_in
from bindserver.hub import callbacks
from bindserver.hub.callbacks import MessageCallbacks
from tests.app.models import Product
from tests.support.registered import keep_out

FRAME = Frame.of('{"event": "x", "data": {"action": "create", "payload": {"id": 1}}}')


class Hearing(Binding[Product]):
    """A binding that hears its changes."""

    model = Product
    fields = ["id"]
    heard: SimpleQueue[str] = SimpleQueue()

    def message(self, action: str, payload: Any) -> None:
        self.heard.put(action)


@pytest.fixture
def requests() -> SimpleQueue[SessionRequest]:
    return SimpleQueue()


@pytest.fixture
def told(requests: SimpleQueue[SessionRequest]) -> Iterator[MessageCallbacks]:
    told = MessageCallbacks(requests.put, 1000)
    yield told
    told.stop()


def test_a_binding_whose_frame_was_lost_with_the_thread_is_told_anew(
    told: MessageCallbacks,
    requests: SimpleQueue[SessionRequest],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usual, failed = changes_in, threading.Event()

    def failing(*args: Any) -> Any:
        if not failed.is_set():
            failed.set()
            raise SystemExit(1)
        return usual(*args)

    monkeypatch.setattr(callbacks, "changes_in", failing)
    told.keep(Hearing())
    first = requests.get(timeout=30)
    published = Published(frames=(FRAME,), version=1)
    told.loop.call_soon_threadsafe(told.hear, first.ref.number, published)
    asked = [requests.get(timeout=30).effect for _ in range(2)]
    assert [type(effect) for effect in asked] == [Release, Ask]
    told.loop.call_soon_threadsafe(told.hear, asked[1].number, published)
    assert Hearing.heard.get(timeout=30) == "create"


def test_a_binding_whose_event_could_not_be_heard_is_told_anew(
    told: MessageCallbacks,
    requests: SimpleQueue[SessionRequest],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(callbacks, "AGAIN_SECONDS", 0.01)
    told.keep(Hearing())
    first = requests.get(timeout=30)
    published: Any = Published(frames=(FRAME,), version=1)
    broken: Any = Published(frames=(None,), version=1)  # type: ignore[arg-type]

    def tell(number: int, event: Any) -> None:
        """Do what the dispatcher does."""
        try:
            told.hear(number, event)
        except AttributeError:
            told.fail()

    told.loop.call_soon_threadsafe(tell, first.ref.number, broken)
    asked = [requests.get(timeout=30).effect for _ in range(2)]
    assert [type(effect) for effect in asked] == [Release, Ask]
    told.loop.call_soon_threadsafe(tell, first.ref.number, published)  # it is nobody's any more
    told.loop.call_soon_threadsafe(tell, asked[1].number, published)
    assert Hearing.heard.get(timeout=30) == "create"
    assert Hearing.heard.empty()


def test_the_loop_that_hears_events_goes_on_when_something_wants_to_end_it(
    told: MessageCallbacks, requests: SimpleQueue[SessionRequest]
) -> None:
    def leave() -> None:
        raise SystemExit(1)

    told.keep(Hearing())
    first = requests.get(timeout=30)
    told.loop.call_soon_threadsafe(leave)
    published = Published(frames=(FRAME,), version=1)
    told.loop.call_soon_threadsafe(told.hear, first.ref.number, published)
    assert Hearing.heard.get(timeout=30) == "create"


keep_out(globals())
