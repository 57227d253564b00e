"""The relay's messages as they travel, and what a missing number is."""

from __future__ import annotations

import json
import uuid
from decimal import Decimal
from typing import Any

import pytest

from bindserver.cycle.inbox import CommandKind
from bindserver.engine.changes import Change
from bindserver.relay import messages
from bindserver.relay.messages import (
    Beat,
    CommandMessage,
    GapDetector,
    Hints,
    RelayMessage,
    dump,
    load,
    split,
)


def change(table: str, *pks: Any) -> Change:
    return Change(table=table, pks=frozenset(pks) if pks else None)


@pytest.mark.parametrize(
    "sent",
    [
        Beat(sender="a", number=3),
        Hints(sender="a", number=1, alias="default", changes=(change("t", 1, "x"), change("u"))),
        CommandMessage(sender="a", number=1, command=CommandKind.BUMP, events=None, reply="c"),
        CommandMessage(
            sender="a", number=1, command=CommandKind.SYNC, events=frozenset("ab"), reply="c"
        ),
    ],
)
def test_a_telegram_travels_as_plain_values(sent: RelayMessage) -> None:
    assert load(json.loads(json.dumps(dump(sent)))) == sent


def test_keys_travel_as_integers_and_texts() -> None:
    key = uuid.uuid4()
    changes = (change("t", key, 2**70, Decimal("1.5"), -5, "x"), change("u", b"raw", 1))
    found = load(dump(Hints(sender="a", number=1, alias="default", changes=changes)))
    assert isinstance(found, Hints)
    assert set(found.changes[0].pks or ()) == {str(key), str(2**70), "1.5", -5, "x"}
    assert found.changes[1].pks is None


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"type": "chat.message"},
        {"type": "bindserver.beat", "sender": "a"},
        {"type": "bindserver.beat", "sender": "a", "number": "many"},
        {"type": "bindserver.hints", "sender": "a", "number": 1, "alias": "x", "changes": [1]},
        {"type": "bindserver.hints", "sender": "a", "number": 1, "alias": "x"},
        {
            "type": "bindserver.command",
            "sender": "a",
            "number": 1,
            "command": "dance",
            "events": None,
        },
        {"type": "bindserver.later", "sender": "a", "number": 1},
    ],
)
def test_what_is_no_telegram_is_none(message: dict[str, Any]) -> None:
    assert load(message) is None


def test_many_keys_are_split_and_none_is_lost() -> None:
    changes = [change(f"t{n}", *range(n)) for n in range(1, 8)] + [change("any")]
    parts = list(split(changes, 10))
    assert [one for part in parts for one in part] == changes
    assert len(parts) > 2
    assert all(len(part) == 1 or sum(1 + len(c.pks or ()) for c in part) <= 10 for part in parts)


class TestLedger:
    def test_one_after_the_other_follows(self) -> None:
        gaps = GapDetector()
        assert all(gaps.follows("a", number) for number in (1, 2, 3))

    def test_a_missing_number_is_noticed_once(self) -> None:
        gaps = GapDetector()
        assert [gaps.follows("a", number) for number in (1, 3, 4)] == [True, False, True]

    def test_late_and_double_ones_are_nothing_missed(self) -> None:
        gaps = GapDetector()
        assert [gaps.follows("a", n) for n in (1, 1, 3, 2, 3, 4)] == [
            *(True, True, False, True, True, True)
        ]

    def test_a_sender_that_nobody_knows_begins_at_one(self) -> None:
        gaps = GapDetector()
        assert not gaps.follows("a", 2)
        assert gaps.follows("b", 1)
        assert gaps.follows("a", 3)

    def test_a_sender_that_was_forgotten_is_unknown(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(messages, "MAX_SENDERS", 2)
        gaps = GapDetector()
        for sender in ("a", "b", "c"):
            assert gaps.follows(sender, 1)
        assert gaps.follows("c", 2)
        assert not gaps.follows("a", 2)
