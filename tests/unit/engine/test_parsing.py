"""What clients say, by the vectors and by what no vector can hold."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from bindserver.engine import protocol
from bindserver.engine.parsing import MAX_DEPTH, Malformed, parse
from bindserver.engine.protocol import Ping
from tests.unit.engine.tools import vectors

MESSAGES = vectors("messages.json")
NOWHERE = '{"event":"products","data":'


def plain(message: protocol.Message) -> dict[str, Any]:
    """Return a message as the vectors show it."""
    fields = dataclasses.asdict(message)
    for name, value in fields.items():
        if isinstance(value, (tuple, frozenset)):
            fields[name] = sorted(value) if isinstance(value, frozenset) else list(value)
    return {"kind": type(message).__name__.lower(), **fields}


def malformed(text: str) -> Malformed:
    with pytest.raises(Malformed) as caught:
        parse(text)
    return caught.value


@pytest.mark.parametrize(
    "case", [case for case in MESSAGES if "expect" in case], ids=lambda case: case["name"]
)
def test_a_message_is_parsed(case: dict[str, Any]) -> None:
    assert plain(parse(case["text"])) == case["expect"]


@pytest.mark.parametrize(
    "case", [case for case in MESSAGES if "error" in case], ids=lambda case: case["name"]
)
def test_a_malformed_message_is_told_with_its_event_ref_and_params(case: dict[str, Any]) -> None:
    problem = malformed(case["text"])
    named = {"event": problem.event, "ref": problem.ref, "params": problem.params}
    assert named == case["error"]
    assert 0 < len(str(problem)) < 100


def test_every_vector_says_what_to_expect() -> None:
    assert all(("expect" in case) != ("error" in case) for case in MESSAGES)
    assert len({case["name"] for case in MESSAGES}) == len(MESSAGES)


@pytest.mark.parametrize(
    "case", vectors("client_messages.json"), ids=lambda case: f"{case['name']}: {case['text']}"
)
def test_what_the_javascript_client_writes_is_understood(case: dict[str, Any]) -> None:
    message, said = parse(case["text"]), json.loads(case["text"])
    assert not isinstance(message, protocol.Ignored)
    for name, value in (said.get("data") or {}).items() if said["event"] != "$ping" else ():
        if name != "disconnect":
            assert plain(message)[name] == value


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "[" * 100_000 + "]" * 100_000,
        '{"event":' * 50_000,
        NOWHERE + '{"params":' * 20_000 + "{}" + "}" * 20_001,
        '{"event":"$ping","data":' + "[" * 990 + "]" * 990 + "}",
    ],
    ids=lambda text: text[:24],
)
def test_what_is_nested_deep_is_malformed(text: str) -> None:
    malformed(text)


def nested(depth: int) -> str:
    """Return a ping that is so many levels deep, the message itself among them."""
    return '{"event":"$ping","data":' + "[" * (depth - 1) + "]" * (depth - 1) + "}"


def test_what_is_nested_a_little_can_be_sent_back() -> None:
    message = parse(nested(MAX_DEPTH))
    assert isinstance(message, Ping)
    assert json.loads(protocol.pong(message.data))["data"] == message.data
    malformed(nested(MAX_DEPTH + 1))


def test_a_wide_message_is_not_a_deep_one() -> None:
    parse('{"event":"$ping","data":[' + ",".join(["[{}]"] * 500) + "]}")


@pytest.mark.parametrize("number", ["1" * 5000, "-" + "1" * 5000, "1e400", "-1e400"])
def test_a_number_too_large_is_malformed(number: str) -> None:
    malformed('{"event":"$ping","data":' + number + "}")
    malformed(NOWHERE + '{"ref":' + number + "}}")
