"""What one client is told, and what of its own comes back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bindserver.engine import protocol
from bindserver.engine.parsing import parse
from bindserver.engine.protocol import Code, Subscribe, canonical
from tests.unit.engine.tools import vectors


@pytest.mark.parametrize(
    "char", ["\ud800", "a\udc00b", "\x00", "\u2028", '"', "\\", "</script>", "ä"]
)
def test_what_a_client_sent_comes_back_as_ascii_that_says_the_same(char: str) -> None:
    """Half a surrogate pair, above all, which cannot be written as UTF-8."""
    data = {"ref": char, "params": {char: char}}
    message = parse(json.dumps({"event": char, "data": data}))
    assert isinstance(message, Subscribe)
    assert (message.ref, message.params) == (char, {char: char})
    params = canonical(message.params)
    for text in (
        protocol.pong(data),
        protocol.error(Code.INTERNAL, "no", event=char, ref=char, params=message.params),
        protocol.subscribed(event=char, params=params, key="id", ordered=True, ref=char),
        protocol.disconnected(event=char, params=params, ref=char),
    ):
        text.encode()
        assert text.isascii()
        told = json.loads(text)["data"]
        assert (told["ref"], told["params"]) == (char, {char: char})


@pytest.mark.parametrize("case", vectors("params.json"), ids=lambda case: case["name"])
def test_params_have_one_canonical_form(case: dict[str, Any]) -> None:
    for text in case["texts"]:
        assert canonical(json.loads(text)) == case["canonical"]
    assert canonical(json.loads(case["canonical"])) == case["canonical"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            protocol.subscribed(event="p", params='{"a":1}', key="id", ordered=True, ref=0),
            '{"event":"$subscribed","data":{"ref":0,"event":"p","params":{"a":1},"key":"id","ordered":true}}',
        ),
        (
            protocol.subscribed(event="p", params="{}", key="id", ordered=False, ref=None),
            '{"event":"$subscribed","data":{"event":"p","params":{},"key":"id","ordered":false}}',
        ),
        (
            protocol.error(Code.FORBIDDEN, "no", event="p", ref="r", params={"a": 1}),
            '{"event":"p","data":{"action":"error","ref":"r","params":{"a":1},'
            '"payload":{"code":"forbidden","detail":"no"}}}',
        ),
        (
            protocol.error(Code.MALFORMED, "no"),
            '{"event":"$error","data":{"action":"error","payload":{"code":"malformed","detail":"no"}}}',
        ),
        (
            protocol.disconnected(event="p", params=None),
            '{"event":"p","data":{"action":"disconnect"}}',
        ),
        (
            protocol.disconnected(event="p", params='{"a":1}', code=Code.REVOKED, ref=2),
            '{"event":"p","data":{"action":"disconnect","ref":2,"params":{"a":1},"code":"revoked"}}',
        ),
        (
            protocol.authenticated(60, 1),
            '{"event":"$auth","data":{"ref":1,"expires":60}}',
        ),
        (protocol.authenticated(None, None), '{"event":"$auth","data":{"expires":null}}'),
        (protocol.pong(None), '{"event":"$pong","data":null}'),
        (protocol.commit("s"), '{"event":"$commit","data":{"state":"s"}}'),
    ],
)
def test_what_one_client_is_told(text: str, said: str) -> None:
    assert text == said


def test_no_code_is_forgotten_or_renamed() -> None:
    contract = """malformed unknown_event invalid_params unauthenticated forbidden revoked expired
        too_many_subscriptions rate_limited too_large unavailable internal"""
    assert {code.value for code in Code} == set(contract.split())
    assert {1001, 1009, 1012, 1013, 4400, 4401, 4403, 4408, 4429} <= set(protocol.Closing)
