"""Every state of a subscription by everything that can happen to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import pytest

from bindserver.engine.events import (
    Accepted,
    Answered,
    Arrived,
    Ended,
    Event,
    Published,
    Rejected,
    Seen,
    Staled,
    Unsubscribed,
)
from bindserver.engine.frames import Frame
from bindserver.engine.protocol import Code
from bindserver.engine.session import Session
from bindserver.engine.subscription import SubscriptionState
from tests.unit.engine.talk import Talk

ABSENT = None
OPENING, PAGING, LIVE, LAZY = SubscriptionState

Input = Callable[[Talk], None]


def subscribed_again(talk: Talk) -> None:
    talk.say("products")
    talk.accept()


def unsubscribed(talk: Talk) -> None:
    talk.say("products", disconnect=True)
    talk.end()


def refused(talk: Talk) -> None:
    talk.say("products", ref=1)
    talk.refuse(Code.INVALID_PARAMS)


def refused_late(talk: Talk) -> None:
    talk.hear(1, Rejected(code=Code.INTERNAL, detail="the server failed; reference 1"))


def answered(talk: Talk) -> None:
    talk.answer(1, 8)


def published(talk: Talk) -> None:
    talk.publish(1, 8)


def passed_by(talk: Talk) -> None:
    if talk.session.pass_by(1, 8):
        talk.log.append("written")


def published_without_room(talk: Talk) -> None:
    talk.publish(1, 8, size=900)
    talk.publish(1, 9, size=900)


def arrived(talk: Talk) -> None:
    talk.hear(1, Arrived())


def stale(talk: Talk) -> None:
    talk.hear(1, Staled(frame=Frame("stale", 10)))


def ended(talk: Talk) -> None:
    talk.hear(1, Ended(code=Code.TOO_LARGE))


def one_page_written(talk: Talk) -> None:
    talk.log[:] = [talk.read(1)]


def drained(talk: Talk) -> None:
    talk.log[:] = [talk.read()]


def gone(talk: Talk) -> None:
    talk.perform(talk.session.gone())


def all_ended(talk: Talk) -> None:
    talk.perform(talk.session.end_all(Code.REVOKED))


INPUTS: dict[Input, type[Event] | str] = {
    subscribed_again: Accepted,
    unsubscribed: Unsubscribed,
    refused: Rejected,
    refused_late: Rejected,
    answered: Answered,
    published: Published,
    passed_by: "pass_by",
    published_without_room: Published,
    arrived: Arrived,
    stale: Staled,
    ended: Ended,
    one_page_written: "next_frame",
    drained: "next_frame",
    gone: "gone",
    all_ended: "end_all",
}
"""The inputs, and which event or which of the session's methods each of them is."""

OF_THE_CONNECTION: set[object] = {
    Seen,
    "ask",
    "authenticated",
    "committed",
    "has_work",
    "limit_wait",
    "is_lazy",
    "line",
    "open_line",
    "not_authenticated",
    "rate_limited",
    "receive",
    "receive_binary",
    "reconsider",
    "settle_quietly",
    "subscriptions",
    "waiting",
}
"""What concerns no single subscription; `test_session` has these."""

Cell = tuple[SubscriptionState | None, str, str]
"""The newest subscription's state after the input, what happened, and what the client then reads
when it reads all there is."""

