"""Frames go straight to the socket where the server lets them, and the contract is the same where
it does not: the tests of the WebSocket chapter, with each frame an ASGI message."""

from __future__ import annotations

from functools import partial

import pytest

from tests.conftest import MakeServer, program_on
from tests.servers.transports.test_websocket import (
    TestErrors,
    TestOwnEvents,
    TestSubscribing,
    TestUnsubscribing,
)
from tests.support.server import Server
from tests.support.talk import Following, talking

__all__ = ["TestErrors", "TestOwnEvents", "TestSubscribing", "TestUnsubscribing"]
"""The same tests, with this module's server."""


@pytest.fixture(scope="module")
def server(make_server: MakeServer) -> Server:
    return make_server(environment={"WIRE": "hidden"}).start()


@pytest.mark.parametrize("wire", ["offered", "hidden"])
async def test_a_change_is_an_asgi_message_just_where_no_straight_way_is_offered(
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
    assert said.count("sends websocket.accept") == 1
    assert (said.count("sends websocket.send") >= 5) == (wire == "hidden")
    assert ("sends websocket.send" in said) == (wire == "hidden")


def _shows(following: Following, stock: int) -> bool:
    return following.column("stock") == [stock]
