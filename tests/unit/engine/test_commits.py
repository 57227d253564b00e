"""Marks before and behind: a client that waits between them never shows half a transaction."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from bindserver.engine.effects import CatchUp
from bindserver.engine.events import Answered, Ended, Published, Staled
from bindserver.engine.frames import Frame
from bindserver.engine.protocol import Code
from tests.unit.engine.talk import ROOM, Talk


def talk_of(*events: str) -> tuple[Talk, list[int]]:
    talk = Talk()
    talk.say("$hello", want=["commit", "begin"])
    numbers = []
    for event in events:
        talk.say(event)
        numbers.append(talk.accept())
        talk.answer(numbers[-1], 5)
        talk.perform(talk.session.committed("opened"))
    talk.read()
    return talk, numbers


def commit(talk: Talk, state: str, version: int, *numbers: int, size: int = 10) -> None:
    for number in numbers:
        talk.publish(number, version, size=size)
    talk.perform(talk.session.committed(state))


def test_frames_of_one_state_stand_between_two_marks() -> None:
    talk, (a, b) = talk_of("a", "b")
    commit(talk, "s", 6, a, b)
    assert talk.read() == "$begin, delta 6, delta 6, $commit"


def test_a_state_that_touched_one_subscription_has_no_marks() -> None:
    talk, (a, _) = talk_of("a", "b")
    commit(talk, "s", 6, a)
    commit(talk, "t", 7, a)
    assert talk.read() == "delta 6, delta 7"


def test_who_wants_the_mark_behind_alone_gets_it_alone() -> None:
    talk = Talk()
    talk.say("$hello", want=["commit"])
    commit(talk, "s", 6, talk.open("a"), talk.open("b"))
    assert talk.read() == "delta 6, delta 6, $commit"


def test_one_subscription_waits_for_nothing() -> None:
    talk, (a,) = talk_of("a")
    talk.publish(a, 6)
    assert talk.read() == "delta 6"


def test_a_writer_in_the_midst_of_a_state_marks_it_and_goes_on() -> None:
    talk, (a, b) = talk_of("a", "b")
    talk.publish(a, 6)
    assert talk.session.has_work()
    assert talk.read() == "$begin, delta 6"
    talk.publish(b, 6)
    talk.perform(talk.session.committed("s"))
    assert talk.read() == "delta 6, $commit"


def test_what_was_marked_too_soon_has_its_mark_behind_too() -> None:
    talk, (a, _) = talk_of("a", "b")
    talk.publish(a, 6)
    assert talk.read() == "$begin, delta 6"
    talk.perform(talk.session.committed("s"))
    assert talk.read() == "$commit"


def test_a_first_answer_follows_the_deltas_of_its_state() -> None:
    talk, (a,) = talk_of("a")
    talk.say("b")
    b = talk.accept()
    talk.read()
    talk.answer(b, 6)
    talk.publish(a, 6)
    talk.perform(talk.session.committed("s"))
    assert talk.read() == "delta 6, answer 6"


def test_two_states_that_nobody_settled_are_not_gathered_without_end() -> None:
    talk, (a, _) = talk_of("a", "b")
    talk.publish(a, 6)
    talk.publish(a, 7)
    assert talk.read() == "$begin, delta 6, delta 7"


def test_stale_does_not_overtake_a_delta() -> None:
    talk, (a, _) = talk_of("a", "b")
    talk.publish(a, 6)
    talk.hear(a, Staled(frame=Frame.of("stale a")))
    assert talk.read() == "$begin, delta 6, stale a"


def test_nothing_gathered_follows_an_end() -> None:
    talk, (a, b) = talk_of("a", "b")
    talk.publish(a, 6)
    talk.publish(b, 6)
    talk.hear(a, Ended(code=Code.REVOKED))
    talk.perform(talk.session.committed("s"))
    assert talk.read() == "release 1, a disconnect revoked, $begin, delta 6, $commit"


class Client:
    """Three subscriptions of a slow client, which looks at its copy wherever no mark is open.

    A state's number is the version of the views that it touches.
    """

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.talk, self.numbers = talk_of("a", "b", "c")
        self.touched: dict[int, list[int]] = {}
        self.newest = dict.fromkeys(self.numbers, 5)
        self.shown = dict.fromkeys(self.numbers, 5)
        self.state = 5
        self.begun = False
        self.requests: list[int] = []

    def write(self) -> None:
        self.state += 1
        touched = self.chance.sample(self.numbers, self.chance.choice([1, 1, 2, 3]))
        self.touched[self.state] = touched
        served = self.requests if self.chance.random() < 0.5 else []
        for number in touched:
            self.newest[number] = self.state
            size = self.chance.choice([20, ROOM // 3])
            self.talk.hear(
                number, Published(frames=(frame(number, self.state, size),), version=self.state)
            )
            if self.chance.random() < 0.2:
                self.read()
        self.answer(served)
        self.talk.perform(self.talk.session.committed(str(self.state)))

    def answer(self, requests: list[int]) -> None:
        for number in requests:
            version = self.newest[number]
            self.talk.hear(number, Answered(frames=(frame(number, version, 20),), version=version))
        requests.clear()

    def serve(self) -> None:
        if self.requests:
            self.answer(self.requests)
            self.talk.perform(self.talk.session.committed(str(self.state)))

    def read(self) -> bool:
        for item in self.talk.session.next_frame():
            if isinstance(item, Frame):
                self.take(json.loads(item.text))
                return True
            if isinstance(item, CatchUp):
                self.requests.append(item.number)
        return False

    def take(self, message: dict[str, Any]) -> None:
        match message["event"]:
            case "$begin":
                assert not self.begun
                self.begun = True
            case "$commit":
                self.begun = False
            case "shared":
                self.shown[message["data"]["number"]] = message["data"]["version"]
        if not self.begun:
            self.look()

    def look(self) -> None:
        for state, touched in self.touched.items():
            seen = {self.shown[number] >= state for number in touched}
            assert len(seen) == 1, f"half of state {state}"


def frame(number: int, version: int, size: int) -> Frame:
    data = {"number": number, "version": version, "filling": "x" * size}
    return Frame.of(json.dumps({"event": "shared", "data": data}))


@pytest.mark.parametrize("seed", range(40))
def test_a_client_that_waits_between_marks_never_shows_half_a_state(seed: int) -> None:
    client = Client(seed)
    for _ in range(80):
        client.chance.choices([client.write, client.read, client.serve], [4, 8, 2])[0]()
    while client.requests or client.read() or client.requests:
        client.serve()
    assert client.shown == client.newest
    assert not client.begun
