"""One subscription as the Python client has it, message by message; no connection."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from bindserver.client import Change, Problem, Subscription, SubscriptionEnded
from bindserver.client.feed import Feed, Stage
from bindserver.client.subscription import MOST_WAITING, Status


@pytest.fixture
def feed() -> Feed:
    return Feed("products", {"category": 3}, None)


@pytest.fixture
def held(feed: Feed) -> Subscription:
    return Subscription(feed, feed.holders.remove)


def status(of: Feed) -> Status:
    return of.status  # it changes meanwhile, which type checkers do not believe


def said(text: str) -> Any:
    return json.loads(text)["data"]


def row(key: int, name: str = "") -> dict[str, Any]:
    return {"id": key, "name": name}


def sync(*rows: Any, cursor: str = "c1", **more: Any) -> dict[str, Any]:
    return {"action": "sync", "payload": list(rows), "cursor": cursor, **more}


def served(feed: Feed, *rows: Any) -> Feed:
    feed.ask(1)
    feed.accept("id", '{"category":3}')
    feed.take(sync(*rows))
    return feed


async def taken(held: Subscription, count: int) -> list[Change]:
    return [await anext(held) for _ in range(count)]


class TestWhatIsAsked:
    def test_at_first_is_everything(self, feed: Feed) -> None:
        assert said(feed.ask(7)) == {"ref": 7, "params": {"category": 3}}
        assert feed.stage is Stage.ASKED

    def test_after_a_lost_connection_names_the_state_that_is_held(self, feed: Feed) -> None:
        served(feed, row(1), row(2)).lose()
        data = said(feed.ask(2))
        assert (data["cursor"], data["held"]) == ("c1", [1, 2])

    def test_names_none_where_the_rows_make_no_sense(self, feed: Feed) -> None:
        served(feed, row(1)).start_over()
        assert "cursor" not in said(feed.ask(2))

    def test_names_none_where_naming_one_was_too_big(self, feed: Feed) -> None:
        served(feed, row(1)).lose()
        feed.ask(2)
        feed.lose(too_big=True)
        assert "held" not in said(feed.ask(3))

    def test_names_one_where_it_was_not_what_was_too_big(self, feed: Feed) -> None:
        served(feed, row(1)).lose(too_big=True)
        assert said(feed.ask(2))["held"] == [1]

    def test_names_one_again_after_a_whole_answer(self, feed: Feed) -> None:
        served(feed, row(1)).start_over()
        served(feed, row(1)).lose()
        assert said(feed.ask(3))["cursor"] == "c1"

    def test_has_the_page_size_that_is_wished_for(self) -> None:
        assert said(Feed("products", {}, 500).ask(1)) == {"ref": 1, "page_size": 500}


class TestTheStatus:
    def test_is_connecting_until_the_first_answer_is_whole(self, feed: Feed) -> None:
        feed.ask(1)
        feed.accept("id", "{}")
        feed.take(sync(row(1), page=1, pages=2))
        assert status(feed) is Status.CONNECTING
        feed.take(sync(row(2), page=2, pages=2))
        assert status(feed) is Status.LIVE

    def test_is_stale_when_the_connection_is_lost_and_until_the_next_answer(
        self, feed: Feed
    ) -> None:
        served(feed, row(1)).lose()
        assert status(feed) is Status.STALE
        feed.ask(2)
        feed.accept("id", "{}")
        feed.take({"action": "unheard of"})
        assert status(feed) is Status.STALE
        feed.take({"action": "ok", "cursor": "c2"})
        assert status(feed) is Status.LIVE

    def test_is_stale_where_the_server_says_so(self, feed: Feed) -> None:
        served(feed, row(1)).take({"action": "stale"})
        assert status(feed) is Status.STALE

    def test_pages_of_a_lost_connection_are_none(self, feed: Feed) -> None:
        served(feed, row(1)).take(sync(row(8), page=1, pages=2))
        feed.lose()
        feed.ask(2)
        feed.accept("id", "{}")
        feed.take(sync(row(9), page=2, pages=2, cursor="c9"))
        assert feed.replica is not None
        assert feed.replica.rows == [row(1)]


class TestChanges:
    async def test_come_one_by_one_and_a_batch_is_taken_apart(
        self, feed: Feed, held: Subscription
    ) -> None:
        served(feed, row(1), row(2))
        changes = [
            {"action": "delete", "payload": {"id": 1}},
            {"action": "create", "payload": row(3), "after": None},
        ]
        feed.take({"action": "batch", "payload": changes, "cursor": "c2"})
        assert await taken(held, 3) == [
            Change("sync", [row(1), row(2)]),
            Change("delete", {"id": 1}),
            Change("create", row(3)),
        ]
        assert held.rows == [row(3), row(2)]
        assert (held.get(3), held.get(1), held.key) == (row(3), None, "id")

    async def test_that_came_before_are_told_as_a_sync(self, feed: Feed) -> None:
        late = Subscription(served(feed, row(1)), feed.holders.remove)
        assert await anext(late) == Change("sync", [row(1)])

    async def test_that_came_before_are_told_so_while_they_are_old(self, feed: Feed) -> None:
        served(feed, row(1)).lose()
        late = Subscription(feed, feed.holders.remove)
        feed.ask(2)
        feed.accept("id", "{}")
        feed.take({"action": "update", "payload": row(1, "new"), "cursor": "c2"})
        assert await anext(late) == Change("sync", [row(1, "new")])

    async def test_that_nobody_takes_become_one_sync(self, feed: Feed, held: Subscription) -> None:
        served(feed, row(1))
        for number in range(MOST_WAITING + 10):
            feed.take({"action": "update", "payload": row(1, str(number)), "cursor": "c"})
        assert len(held._changes) <= MOST_WAITING
        assert await anext(held) == Change("sync", [row(1, str(MOST_WAITING + 9))])
        feed.take({"action": "update", "payload": row(1, "new"), "cursor": "c"})
        assert await anext(held) == Change("update", row(1, "new"))

    async def test_end_where_it_is_closed(self, feed: Feed, held: Subscription) -> None:
        served(feed, row(1))
        held.close()
        assert [change.action async for change in held] == ["sync"]
        assert (held.status, feed.holders) == (Status.CLOSED, [])
        with pytest.raises(SubscriptionEnded):
            await held.ready()

    async def test_end_with_the_reason_where_the_server_ends_it(
        self, feed: Feed, held: Subscription
    ) -> None:
        served(feed, row(1)).fail(Problem("revoked", "no more", passing=False))
        assert await anext(held) == Change("sync", [row(1)])
        with pytest.raises(SubscriptionEnded, match="revoked: no more"):
            await anext(held)

    async def test_wake_who_waits(self, feed: Feed, held: Subscription) -> None:
        waiting = asyncio.create_task(held.ready())
        await asyncio.sleep(0)
        served(feed, row(1))
        assert await waiting == [row(1)]


class TestTwoThatTurnOutToBeOne:
    async def test_go_on_as_one_and_each_is_told_all_rows(self, feed: Feed) -> None:
        other = Feed("products", {"category": "3"}, None)
        one = Subscription(feed, feed.holders.remove)
        two = Subscription(served(other, row(1)), other.holders.remove)
        assert await anext(two) == Change("sync", [row(1)])
        feed.ask(2)
        feed.accept("id", '{"category":3}')
        feed.join(other)
        feed.take(sync(row(1), row(2), cursor="c2"))
        assert feed.matches("products", '{"category":"3"}')
        assert [await anext(holder) for holder in (one, two)] == [
            Change("sync", [row(1), row(2)])
        ] * 2
        assert two.rows == one.rows

    async def test_and_end_before_the_answer_have_no_rows_to_tell_of(self, feed: Feed) -> None:
        other = Feed("products", {"category": "3"}, None)
        two = Subscription(served(other, row(1)), other.holders.remove)
        feed.ask(2)
        feed.accept("id", '{"category":3}')
        feed.join(other)
        feed.fail(Problem("revoked", passing=False))
        with pytest.raises(SubscriptionEnded, match="revoked"):
            await anext(two)
