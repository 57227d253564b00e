"""How many connections there may be, of one client and all together, and who is told what."""

from __future__ import annotations

import asyncio
import re
import resource
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from bindserver.server.worker import OPEN_FILES
from tests.conftest import MakeServer, program_on
from tests.servers.transports.test_identity import add_token
from tests.servers.transports.test_websocket import error_of
from tests.support.process import get
from tests.support.server import Server
from tests.support.streams import streaming
from tests.support.talk import Talk, talking

TRY_LATER = 1013


@pytest.fixture(scope="module")
def server(make_server: MakeServer) -> Server:
    return make_server(MAX_CONNECTIONS=6, MAX_CONNECTIONS_PER_CLIENT=3).start()


async def let_in(
    stack: AsyncExitStack, server: Server, headers: dict[str, str] | None = None
) -> Talk:
    """Connect, and see that it is heard."""
    talk = await stack.enter_async_context(talking(server.ws, headers))
    await talk.ping()
    return talk


async def is_sent_away(server: Server, headers: dict[str, str] | None = None) -> str:
    """Return the reason by which a connection is closed at once."""
    async with talking(server.ws, headers) as talk:
        assert await talk.closed() == TRY_LATER
        return str(talk.socket.close_reason)


async def test_one_address_has_so_many_and_no_more_until_one_goes(server: Server) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await let_in(stack, server)
        async with talking(server.ws) as last:
            await last.ping()
            assert "MAX_CONNECTIONS_PER_CLIENT" in await is_sent_away(server)
        await let_in(stack, server)
        assert "MAX_CONNECTIONS_PER_CLIENT" in await is_sent_away(server)
        assert get(f"{server.http}products/")[0] == 200, "over HTTP nothing changes"
    log = server.log.read_text()
    assert "address 127.0.0.1 has too many connections (MAX_CONNECTIONS_PER_CLIENT)" in log


async def test_who_is_logged_in_counts_for_themselves(server: Server) -> None:
    program = program_on(server)
    ann = program.log_in("ann")
    async with AsyncExitStack() as stack:
        for _ in range(3):
            await let_in(stack, server)
        for _ in range(3):
            await let_in(stack, server, ann)
        reason = await is_sent_away(server, program.log_in("bob"))
        assert "(MAX_CONNECTIONS)" in reason, "the server has six"


async def test_who_proves_later_who_they_are_counts_as_that_user(server: Server) -> None:
    program = program_on(server)
    eve, key = program.log_in("eve"), len(program.run("SELECT 1 FROM auth_user"))
    async with AsyncExitStack() as stack:
        for _ in range(3):
            await let_in(stack, server, eve)
        stranger = await let_in(stack, server)
        data = await error_of(stranger, "$auth", '{"event": "$auth", "data": {"token": "none"}}')
        assert data["payload"]["code"] == "unauthenticated"
        await stranger.ping()
        await stranger.say("$auth", token=add_token(program, key))
        assert await stranger.closed() == TRY_LATER


def test_a_server_may_have_more_files_open_than_shells_begin_with(
    make_server: MakeServer,
) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    try:
        with make_server() as server:
            limits = Path(f"/proc/{server.pid}/limits").read_text()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    soft = int(re.findall(r"Max open files +(\d+)", limits)[0])
    assert soft == min(hard, OPEN_FILES)


async def test_an_event_stream_takes_a_seat_too(server: Server) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await let_in(stack, server)
        with streaming(server, "/bindings/products/") as last:
            await asyncio.to_thread(last.next)
            with streaming(server, "/bindings/products/") as refused:
                assert refused.status == 503
                assert b"MAX_CONNECTIONS_PER_CLIENT" in refused.response.read()
        until = asyncio.get_running_loop().time() + 60
        status = 0
        while status != 200 and asyncio.get_running_loop().time() < until:
            with streaming(server, "/bindings/products/") as again:
                status = again.status
        assert status == 200, "who leaves makes room"
