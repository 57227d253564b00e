"""Frames that are written at once are those that a client would read who reads at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random

import pytest
from websockets.frames import Frame as WebSocketFrame
from websockets.frames import Opcode
from websockets.streams import StreamReader

from bindserver.engine.events import Answered, Ended, Event, Published, Staled
from bindserver.engine.frames import BREATH_BYTES, Frame
from bindserver.engine.line import NOTHING
from bindserver.engine.protocol import Code
from tests.unit.engine.talk import Talk


class StraightTalk(Talk):
    """Writes deltas at once where the session lets it.

    Attributes:
        passed: how many were.
        sent: how many of these by the line, past the session.
    """

    def __init__(self) -> None:
        super().__init__()
        self.passed = self.sent = 0
        self._is_heard = False

    def publish(self, number: int, version: int, size: int = 10) -> None:
        line = self.session.line
        if line.carries == number and not self.is_behind:
            line.version = version
            self.sent += 1
        else:
            self._is_heard = True  # also where it passes
            if not self.session.pass_by(number, version):
                super().publish(number, version, size)
                return
        self.passed += 1
        self.log.append(f"delta {version}")

    def hear(self, number: int, event: Event) -> None:
        self._is_heard |= isinstance(event, (Answered, Published))
        super().hear(number, event)

    def open(self, event: str = "products") -> int:
        number = super().open(event)
        self.commit("opened")
        return number

    def read(self, count: int = 1000) -> str:
        told = super().read(count)
        self.session.open_line()
        return told

    def commit(self, state: str) -> None:
        if self._is_heard and not self.session.settle_quietly():
            super().commit(state)
        self._is_heard = False
        self.session.open_line()


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
        talk.is_behind = not whole
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


def test_clients_of_one_subscription_are_written_to_past_their_session() -> None:
    talk = StraightTalk()
    number = talk.open()
    for version in range(6, 30):
        talk.publish(number, version)
        talk.commit(f"state {version}")
    assert talk.sent >= 23


def test_a_line_is_closed_by_whatever_is_said_and_open_when_it_is_written() -> None:
    talk = StraightTalk()
    number = talk.open()
    deeds: list[Callable[[], None]] = [
        lambda: talk.say("$ping"),
        lambda: talk.hear(number, Staled(frame=Frame("stale", 5))),
        lambda: talk.answer(number, 7),
        lambda: Talk.publish(talk, number, 8),
        lambda: talk.perform(talk.session.authenticated(None, None)),
        lambda: talk.perform(talk.session.not_authenticated("no", None)),
    ]
    for deed in deeds:
        assert talk.session.line.carries == number
        deed()
        assert talk.session.line.carries == NOTHING
        talk.session.open_line()
        assert talk.session.line.carries == NOTHING, "something waits"
        talk.commit("s")
        talk.read()


def test_a_line_is_closed_before_a_second_subscription_and_its_marks() -> None:
    talk = StraightTalk()
    one = talk.open("a")
    assert talk.session.line.carries == one
    talk.say("b")
    talk.accept()
    talk.read()
    assert talk.session.line.carries == NOTHING


def test_where_the_line_has_come_counts_when_the_net_change_is_asked_for() -> None:
    talk = StraightTalk()
    number = talk.open()
    talk.publish(number, 6)
    assert talk.sent == 1
    talk.told()
    Talk.publish(talk, number, 7, size=900)
    Talk.publish(talk, number, 8, size=900)
    assert talk.read() == "delta 7, catch up 1 from 7"


def test_where_a_stopped_line_has_come_counts_too() -> None:
    talk = StraightTalk()
    number = talk.open()
    talk.publish(number, 6)
    talk.session.line.stop()  # the socket takes no more
    talk.told()
    Talk.publish(talk, number, 7, size=900)
    Talk.publish(talk, number, 8, size=900)
    assert talk.read() == "delta 7, catch up 1 from 7"
    talk.perform(talk.session.gone())
    talk.session.open_line()
    assert talk.session.line.carries == NOTHING


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
    assert (frame.wire is frame.wire) == (frame.size <= BREATH_BYTES)


def test_half_a_surrogate_pair_is_no_frame() -> None:
    with pytest.raises(UnicodeEncodeError):
        _ = Frame.of("\ud800").wire
