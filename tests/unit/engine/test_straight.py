"""Frames that are written at once are those that a client would read who reads at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random

import pytest
from websockets.frames import Frame as WebSocketFrame
from websockets.frames import Opcode
from websockets.streams import StreamReader

from bindserver.engine.events import Answered, Ended, Published, Staled
from bindserver.engine.frames import SMALL_BYTES, Frame
from bindserver.engine.protocol import Code
from tests.unit.engine.talk import Talk


class StraightTalk(Talk):
    """Writes deltas at once where the session lets it.

    Attributes:
        passed: how many were.
    """

    def __init__(self) -> None:
        super().__init__()
        self.passed = 0

    def publish(self, number: int, version: int, size: int = 10) -> None:
        if self.session.pass_by(number, version):
            self.passed += 1
            self.log.append(f"delta {version}")
        else:
            super().publish(number, version, size)

    def commit(self, state: str) -> None:
        if not self.session.settle_quietly():
            super().commit(state)


class Script:
    """What happens to two connections alike, by chance."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.version = 5
        self.number = 0

    def step(self) -> Callable[[Talk], None]:
        """Return the next thing to do to both."""
        self.version += 1
        version, numbers = self.version, list(range(1, self.number + 1))
        some = self.chance.sample(numbers, min(len(numbers), self.chance.randrange(1, 4)))
        kind = self.chance.choice(
            ["opened", *["committed"] * 6, *["half"] * 2, "stale", "answered", "ended", "hello"]
        )
        if kind == "opened" and self.number < 8:
            self.number += 1
            event = f"event {self.number}"
            return lambda talk: self._open(talk, event)
        if kind in ("stale", "answered", "ended") and some:
            return partial(self._tell, kind, some[0], version, self.chance.randrange(1, 4))
        if kind == "hello":
            want = self.chance.choice([[], ["commit"], ["commit", "begin"]])
            return lambda talk: talk.say("$hello", want=want)
        return lambda talk: self._commit(talk, some, version, whole=kind != "half")

    @staticmethod
    def _open(talk: Talk, event: str) -> None:
        talk.say(event)
        number = talk.accept()
        talk.answer(number, 5)

    @staticmethod
    def _tell(kind: str, number: int, version: int, pages: int, talk: Talk) -> None:
        if kind == "stale":
            talk.hear(number, Staled(frame=Frame("stale", 5)))
        elif kind == "answered":
            talk.answer(number, version, pages)
        elif pages == 3:
            talk.hear(number, Ended(code=Code.REVOKED))

    @staticmethod
    def _commit(talk: Talk, numbers: list[int], version: int, *, whole: bool) -> None:
        for number in numbers:
            talk.publish(number, version)
        if whole:
            talk.commit(f"state {version}")


@pytest.mark.parametrize("seed", range(60))
def test_a_client_that_reads_at_once_reads_the_same_by_either_way(seed: int) -> None:
    usual, straight, script = Talk(), StraightTalk(), Script(seed)
    for _ in range(80):
        deed = script.step()
        for talk in (usual, straight):
            deed(talk)
        assert straight.read() == usual.read()
    assert straight.passed > 0


def test_nothing_passes_what_waits() -> None:
    talk = StraightTalk()
    number = talk.open()
    talk.say("$ping")
    assert not talk.session.pass_by(number, 6)
    talk.read()
    assert talk.session.pass_by(number, 6)


def test_nothing_passes_the_mark_that_must_stand_first() -> None:
    talk = StraightTalk()
    talk.say("$hello", want=["commit", "begin"])
    one, two = talk.open("a"), talk.open("b")
    talk.commit("opened")
    talk.read()
    assert not talk.session.pass_by(one, 6)
    talk.publish(one, 6)
    talk.publish(two, 6)
    talk.commit("s")
    assert talk.read() == "$begin, delta 6, delta 6, $commit"


def test_a_closed_conversation_lets_nothing_pass() -> None:
    talk = StraightTalk()
    number = talk.open()
    talk.perform(talk.session.gone())
    assert not talk.session.pass_by(number, 6)


def test_what_passed_counts_when_the_net_change_is_asked_for() -> None:
    talk = StraightTalk()
    number = talk.open()
    talk.publish(number, 6)
    Talk.publish(talk, number, 7, size=900)
    Talk.publish(talk, number, 8, size=900)
    assert talk.read() == "delta 6, delta 7, catch up 1 from 7"
    talk.hear(number, Answered(frames=(Frame("answer", 6),), version=8))
    talk.hear(number, Published(frames=(Frame("delta 9", 7),), version=9))
    assert talk.read() == "answer, catch up 1 from 8"


@pytest.mark.parametrize("size", [0, 1, 125, 126, 4096, 4097, 65535, 65536, 70000])
@pytest.mark.parametrize("letter", ["x", "é", "漢"])
def test_a_frame_on_the_wire_is_what_a_websocket_library_reads(size: int, letter: str) -> None:
    frame, reader = Frame.of(letter * size), StreamReader()
    reader.feed_data(frame.wire)
    parsing = WebSocketFrame.parse(reader.read_exact, mask=False, max_size=None)
    with pytest.raises(StopIteration) as parsed:
        next(parsing)
    read = parsed.value.value
    assert (read.opcode, read.fin, bytes(read.data)) == (Opcode.TEXT, True, frame.text.encode())
    assert (frame.wire is frame.wire) == (frame.size <= SMALL_BYTES)


def test_half_a_surrogate_pair_is_no_frame() -> None:
    with pytest.raises(UnicodeEncodeError):
        _ = Frame.of("\ud800").wire
