"""One client's conversation, beside the table of states."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bindserver.engine.events import Answered, Ended, Rejected, Staled
from bindserver.engine.frames import Frame
from bindserver.engine.intake import FAILED_PROOF_COST
from bindserver.engine.protocol import Code
from bindserver.engine.subscription import SubscriptionState
from tests.unit.engine.talk import ROOM, Talk

# Subscribing.


def test_a_subscription_is_accepted_before_its_first_answer() -> None:
    talk = Talk()
    talk.say("products", ref=7)
    number = talk.accept()
    talk.answer(number, 5)
    assert talk.read() == "ask 1, $subscribed, answer 5"
    told = json.loads(talk.frames[0].text)["data"]
    assert told == {"ref": 7, "event": "products", "params": {}, "key": "id", "ordered": True}


def test_an_answer_waits_for_all_that_was_said_before_it() -> None:
    talk = Talk()
    number = talk.open()
    for version in (6, 7):
        talk.publish(number, version)
    talk.say("orders")
    talk.answer(talk.accept(), 1)
    assert talk.read() == "ask 2, delta 6, delta 7, $subscribed, answer 1"


def test_old_frames_never_follow_a_new_answer() -> None:
    talk = Talk()
    number = talk.open()
    talk.publish(number, 6)
    talk.answer(number, 7)
    assert talk.read() == "delta 6, answer 7"


def test_the_same_event_with_other_params_is_another_subscription() -> None:
    talk = Talk()
    for category in (1, 2, 1):
        talk.say("products", params={"category": category})
        talk.accept({"category": category})
    assert talk.told() == "ask 1, ask 2, ask 3, release 1"
    assert sorted(talk.session.subscriptions) == [2, 3]


def test_subscribing_again_replaces_the_older_subscription() -> None:
    talk = Talk()
    older = talk.open()
    talk.say("products")
    newer = talk.accept()
    talk.publish(older, 6)
    talk.answer(older, 6)
    talk.answer(newer, 7)
    assert talk.read() == "ask 2, release 1, $subscribed, answer 7"
    assert list(talk.session.subscriptions) == [newer]


def test_a_subscription_that_was_unsubscribed_may_be_opened_again() -> None:
    talk = Talk()
    number = talk.open()
    talk.publish(number, 6)
    talk.say("products", disconnect=True)
    talk.end()
    talk.say("products")
    talk.answer(talk.accept(), 7)
    assert talk.read() == (
        "ask 2, release 1, ask 3, delta 6, products disconnect, $subscribed, answer 7"
    )


def test_an_end_carries_the_ref_and_the_params() -> None:
    talk = Talk()
    talk.say("products", params={"b": 1})
    talk.accept({"b": 1})
    talk.say("products", params={"b": 1}, disconnect=True, ref="r")
    talk.end({"b": 1})
    talk.read()
    assert talk.data() == {"action": "disconnect", "ref": "r", "params": {"b": 1}}


def test_a_refusal_carries_the_ref_and_the_params() -> None:
    talk = Talk()
    talk.say("products", params={"b": 1}, ref="r")
    talk.refuse(Code.FORBIDDEN)
    talk.read()
    assert talk.data() == {
        "action": "error",
        "ref": "r",
        "params": {"b": 1},
        "payload": {"code": "forbidden", "detail": "no"},
    }


def test_an_answer_to_what_was_never_asked_is_released_or_passed_over() -> None:
    talk = Talk()
    assert talk.accept() == 0
    talk.end()
    talk.refuse(Code.INTERNAL)
    assert talk.read() == "release 0"


@pytest.mark.parametrize("late", ["accepted", "ended", "published", "answered"])
def test_a_released_number_is_dead(late: str) -> None:
    talk = Talk()
    number = talk.open()
    talk.hear(number, Ended(code=Code.REVOKED))
    assert talk.read() == "release 1, products disconnect revoked"
    match late:
        case "accepted":
            talk.accept()
            assert talk.told() == "release 1"
        case "ended":
            talk.hear(number, Ended(code=Code.REVOKED))
        case "published":
            talk.publish(number, 6)
        case "answered":
            talk.answer(number, 6, pages=3)
    assert talk.read() == ""


def test_nothing_follows_the_end_of_a_subscription() -> None:
    talk = Talk()
    number = talk.open()
    talk.answer(number, 6, pages=4)
    assert talk.read(1) == "page 1 of 6"
    talk.publish(number, 7)
    talk.hear(number, Staled(frame=Frame("stale", 5)))
    talk.hear(number, Ended(code=Code.EXPIRED))
    talk.publish(number, 8)
    talk.hear(number, Staled(frame=Frame("stale", 5)))
    assert talk.read() == "release 1, products disconnect expired"


def test_there_are_only_so_many_subscriptions() -> None:
    talk = Talk(subscriptions=2)
    talk.open("a")
    talk.open("b")
    talk.say("c", ref=3, params={"x": 1})
    talk.accept({"x": 1})
    assert talk.read() == "ask 3, release 3, c error too_many_subscriptions"
    assert (talk.data()["ref"], talk.data()["params"]) == (3, {"x": 1})
    talk.say("b")
    talk.accept()
    assert talk.read() == "ask 4, release 2, $subscribed"


def test_only_so_many_questions_wait_for_an_answer() -> None:
    talk = Talk(subscriptions=1)
    for event in ("a", "b", "c"):
        talk.say(event)
    assert talk.read() == "ask 1, ask 2, c error too_many_subscriptions"


def test_who_has_all_subscriptions_can_still_end_them() -> None:
    talk = Talk(subscriptions=1)
    talk.open("a")
    talk.say("a", disconnect=True)
    talk.end()
    assert talk.read() == "ask 2, release 1, a disconnect"


# Slow clients.


def test_a_slow_client_turns_lazy_and_gets_one_net_change() -> None:
    talk = Talk()
    number = talk.open()
    talk.slow_down(number)
    for version in range(8, 20):
        talk.publish(number, version)
    assert talk.state(number) is SubscriptionState.LAZY
    assert talk.read() == "delta 6, catch up 1 from 6"
    talk.publish(number, 20)
    talk.answer(number, 20)
    assert talk.read() == "answer 20"
    assert talk.state(number) is SubscriptionState.LIVE
    talk.publish(number, 21, size=900)
    talk.publish(number, 22, size=900)
    assert talk.read() == "delta 21, catch up 1 from 21"


def test_a_net_change_is_asked_for_once() -> None:
    talk = Talk()
    number = talk.open()
    talk.slow_down(number)
    assert talk.session.has_work()
    talk.read()
    assert not talk.session.has_work()
    assert talk.read() == ""


def test_a_net_change_of_nothing_leads_on_too() -> None:
    talk = Talk()
    number = talk.open()
    talk.slow_down(number)
    talk.read()
    talk.hear(number, Answered(frames=(), version=9))
    assert talk.session.has_work()
    assert talk.read() == ""
    assert talk.state(number) is SubscriptionState.LIVE


def test_what_comes_during_pages_follows_as_one_net_change() -> None:
    talk = Talk()
    number = talk.open()
    talk.answer(number, 6, pages=3)
    talk.read(1)
    talk.publish(number, 7)
    talk.publish(number, 8)
    assert talk.read() == "page 2 of 6, page 3 of 6, catch up 1 from 6"


def test_a_change_before_pages_does_not_follow_them() -> None:
    talk = Talk()
    number = talk.open()
    talk.slow_down(number)
    talk.answer(number, 9)
    assert talk.read() == "delta 6, answer 9"
    assert talk.state(number) is SubscriptionState.LIVE


def test_one_lazy_subscription_does_not_hold_up_another() -> None:
    talk = Talk()
    slow, quick = talk.open("a"), talk.open("b")
    talk.slow_down(slow)
    talk.publish(quick, 6)
    assert (talk.state(slow), talk.state(quick)) == (SubscriptionState.LAZY, SubscriptionState.LIVE)
    assert talk.read() == "delta 6, delta 6, catch up 1 from 6"


def test_stale_during_pages_is_told_behind_them_unless_it_is_over() -> None:
    talk = Talk()
    number = talk.open()
    talk.answer(number, 6, pages=2)
    talk.hear(number, Staled(frame=Frame("stale", 5)))
    assert talk.read() == "page 1 of 6, page 2 of 6, stale"
    talk.answer(number, 7, pages=2)
    talk.hear(number, Staled(frame=Frame("stale", 5)))
    talk.publish(number, 8)
    assert talk.read() == "page 1 of 7, page 2 of 7, catch up 1 from 7"


def test_a_refusal_that_comes_after_the_word_that_it_was_accepted_names_the_ask_and_ends_it() -> (
    None
):
    talk = Talk()
    talk.say("products", ref=17)
    talk.accept()
    talk.read()
    talk.hear(1, Rejected(code=Code.INTERNAL, detail="the server failed; reference 1"))
    talk.read()
    error, disconnect = (json.loads(frame.text)["data"] for frame in talk.frames[-2:])
    assert error["ref"] == 17
    assert error["payload"] == {"code": "internal", "detail": "the server failed; reference 1"}
    assert disconnect == {"action": "disconnect", "code": "internal"}
    assert talk.state(1) is None


def test_a_ping_behind_a_full_outbox_is_answered() -> None:
    talk = Talk()
    number = talk.open()
    talk.publish(number, 6, size=50 * ROOM)
    assert talk.session.waiting == 50 * ROOM
    talk.say("$ping")
    assert talk.read() == "delta 6, $pong"


def test_a_client_that_reads_no_answers_is_closed() -> None:
    talk = Talk()
    for _ in range(3):
        talk.say("$ping", more="x" * 400)
    assert talk.told() == "close 4408"
    talk.say("$ping")
    assert talk.told() == ""


# Limits of what a client says.


def test_who_says_too_much_is_told_and_then_closed() -> None:
    talk = Talk(messages_burst=2, messages_per_second=1, outbox_bytes=100_000)
    for _ in range(4):
        talk.say("$ping", after=0)
    assert talk.read() == "$pong, $pong, $error error rate_limited, $error error rate_limited"
    talk.say("$ping", after=0)
    assert talk.told() == "close 4429"


def test_who_slows_down_is_forgiven() -> None:
    talk = Talk(messages_burst=2, messages_per_second=1)
    for _ in range(5):
        for _ in range(2):
            talk.say("$ping", after=0)
        talk.say("$ping", after=0)
        assert talk.read().endswith("rate_limited")
        talk.now += 60
    assert len(talk.frames) == 15


def test_many_malformed_messages_close() -> None:
    talk = Talk(malformed=3)
    talk.text("{")
    talk.text('{"event":"products","data":{"held":7,"ref":1}}')
    assert talk.read() == "$error error malformed, products error malformed"
    assert talk.data()["ref"] == 1
    talk.text("no")
    assert talk.read() == "close 4400, $error error malformed"
    talk.text("{")
    assert talk.read() == ""


@pytest.mark.parametrize("text", ["x" * 101, "ä" * 51, "\ud800" * 40])
def test_a_message_too_big_closes(text: str) -> None:
    talk = Talk(message_bytes=100)
    talk.text(text)
    assert talk.told() == "close 1009"


def test_a_message_as_big_as_allowed_is_read() -> None:
    talk = Talk(message_bytes=100)
    talk.text("ä" * 50)
    assert talk.read() == "$error error malformed"


def test_a_binary_message_closes_once() -> None:
    talk = Talk()
    talk.perform(talk.session.receive_binary())
    talk.perform(talk.session.receive_binary())
    assert talk.told() == "close 1003"


@pytest.mark.parametrize("data", [None, 0, "x", [1, {"a": [True]}], "\ud800"])
def test_a_ping_gets_its_data_back(data: Any) -> None:
    talk = Talk()
    talk.text(json.dumps({"event": "$ping", "data": data}))
    assert talk.read() == "$pong"
    assert json.loads(talk.frames[-1].text) == {"event": "$pong", "data": data}


def test_unknown_events_of_the_protocols_own_are_passed_over() -> None:
    talk = Talk()
    talk.say("$tea", ref=1)
    assert talk.read() == ""


# Who the client is.


def test_a_proof_is_asked_for_and_told() -> None:
    talk = Talk()
    talk.say("$auth", token="t", ref=1)
    assert talk.told() == "prove t 1"
    talk.perform(talk.session.authenticated(60, 1))
    assert talk.read() == "$auth"
    assert talk.data() == {"ref": 1, "expires": 60}
    talk.perform(talk.session.not_authenticated("no", 2))
    assert talk.read() == "$auth error unauthenticated"
    assert talk.data()["ref"] == 2


def test_a_new_proof_has_what_is_open_and_what_is_being_opened_evaluated_again() -> None:
    talk = Talk()
    talk.open("a")
    talk.say("b")
    talk.say("c", disconnect=True)
    talk.perform(talk.session.reconsider())
    assert talk.told() == "ask 2, ask 3, reconsider 2 b, reconsider 1 a"
    assert talk.state(1) is SubscriptionState.LIVE


def test_a_proof_that_is_none_costs_as_many_messages_as_it_should() -> None:
    talk = Talk(messages_per_second=1.0, messages_burst=2.0 * FAILED_PROOF_COST)
    for _ in range(2):
        talk.say("$auth", after=0, token="wrong")
        talk.perform(talk.session.not_authenticated("no", None))
    talk.read()
    talk.say("$auth", after=0, token="wrong")
    assert talk.read() == "$auth error rate_limited"
    talk.say("$auth", after=1, token="right")
    assert talk.told() == "prove right None"


def test_a_proof_that_cannot_be_looked_at_costs_nothing() -> None:
    talk = Talk(messages_per_second=1.0, messages_burst=3.0)
    talk.say("$auth", after=0, token="t")
    talk.perform(talk.session.not_authenticated("later", None, Code.UNAVAILABLE))
    talk.read()
    talk.say("$auth", after=0, token="t")
    assert talk.told() == "prove t None"


def test_another_user_ends_what_is_open_and_what_is_being_opened() -> None:
    talk = Talk()
    talk.open("a")
    talk.say("b")
    talk.perform(talk.session.end_all(Code.REVOKED))
    assert talk.read() == "ask 2, release 1, b error revoked, a disconnect revoked"
    talk.accept()
    assert talk.read() == "release 2"
    assert not talk.session.subscriptions


def test_a_client_that_is_gone_gets_nothing_and_keeps_nothing() -> None:
    talk = Talk()
    number = talk.open("a")
    talk.publish(number, 6)
    talk.say("b")
    talk.perform(talk.session.gone())
    assert talk.read() == "ask 2, release 2, release 1"
    talk.accept()
    talk.say("c")
    talk.perform(talk.session.gone())
    talk.perform(talk.session.end_all(Code.REVOKED))
    assert talk.read() == "release 2"
    assert not talk.session.has_work()
    assert talk.session.waiting == 0
