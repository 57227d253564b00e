"""Frames go straight to the socket where the server lets them, and the contract is the same where
it does not: the tests of the WebSocket chapter, with each frame an ASGI message."""

from __future__ import annotations

from functools import partial

import pytest

from bindserver.client.replica import Replica
from tests.conftest import MakeServer, program_on
from tests.servers.transports.test_websocket import (
    TestErrors,
    TestOwnEvents,
    TestSubscribing,
    TestUnsubscribing,
)
from tests.support.client import Client
from tests.support.server import Server
from tests.support.talk import Following, talking

WRITES = 60
"""Of 16 KB each: more than the system keeps."""

__all__ = ["TestErrors", "TestOwnEvents", "TestSubscribing", "TestUnsubscribing"]
"""The same tests, with this module's server."""


@pytest.fixture(scope="module")
def server(make_server: MakeServer) -> Server:
    return make_server(environment={"WIRE": "hidden"}).start()


@pytest.mark.parametrize("wire", ["offered", "hidden"])
async def test_a_connection_leaves_asgi_just_where_it_is_offered_a_way(
    make_server: MakeServer, wire: str
) -> None:
    with make_server(environment={"WIRE": wire, "SENDS": "told"}) as server:
        program = program_on(server)
        program.add_products(1)
        async with talking(server.ws) as talk:
            following = await talk.follow("products")
            for stock in range(1, 4):
                program.run("UPDATE app_product SET stock = ? WHERE id = 1", stock)
                await talk.until(partial(_shows, following, stock))
            said = server.log.read_text()
    ended = "the application of a websocket has ended"
    assert (ended in said) == (wire == "offered")
    assert ended in server.log.read_text()
    assert said.count("sends websocket.accept") == 1
    assert (said.count("sends websocket.send") >= 5) == (wire == "hidden")
    assert ("sends websocket.send" in said) == (wire == "hidden")


@pytest.mark.parametrize("room", [10_000_000, 40_000])
async def test_a_client_that_stops_reading_reads_each_state_after_the_one_before(
    make_server: MakeServer, room: int
) -> None:
    with make_server(MAX_OUTBOX_BYTES=room) as server:
        program = program_on(server)
        program.add_products(150)
        client = await Client.open(server.ws)
        await client.send("products")
        async with talking(server.ws) as other:
            following = await other.follow("products")
            for stock in range(1, WRITES + 1):
                program.run("UPDATE app_product SET stock = ?", stock)
                await other.until(partial(_shows, following, stock))
        shown, rows = [0], Replica("id")
        while shown[-1] < WRITES:
            event, data = await client.receive()
            if not event.startswith("$"):
                rows.apply(data)
                shown.append(rows.rows[0]["stock"])
        await client.close()
    assert shown == sorted(shown)
    assert (len(shown) <= WRITES) == (room < 100_000), "what has no room is told as one change"


def _shows(following: Following, stock: int) -> bool:
    return following.column("stock")[:1] == [stock]
