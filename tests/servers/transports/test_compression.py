"""Compressed messages say what others say: the tests of the WebSocket chapter and of coming back,
with clients that offer what browsers do; and clients with and without it on one view."""

from __future__ import annotations

import socket
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from bindserver.engine.deflate import LEAST_BYTES
from tests.conftest import MakeServer, program_on
from tests.servers.test_bad_input import memory
from tests.servers.test_resuming import TestTheDifference
from tests.servers.transports.test_handshakes import PATIENCE_SECONDS, handshake
from tests.servers.transports.test_rfc6455 import END, TEXT, frame
from tests.servers.transports.test_rfc7692 import BROWSER, PACKED, pack
from tests.servers.transports.test_websocket import (
    TestErrors,
    TestOwnEvents,
    TestSubscribing,
    TestUnsubscribing,
)
from tests.support import talk as talks
from tests.support.program import Program
from tests.support.server import Server
from tests.support.talk import Following, Talk, talking

__all__ = [
    "TestErrors", "TestOwnEvents", "TestSubscribing", "TestTheDifference", "TestUnsubscribing",
]  # fmt: skip
"""The same tests, with this module's servers and clients."""

MIB = 1024
ROWS = 3_000
"""Of about 90 bytes: more than one page of a sync."""


@pytest.fixture(scope="module", params=["offered", "hidden"])
def server(make_server: MakeServer, request: pytest.FixtureRequest) -> Server:
    """One that compresses, past ASGI and by it."""
    return make_server(environment={"WIRE": request.param}, COMPRESSION=True).start()


@pytest.fixture(autouse=True)
def offered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the clients offer it."""
    monkeypatch.setattr(talks, "compression", "deflate")


class Noted:
    """Notes which of the messages that a client reads are compressed.

    Attributes:
        sizes: the lengths of those that are, as they come.
        plain: the lengths of those that are not.
    """

    def __init__(self, talk: Talk) -> None:
        (extension,) = talk.socket.protocol.extensions
        self.sizes: list[int] = []
        self.plain: list[int] = []
        self._decode = extension.decode
        extension.decode = self._note  # type: ignore[method-assign]

    def _note(self, frame: Any, *, max_size: int | None = None) -> Any:
        if frame.opcode == TEXT:
            (self.sizes if frame.rsv1 else self.plain).append(len(frame.data))
        return self._decode(frame, max_size=max_size)


async def all_have(talks: list[Talk], followings: list[Following], stock: int) -> None:
    for talk, following in zip(talks, followings, strict=True):
        await talk.until(partial(_shows, following, stock))


def _shows(following: Following, stock: int) -> bool:
    return following.column("stock")[:1] == [stock]


async def watch(server: Server, program: Program) -> list[Noted]:
    """Have clients with and without it follow one view through small changes, big ones and marks;
    return what those with it have noted."""
    program.add_products(ROWS)
    async with AsyncExitStack() as stack:
        with_it = [await stack.enter_async_context(talking(server.ws)) for _ in range(2)]
        noted = [Noted(talk) for talk in with_it]
        without = [
            await stack.enter_async_context(talking(server.ws, compression=None)) for _ in range(2)
        ]
        clients = [with_it[0], without[0], with_it[1], without[1]]
        followings = [await client.follow("products") for client in clients]
        await with_it[1].follow("tags")
        for stock, sql in enumerate(
            (
                "UPDATE app_product SET stock = {} WHERE id = 1",
                "UPDATE app_product SET stock = {} WHERE id < 10",
                "UPDATE app_product SET stock = {}",
                "UPDATE app_product SET stock = {} WHERE id = 1",
            ),
            1,
        ):
            program.run(sql.format(stock))
            await all_have(clients, followings, stock)
        rows = [following.replica.rows for following in followings]
        assert rows == [rows[0]] * len(clients)
        assert len(rows[0]) == ROWS
    return noted


async def test_clients_with_and_without_it_follow_one_view(
    server: Server, program: Program
) -> None:
    for noted in await watch(server, program):
        assert all(size < LEAST_BYTES for size in noted.plain)
        assert max(noted.plain) > 0, "what is short is not compressed"
        assert len(noted.sizes) >= 3 + 4, "a sync in pages, and a frame for each write"
        assert max(noted.sizes) < 90 * 1_000 / 3


async def test_a_server_that_sends_it_to_who_cannot_read_it_is_found(
    make_server: MakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANTED_FAULT", "compressed_for_all")
    honest, settings = make_server(), {"COMPRESSION": True}
    module = "tests.support.faulty_settings"
    with Server(tmp_path / "own", settings, module=module, url=honest.url) as own:
        program = program_on(own)
        with pytest.raises(ConnectionClosed) as closed:
            await watch(own, program)
        program.close()
    assert closed.value.sent is not None
    assert closed.value.sent.code == 1002


async def test_bombs_take_no_memory_and_end_the_connection(server: Server) -> None:
    bomb = frame(END | PACKED | TEXT, pack(b" " * (1024 * 1024)))
    before = memory(server)
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE_SECONDS) as sock:
        sock.sendall(handshake(Sec_WebSocket_Extensions=BROWSER))
        with suppress(ConnectionError):  # closed while it goes on
            for _ in range(4_000):
                sock.sendall(bomb)
        with suppress(ConnectionError):
            while sock.recv(65_536):
                pass
    assert memory(server) - before < 24 * MIB
    async with talking(server.ws) as talk:
        await talk.follow("products")


async def test_without_the_setting_nobody_is_sent_it(make_server: MakeServer) -> None:
    with make_server() as server:
        async with talking(server.ws) as talk:
            assert talk.socket.protocol.extensions == []
            await talk.follow("products")
