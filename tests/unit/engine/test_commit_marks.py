"""The marks behind the frames of one committed state, and what they wait for."""

from __future__ import annotations

import pytest

from bindserver.engine.events import Ended
from bindserver.engine.protocol import Code
from tests.unit.engine.talk import Talk

# Subscribing.


def two(*, wanted: bool = True) -> tuple[Talk, int, int]:
    talk = Talk()
    if wanted:
        talk.say("$hello", want=["commit"])
    return talk, talk.open("a"), talk.open("b")


def commit(talk: Talk, state: str, version: int, *numbers: int, size: int = 10) -> None:
    """One committed state touches these subscriptions."""
    for number in numbers:
        talk.publish(number, version, size=size)
    talk.perform(talk.session.committed(state))


def test_a_commit_mark_follows_the_last_frame_of_a_state() -> None:
    talk, a, b = two()
    commit(talk, "s", 6, a, b)
    assert talk.read() == "delta 6, delta 6, $commit"
    assert talk.data() == {"state": "s"}


def test_a_state_that_touched_one_subscription_has_no_mark() -> None:
    talk, a, _ = two()
    commit(talk, "s", 6, a)
    commit(talk, "t", 7, a)
    assert talk.read() == "delta 6, delta 7"


def test_who_did_not_ask_for_marks_gets_none() -> None:
    talk, a, b = two(wanted=False)
    commit(talk, "s", 6, a, b)
    assert talk.read() == "delta 6, delta 6"
    talk.say("$hello", want=["commit"])
    commit(talk, "t", 7, a)
    assert talk.read() == "delta 7"


def test_a_mark_waits_for_a_subscription_that_lags_and_comes_once() -> None:
    talk, a, b = two()
    commit(talk, "s", 6, a, b, size=900)
    assert talk.read() == "delta 6, catch up 2 from 5"
    commit(talk, "t", 7, a)
    assert talk.read() == "delta 7"
    talk.answer(b, 7, pages=2)
    talk.perform(talk.session.committed("t"))
    assert talk.read() == "page 1 of 7, page 2 of 7, $commit"
    assert talk.data() == {"state": "t"}
    assert talk.read() == ""


def test_a_mark_does_not_come_between_the_frames_of_the_next_state() -> None:
    talk, a, b = two()
    commit(talk, "s", 6, a, b, size=900)
    talk.read()
    talk.answer(b, 7)
    assert talk.read() == "answer 7"
    talk.publish(a, 7)
    talk.perform(talk.session.committed("t"))
    assert talk.read() == "delta 7, $commit"
    assert talk.data() == {"state": "t"}


@pytest.mark.parametrize("how", ["unsubscribed", "ended"])
def test_a_mark_does_not_wait_for_a_subscription_that_has_ended(how: str) -> None:
    talk, a, b = two()
    commit(talk, "s", 6, a, b, size=900)
    talk.read()
    if how == "ended":
        talk.hear(b, Ended(code=Code.REVOKED))
        assert talk.read() == "release 2, b disconnect revoked, $commit"
    else:
        talk.say("b", disconnect=True)
        talk.end()
        assert talk.read() == "ask 3, release 2, b disconnect, $commit"


def test_a_mark_waits_for_a_subscription_that_is_opened_again() -> None:
    talk, a, b = two()
    commit(talk, "s", 6, a, b, size=900)
    talk.read()
    talk.say("b")
    number = talk.accept()
    talk.perform(talk.session.committed("t"))
    assert talk.read() == "ask 3, release 2, $subscribed"
    talk.answer(number, 7)
    talk.perform(talk.session.committed("t"))
    assert talk.read() == "answer 7, $commit"


def test_a_mark_does_not_wait_for_a_subscription_that_may_never_load() -> None:
    talk, a, b = two()
    talk.say("c")
    talk.accept()
    talk.read()
    commit(talk, "s", 6, a, b)
    assert talk.read() == "delta 6, delta 6, $commit"
