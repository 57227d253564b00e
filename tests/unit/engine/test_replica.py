"""A client's copy keeps the wire contract, by the vectors that the JavaScript client keeps too."""

from __future__ import annotations

from typing import Any

import pytest

from bindserver.client.replica import Replica
from tests.support.steps import Compared, calls_of, grows_like_its_work
from tests.unit.engine.tools import replica_of, vectors


@pytest.mark.parametrize("case", vectors("replica.json"), ids=lambda case: case["name"])
def test_a_replica_satisfies_the_vectors(case: dict[str, Any]) -> None:
    replica = Replica(case["key"])
    for step in case["steps"]:
        replica.apply(step["data"])
        assert replica.rows == step["rows"]
        assert replica.held == [row[case["key"]] for row in step["rows"]]


def page(number: int, *keys: int, pages: int = 2, action: str = "sync") -> dict[str, Any]:
    cursor = {"cursor": "c9"} if number == pages else {}
    payload = [{"id": key} for key in keys]
    return {"action": action, "page": number, "pages": pages, "payload": payload} | cursor


def test_a_replica_begins_with_nothing() -> None:
    replica = Replica("id")
    assert (replica.rows, replica.held, replica.cursor, replica.stale) == ([], [], None, False)


def test_the_newest_cursor_is_kept_and_a_page_has_none() -> None:
    replica = replica_of({1: (1, "x")})
    assert replica.cursor == "c0"
    replica.apply(page(1, 5))
    assert replica.cursor == "c0"
    replica.apply(page(2, 6))
    assert replica.cursor == "c9"
    replica.apply({"action": "ok", "cursor": "c10"})
    replica.apply({"action": "stale"})
    replica.apply({"action": "from the future", "cursor": "c11"})
    assert replica.cursor == "c10"


def test_stale_lasts_until_the_next_frame() -> None:
    for frame in ({"action": "ok", "cursor": "c"}, {"action": "delete", "payload": {"id": 1}}):
        replica = replica_of({})
        replica.apply({"action": "stale"})
        assert replica.stale
        replica.apply({"action": "from the future"})
        assert replica.stale
        replica.apply(frame)
        assert not replica.stale


def test_pages_given_twice_harm_nothing() -> None:
    replica = replica_of({1: (1, "x")})
    for frame in (page(1, 5), page(1, 5), page(2, 6), page(2, 6)):
        replica.apply(frame)
    assert replica.held == [5, 6]


def test_a_part_of_an_answer_is_never_shown() -> None:
    replica = replica_of({1: (1, "x")})
    replica.apply(page(2, 6))
    replica.apply(page(1, 5, pages=3))
    replica.apply(page(3, 7, pages=3))
    replica.apply(page(2, 6))
    assert replica.held == [1]


def test_an_answer_that_broke_off_is_forgotten() -> None:
    replica = replica_of({1: (1, "x")})
    replica.apply(page(1, 5))
    replica.apply({"action": "ok", "cursor": "c1"})
    replica.apply(page(2, 6))
    assert replica.held == [1]


def test_the_rows_are_the_callers_to_keep() -> None:
    replica = replica_of({1: (1, "x")})
    replica.rows.clear()
    assert replica.held == [1]


def test_a_large_batch_costs_what_its_changes_cost() -> None:
    def calls_for(many: int) -> int:
        keys = [Compared(number) for number in range(many)]
        replica = Replica("id")
        replica.apply({"action": "sync", "payload": [{"id": key} for key in keys], "cursor": "c"})
        changes = [
            {"action": "update", "payload": {"id": key, "name": "x"}, "after": after}
            for key, after in zip(reversed(keys), [None, *reversed(keys)], strict=False)
        ]
        batch = {"action": "batch", "payload": changes, "cursor": "c"}
        calls = calls_of(lambda: replica.apply(batch))
        assert replica.held == keys[::-1]
        return calls

    assert grows_like_its_work(calls_for, 300)
