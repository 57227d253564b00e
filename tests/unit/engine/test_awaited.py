"""A client that waits to hold a write: when its session says so."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bindserver.engine.effects import AwaitWrite, Release
from bindserver.engine.events import Accepted, Answered, Published, Rejected, Seen
from bindserver.engine.frames import Frame
from bindserver.engine.limits import Limits
from bindserver.engine.protocol import Code
from bindserver.engine.session import Session


class Client:
    """A client's session, and what it is sent."""

    def __init__(self, **limits: Any) -> None:
        self.session = Session(Limits(**{"outbox_bytes": 1000, **limits}))
        self.effects: list[Any] = []

    def say(self, event: str, **data: Any) -> None:
        text = json.dumps({"event": event, "data": data})
        self.effects += self.session.receive(text, 0.0)

    def hear(self, number: int, event: Any) -> None:
        self.effects += self.session.hear(number, event)

    def settle(self) -> None:
        if not self.session.settle_quietly():
            self.effects += self.session.committed("s")

    def follow(self, event: str) -> int:
        self.say(event)
        number: int = self.effects[-1].number
        self.hear(number, Accepted(params="{}", takes_params=False, key="id", ordered=True))
        return number

    def answer(self, *numbers: int) -> None:
        for number in numbers:
            self.hear(number, Answered(frames=(Frame.of(f"sync {number}"),), version=1))
        self.settle()

    def publish(self, number: int, frame: str, version: int = 2) -> None:
        self.hear(number, Published(frames=(Frame.of(frame),), version=version))

    def await_write(self, ref: int = 7) -> int:
        self.say("$await", token="t", ref=ref)
        effect = self.effects[-1]
        assert isinstance(effect, AwaitWrite), effect
        return effect.number

    def read(self) -> list[str]:
        """Return what is written, as far as the outbox has it; answers in short."""
        found: list[str] = []
        while True:
            frames = [item for item in self.session.next_frame() if isinstance(item, Frame)]
            if not frames:
                return [text for text in found if not text.startswith('{"event":"$subscribed"')]
            found += [frame.text for frame in frames]


SEEN = '{"event":"$seen","data":{"ref":7}}'


@pytest.fixture
def client() -> Client:
    return Client()


def test_it_is_told_behind_the_frames_that_brought_the_write(client: Client) -> None:
    number = client.follow("products")
    client.answer(number)
    client.read()
    write = client.await_write()
    client.publish(number, "delta")
    client.hear(write, Seen())
    client.settle()
    assert client.read() == ["delta", SEEN]


def test_it_is_told_at_once_where_nothing_is_on_its_way(client: Client) -> None:
    number = client.follow("products")
    client.answer(number)
    client.read()
    client.hear(client.await_write(), Seen())
    assert client.read() == [SEEN]
    assert client.session.settle_quietly()


def test_it_is_told_to_who_follows_nothing(client: Client) -> None:
    client.hear(client.await_write(), Seen())
    assert client.read() == [SEEN]


def test_it_waits_for_first_answers_and_their_pages(client: Client) -> None:
    number = client.follow("products")
    client.hear(client.await_write(), Seen())
    assert client.read() == []
    client.answer(number)
    assert client.read() == [f"sync {number}", SEEN]


def test_it_waits_for_a_slow_client_to_catch_up(client: Client) -> None:
    number = client.follow("products")
    client.answer(number)
    client.read()
    client.publish(number, "x" * 900)
    client.settle()
    client.publish(number, "y" * 900, version=3)
    client.hear(client.await_write(), Seen())
    client.settle()
    assert client.read() == ["x" * 900]
    client.answer(number)  # the net change
    assert client.read() == [f"sync {number}", SEEN]


def test_it_waits_for_what_is_gathered_and_finds_no_room(client: Client) -> None:
    client.say("$hello", want=["commit", "begin"])
    first, second = [client.follow(event) for event in ("products", "tags")]
    client.answer(first, second)
    client.read()
    client.publish(first, "x" * 900)
    client.settle()
    write = client.await_write()
    client.publish(second, "y" * 900)  # it is known where the state settles that it is too much
    client.hear(write, Seen())
    client.settle()
    assert SEEN not in client.read()
    client.answer(second)  # the net change
    assert client.read() == [f"sync {second}", SEEN]


def test_it_waits_for_nobody_who_has_left(client: Client) -> None:
    number = client.follow("products")
    client.hear(client.await_write(), Seen())
    client.hear(number, Rejected(code=Code.FORBIDDEN, detail="no"))
    assert client.read()[-1] == SEEN


def test_it_stands_behind_the_commit_mark(client: Client) -> None:
    client.say("$hello", want=["commit", "begin"])
    numbers = [client.follow(event) for event in ("products", "tags")]
    client.answer(*numbers)
    client.read()
    write = client.await_write()
    for number in numbers:
        client.publish(number, f"delta {number}")
    client.hear(write, Seen())
    assert SEEN not in client.read()[:1]
    client.settle()
    assert client.read()[-2:] == ['{"event":"$commit","data":{"state":"s"}}', SEEN]


def test_it_is_said_why_it_is_not_known(client: Client) -> None:
    write = client.await_write()
    client.hear(write, Rejected(code=Code.UNAVAILABLE, detail="not now"))
    (told,) = client.read()
    assert json.loads(told) == {
        "event": "$await",
        "data": {
            "action": "error",
            "ref": 7,
            "payload": {"code": "unavailable", "detail": "not now"},
        },
    }
    assert client.effects[-1] == Release(number=write)
    client.hear(write, Seen())  # late
    client.hear(write, Rejected(code=Code.UNAVAILABLE, detail="once more"))
    assert client.read() == []


def test_no_more_are_waited_for_than_there_may_be_subscriptions() -> None:
    client = Client(subscriptions=2)
    client.await_write()
    client.await_write()
    client.say("$await", token="t", ref=9)
    (told,) = client.read()
    assert json.loads(told)["data"]["payload"]["code"] == "unavailable"


@pytest.mark.parametrize("ends", [Seen(), Rejected(code=Code.UNAVAILABLE, detail="no"), None])
def test_its_time_limit_ends_with_it(client: Client, ends: Any) -> None:
    write, ended = client.await_write(), list[str]()
    client.session.limit_wait(write, lambda: ended.append("limit"))
    if ends is None:
        list(client.session.gone())
    else:
        client.hear(write, ends)
    assert ended == ["limit"]
    client.session.limit_wait(write, lambda: ended.append("late"))
    assert ended == ["limit"]


def test_whoever_is_gone_waits_for_none(client: Client) -> None:
    write = client.await_write()
    assert list(client.session.gone()) == [Release(number=write)]


@pytest.mark.parametrize("token", [None, 1, ["t"]])
def test_a_token_is_a_string(client: Client, token: object) -> None:
    client.say("$await", token=token, ref=7)
    (told,) = client.read()
    assert json.loads(told)["data"]["payload"]["code"] == "malformed"