CELLS: dict[Input, dict[SubscriptionState | None, Cell]] = {
    subscribed_again: {
        ABSENT: (OPENING, "ask 1", "$subscribed"),
        OPENING: (OPENING, "ask 2, release 1", "$subscribed"),
        PAGING: (OPENING, "ask 2, release 1", "$subscribed"),
        LIVE: (OPENING, "ask 2, release 1", "$subscribed"),
        LAZY: (OPENING, "ask 2, release 1", "delta 6, $subscribed"),
    },
    unsubscribed: {
        ABSENT: (ABSENT, "ask 1", "products disconnect"),
        OPENING: (ABSENT, "ask 2, release 1", "products disconnect"),
        PAGING: (ABSENT, "ask 2, release 1", "products disconnect"),
        LIVE: (ABSENT, "ask 2, release 1", "products disconnect"),
        LAZY: (ABSENT, "ask 2, release 1", "delta 6, products disconnect"),
    },
    refused: {
        ABSENT: (ABSENT, "ask 1", "products error invalid_params"),
        OPENING: (OPENING, "ask 2", "products error invalid_params"),
        PAGING: (PAGING, "ask 2", "products error invalid_params, page 2 of 5"),
        LIVE: (LIVE, "ask 2", "products error invalid_params"),
        LAZY: (LAZY, "ask 2", "delta 6, products error invalid_params, catch up 1 from 6"),
    },
    refused_late: {
        ABSENT: (ABSENT, "", ""),
        **dict.fromkeys(
            (OPENING, PAGING, LIVE),
            (ABSENT, "release 1", "products error internal, products disconnect internal"),
        ),
        LAZY: (
            ABSENT,
            "release 1",
            "delta 6, products error internal, products disconnect internal",
        ),
    },
    answered: {
        ABSENT: (ABSENT, "", ""),
        OPENING: (PAGING, "", "answer 8"),
        PAGING: (PAGING, "", "answer 8"),
        LIVE: (PAGING, "", "answer 8"),
        LAZY: (PAGING, "", "delta 6, answer 8"),
    },
    published: {
        ABSENT: (ABSENT, "", ""),
        OPENING: (OPENING, "", ""),
        PAGING: (PAGING, "", "page 2 of 5, catch up 1 from 5"),
        LIVE: (LIVE, "", "delta 8"),
        LAZY: (LAZY, "", "delta 6, catch up 1 from 6"),
    },
    passed_by: {
        ABSENT: (ABSENT, "", ""),
        OPENING: (OPENING, "", ""),
        PAGING: (PAGING, "", "page 2 of 5"),
        LIVE: (LIVE, "written", ""),
        LAZY: (LAZY, "", "delta 6, catch up 1 from 6"),
    },
    published_without_room: {
        ABSENT: (ABSENT, "", ""),
        OPENING: (OPENING, "", ""),
        PAGING: (PAGING, "", "page 2 of 5, catch up 1 from 5"),
        LIVE: (LAZY, "", "delta 8, catch up 1 from 8"),
        LAZY: (LAZY, "", "delta 6, catch up 1 from 6"),
    },
    arrived: {
        ABSENT: (ABSENT, "", ""),
        OPENING: (OPENING, "", ""),
        PAGING: (PAGING, "", "page 2 of 5"),
        LIVE: (LIVE, "", ""),
        LAZY: (LAZY, "", "delta 6, catch up 1 from 6"),
    },
    stale: {
        ABSENT: (ABSENT, "", ""),
        OPENING: (OPENING, "", "stale"),
        PAGING: (PAGING, "", "page 2 of 5, stale"),
        LIVE: (LIVE, "", "stale"),
        LAZY: (LAZY, "", "delta 6, stale, catch up 1 from 6"),
    },
    ended: {
        ABSENT: (ABSENT, "", ""),
        OPENING: (ABSENT, "release 1", "products disconnect too_large"),
        PAGING: (ABSENT, "release 1", "products disconnect too_large"),
        LIVE: (ABSENT, "release 1", "products disconnect too_large"),
        LAZY: (ABSENT, "release 1", "delta 6, products disconnect too_large"),
    },
    one_page_written: {
        ABSENT: (ABSENT, "", ""),
        OPENING: (OPENING, "", ""),
        PAGING: (PAGING, "page 2 of 5", ""),
        LIVE: (LIVE, "", ""),
        LAZY: (LAZY, "delta 6", "catch up 1 from 6"),
    },
    drained: {
        ABSENT: (ABSENT, "", ""),
        OPENING: (OPENING, "", ""),
        PAGING: (LIVE, "page 2 of 5", ""),
        LIVE: (LIVE, "", ""),
        LAZY: (LAZY, "delta 6, catch up 1 from 6", ""),
    },
    gone: {
        ABSENT: (ABSENT, "", ""),
        OPENING: (ABSENT, "release 1", ""),
        PAGING: (ABSENT, "release 1", ""),
        LIVE: (ABSENT, "release 1", ""),
        LAZY: (ABSENT, "release 1", ""),
    },
    all_ended: {
        ABSENT: (ABSENT, "", ""),
        OPENING: (ABSENT, "release 1", "products disconnect revoked"),
        PAGING: (ABSENT, "release 1", "products disconnect revoked"),
        LIVE: (ABSENT, "release 1", "products disconnect revoked"),
        LAZY: (ABSENT, "release 1", "delta 6, products disconnect revoked"),
    },
}


def talk_in(state: SubscriptionState | None) -> Talk:
    """Return a talk whose subscription 1 is in a state, with as much as can be already read."""
    talk = Talk()
    if state in (LIVE, LAZY):
        talk.open()
    elif state is not ABSENT:
        talk.say("products")
        talk.accept()
        talk.read()
    if state is PAGING:
        talk.answer(1, 5, pages=2)
        talk.read(1)
    elif state is LAZY:
        talk.slow_down(1)
    talk.told()
    assert talk.state(1) is state
    return talk


def newest(talk: Talk) -> SubscriptionState | None:
    return talk.state(max(talk.session.subscriptions, default=0))


@pytest.mark.parametrize(
    "state", [ABSENT, *SubscriptionState], ids=lambda state: state.value if state else "absent"
)
@pytest.mark.parametrize("happens", INPUTS, ids=lambda happens: happens.__name__)
def test_what_happens(happens: Input, state: SubscriptionState | None) -> None:
    talk = talk_in(state)
    happens(talk)
    happened, after = ", ".join(filter(None, talk.log)), newest(talk)
    talk.told()
    assert (after, happened, talk.read()) == CELLS[happens][state]


def test_every_state_and_input_has_a_cell() -> None:
    assert set(CELLS) == set(INPUTS)
    for happens, row in CELLS.items():
        assert set(row) == {ABSENT, *SubscriptionState}, happens.__name__


def test_all_that_a_session_takes_is_an_input_of_the_table_or_concerns_no_subscription() -> None:
    methods = {name for name in vars(Session) if not name.startswith("_")}
    taken = {*get_args(Event), *(methods - {"hear"})}
    assert taken == set(INPUTS.values()) | OF_THE_CONNECTION
