"""Nobody is sent what is another's: users whose queries look alike, over both transports."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import EVERY_DATABASE
from tests.servers.transports.test_rest import ask
from tests.support.program import Program
from tests.support.server import Server
from tests.support.talk import talking

pytestmark = EVERY_DATABASE

SHOWN: dict[str, Callable[[dict[str, Any]], str]] = {
    "noted": lambda row: json.dumps(row["note"]),
    "own_tags": lambda row: " ".join(row["tags"]),
    "by_user": lambda row: str(row["seen_by"]),
}
"""Bindings whose rows name the user that they are for, and where."""

NAMES = ("ann", "bob")


@pytest.fixture
def visitors(program: Program) -> list[dict[str, str]]:
    """The headers of two users, of whom each has a tag on the only product."""
    program.add_products(1)
    for number, name in enumerate(NAMES, start=1):
        program.run("INSERT INTO app_tag (id, name) VALUES (?, ?)", number, name)
        program.run("INSERT INTO app_product_tags (product_id, tag_id) VALUES (1, ?)", number)
    return [program.log_in(name) for name in NAMES]


@pytest.mark.parametrize("event", SHOWN)
async def test_each_of_two_users_is_sent_their_own_over_a_websocket(
    event: str, server: Server, visitors: list[dict[str, str]], program: Program
) -> None:
    async with talking(server.ws, visitors[0]) as ann, talking(server.ws, visitors[1]) as bob:
        for talk, name, other in ((ann, "ann", "bob"), (bob, "bob", "ann")):
            following = await talk.follow(event)
            shown = SHOWN[event](following.replica.rows[0])
            assert name in shown
            assert other not in shown
        program.add_products(1, first=2)
        for talk, other in ((ann, "bob"), (bob, "ann")):
            following = talk.following(event)
            while len(following.replica.rows) < 2:
                await talk.hear()
            assert all(other not in SHOWN[event](row) for row in following.replica.rows)


@pytest.mark.parametrize("event", SHOWN)
def test_each_of_two_users_is_sent_their_own_over_http(
    event: str, server: Server, visitors: list[dict[str, str]]
) -> None:
    for number, name, other in ((0, "ann", "bob"), (1, "bob", "ann"), (0, "ann", "bob")):
        shown = SHOWN[event](ask(server, f"/bindings/{event}/", **visitors[number]).data[0])
        assert name in shown
        assert other not in shown


@pytest.mark.parametrize("event", SHOWN)
async def test_one_user_s_cursor_is_as_good_as_none_to_another(
    event: str, server: Server, visitors: list[dict[str, str]]
) -> None:
    async with talking(server.ws, visitors[0]) as ann, talking(server.ws, visitors[1]) as bob:
        cursor = (await ann.follow(event)).cursor
        following = await bob.follow(event, cursor=cursor, held=[1])
        assert following.actions == ["sync"]
        assert "bob" in SHOWN[event](following.replica.rows[0])
