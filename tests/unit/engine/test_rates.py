"""Who says too much: what is refused is named, and leaving never is."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from bindserver.engine.effects import Ask, Close, Effect
from bindserver.engine.events import Accepted, Event, Unsubscribed
from bindserver.engine.frames import Frame
from bindserver.engine.intake import MESSAGE_BYTES
from bindserver.engine.limits import Limits
from bindserver.engine.protocol import Subscribe
from bindserver.engine.session import Session
from tests.unit.engine.talk import Talk
from tests.unit.engine.tools import vectors

ROOMY = {"outbox_bytes": 1_000_000}


@pytest.mark.parametrize("case", vectors("refusals.json"), ids=lambda case: case["name"])
def test_a_refusal_for_the_rate_names_what_it_refuses(case: dict[str, Any]) -> None:
    talk = Talk(messages_burst=1, messages_per_second=0.1)
    talk.say("$ping", after=0)
    assert talk.read() == "$pong"
    talk.text(case["text"], after=0)
    if case["refused"] is None:
        assert talk.read() == "ask 1"
        return
    told = json.loads(_only_frame(talk).text)
    event, named = case["refused"]["event"], dict(case["refused"])
    del named["event"]
    payload = {"code": "rate_limited", "detail": "too many messages; slow down"}
    assert told == {"event": event, "data": {"action": "error", **named, "payload": payload}}


def _only_frame(talk: Talk) -> Frame:
    before = len(talk.frames)
    talk.read()
    (frame,) = talk.frames[before:]
    return frame


def test_what_is_malformed_beyond_the_rate_is_not_held_against_the_client_twice() -> None:
    talk = Talk(messages_burst=3, messages_per_second=0.1, malformed=2)
    for _ in range(3):
        talk.say("$ping", after=0)
    talk.read()
    for _ in range(3):
        talk.text("no json", after=0)
    assert talk.read() == ", ".join(["$error error rate_limited"] * 3)


def test_a_big_message_counts_as_many() -> None:
    talk = Talk(messages_burst=10, messages_per_second=1.0, **ROOMY)
    big = "x" * (4 * MESSAGE_BYTES)
    for _ in range(3):
        talk.say("$ping", after=0, ref=big)
    assert talk.read() == "$pong, $pong, $error error rate_limited"
    talk.say("$ping", after=3)
    assert talk.read() == "$pong", "small ones have room while it refills"


def test_one_message_may_be_as_big_as_messages_may_be_however_small_the_allowance() -> None:
    talk = Talk(messages_burst=2, messages_per_second=1.0, **ROOMY)
    big = "x" * (20 * MESSAGE_BYTES)
    heard = []
    for after in (0, 1, 1):
        talk.say("$ping", after=after, ref=big)
        heard.append(talk.read())
    assert heard == ["$pong", "$error error rate_limited", "$pong"]


def test_who_goes_on_with_big_messages_is_closed_after_a_few() -> None:
    talk = Talk(messages_burst=10, messages_per_second=0.1, **ROOMY)
    for _ in range(6):
        talk.say("products", after=0, held=["x" * 100] * 2000)
    assert "close 4429" in talk.read()


# Leaving.


def leave(talk: Talk, event: str = "products") -> None:
    talk.say(event, after=0, disconnect=True, ref="leave")


def test_whoever_may_say_no_more_may_leave_all_that_it_holds() -> None:
    talk = Talk(messages_burst=100, messages_per_second=1.0, subscriptions=100, **ROOMY)
    for number in range(90):
        talk.say("products", after=0, params={"n": number})
        talk.accept({"n": number})
    for _ in range(30):
        talk.say("$ping", after=0)
    talk.read()
    for number in range(90):
        talk.say("products", after=0, params={"n": number}, disconnect=True, ref=number)
        talk.end({"n": number})
    assert "rate_limited" not in talk.read()
    assert not talk.session.subscriptions


def test_a_leave_that_is_repeated_for_ever_closes_in_the_end() -> None:
    talk = Talk(messages_burst=5, messages_per_second=1.0, subscriptions=2, **ROOMY)
    talk.open()
    for _ in range(5 + 2 * 2):
        leave(talk)
        talk.end()
    assert "rate_limited" not in (said := talk.read())
    assert "close" not in said
    leave(talk)
    assert talk.told() == "close 4429"


def test_leaves_that_nobody_answers_yet_close_too() -> None:
    talk = Talk(messages_burst=5, messages_per_second=1.0, subscriptions=2, **ROOMY)
    for _ in range(10):
        leave(talk)
    assert talk.told().endswith("close 4429")


def test_to_leave_what_is_not_held_costs_a_message() -> None:
    talk = Talk(messages_burst=2, messages_per_second=0.1, **ROOMY)
    for _ in range(2):
        leave(talk)
        talk.end()
    talk.say("$ping", after=0)
    assert talk.read().endswith("$error error rate_limited")


def test_to_leave_what_is_held_costs_nothing() -> None:
    talk = Talk(messages_burst=2, messages_per_second=0.1, **ROOMY)
    talk.say("products", after=0)
    talk.accept()
    leave(talk)
    talk.end()
    talk.say("$ping", after=0)
    assert talk.read().endswith("products disconnect, $pong")


def test_who_leaves_in_time_may_do_so_for_ever() -> None:
    talk = Talk(messages_burst=5, messages_per_second=1.0, subscriptions=2, **ROOMY)
    for _ in range(100):
        talk.say("products", after=1)
        talk.accept()
        leave(talk)
        talk.end()
        assert talk.read().endswith("products disconnect")


def test_all_that_is_held_may_be_left_and_as_much_be_asked_for_before_an_answer() -> None:
    talk = Talk(subscriptions=3, **ROOMY)
    for event in "abc":
        talk.open(event)
    for event in "abc":
        talk.say(event, disconnect=True)
    for event in "def":
        talk.say(event)
    assert talk.told() == "ask 4, ask 5, ask 6, ask 7, ask 8, ask 9"


def test_leaves_that_wait_for_an_answer_are_bounded() -> None:
    talk = Talk(subscriptions=2, **ROOMY)
    for _ in range(5):
        talk.say("a", disconnect=True, ref=1)
    assert talk.read() == "ask 1, ask 2, ask 3, ask 4, a error too_many_subscriptions"


class Crowd:
    """A session, a hub that takes its time, and a client that believes what it is told.

    Args:
        honest: whether the client leaves only what it has asked for.
    """

    def __init__(self, seed: int, *, honest: bool) -> None:
        self.chance = Random(seed)
        self.honest = honest
        limits = Limits(
            messages_per_second=5.0, messages_burst=8.0, subscriptions=4, outbox_bytes=1_000_000
        )
        self.session = Session(limits)
        self.now = 0.0
        self.asked: list[Ask] = []
        self.said = 0
        self.unanswered: dict[int, tuple[str, bool]] = {}
        self.wanted: set[str] = set()
        self.believed: set[str] = set()
        self.closed = False

    def run(self) -> None:
        for _ in range(150):
            deeds = [self.say, self.serve, self.read, self.wait]
            self.chance.choices(deeds, [5, 5, 5, 2])[0]()
            if self.closed:
                return
        while self.asked:
            self.serve()
        while self.read():
            pass

    def say(self) -> None:
        """Ask for something or leave it, without waiting for any answer."""
        event, leaves = self.chance.choice("abcdef"), self.chance.random() < 0.5
        if leaves and self.honest and event not in self.wanted:
            return
        self.wanted = self.wanted - {event} if leaves else self.wanted | {event}
        self.said += 1
        self.unanswered[self.said] = (event, leaves)
        data = {"ref": self.said} | ({"disconnect": True} if leaves else {})
        text = json.dumps({"event": event, "data": data})
        for effect in self.session.receive(text, self.now):
            self.take(effect)

    def wait(self) -> None:
        self.now += self.chance.random()

    def take(self, effect: Effect) -> None:
        if isinstance(effect, Ask):
            self.asked.append(effect)
        elif isinstance(effect, Close):
            self.closed = True

    def serve(self) -> None:
        """Let the hub answer what was said first."""
        if not self.asked:
            return
        ask = self.asked.pop(0)
        if isinstance(ask.message, Subscribe):
            event: Event = Accepted(params="{}", takes_params=False, key="id", ordered=True)
        else:
            event = Unsubscribed(params="{}", takes_params=False)
        for effect in self.session.hear(ask.number, event):
            self.take(effect)

    def read(self) -> bool:
        frames = [item for item in self.session.next_frame() if isinstance(item, Frame)]
        for frame in frames:
            message = json.loads(frame.text)
            self.hear(message["event"], message["data"])
        return bool(frames)

    def hear(self, event: str, data: dict[str, Any]) -> None:
        asked, leaves = self.unanswered.pop(data["ref"])
        if event == "$subscribed":
            self.believed.add(asked)
        elif data["action"] == "disconnect":
            self.believed.discard(asked)
        else:
            assert event == asked
            if leaves:
                assert data["payload"]["code"] != "rate_limited"
                assert not self.honest, "who leaves what it has asked for is never refused"


@pytest.mark.parametrize("honest", [True, False])
def test_whatever_is_asked_and_left_the_server_holds_what_the_client_believes(honest: bool) -> None:
    closed = 0
    for seed in range(300):
        crowd = Crowd(seed, honest=honest)
        crowd.run()
        closed += crowd.closed
        if not crowd.closed:
            assert not crowd.unanswered, (seed, "something was never answered")
            held = {subscription.event for subscription in crowd.session.subscriptions.values()}
            assert held == crowd.believed, seed
    assert closed < 100, "nearly all were shown the door: that says little"
