"""Requests that wait for a snapshot take neither threads nor connections, nor all the places."""

from __future__ import annotations

import asyncio
import fcntl
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeServer, program_on
from tests.support.postgresql import PostgreSQLProgram
from tests.support.program import Program
from tests.support.server import Server
from tests.support.talk import PATIENCE_SECONDS

pytestmark = pytest.mark.parametrize("vendor", ["postgresql"], indirect=True, scope="module")

FEW = 6
"""So many threads, or connections, more than without those who wait are few."""


@contextmanager
def held(path: Path) -> Iterator[Callable[[], None]]:
    """Have rows wait that are read meanwhile, until what is given is called."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield lambda: fcntl.flock(file, fcntl.LOCK_UN)


@pytest.fixture
def make_held(
    make_server: MakeServer, tmp_path: Path
) -> Iterator[tuple[Callable[..., Server], Callable[[], None]]]:
    """Make servers whose views are loaded by the loader, and by nobody before that is let go of."""

    def make(environment: dict[str, str] | None = None, **settings: Any) -> Server:
        own = {"DJANGO_SETTINGS_MODULE": "tests.projects.held.settings"}
        own["HELD_BY"] = str(tmp_path / "held")
        patient = {"SYNC_ROWS": 1, "SNAPSHOT_SECONDS": 300, "QUERY_SECONDS": 60}
        server = make_server(environment={**own, **(environment or {})}, **patient, **settings)
        with closing(program_on(server)) as program:
            program.add_products(3)
        return server.start()

    with held(tmp_path / "held") as let_go:
        yield make, let_go


class Client:
    """One request over a connection of its own, which may be left before it is answered."""

    def __init__(self, server: Server, path: str, headers: dict[str, str]) -> None:
        self._server = server
        lines = {"Host": "127.0.0.1", "Accept": "application/json", "Connection": "close"}
        said = "".join(f"{name}: {value}\r\n" for name, value in {**lines, **headers}.items())
        self._request = f"GET {path} HTTP/1.1\r\n{said}\r\n".encode()

    async def ask(self) -> Client:
        """Send the request."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._server.port)
        self._writer.write(self._request)
        self._answer = asyncio.create_task(self._read())
        return self

    async def _read(self) -> tuple[int, dict[str, str], bytes]:
        head, body = (await self._reader.read()).split(b"\r\n\r\n", 1)
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        if "transfer-encoding" in headers:  # one chunk, and the empty one
            _, body, _ = body.split(b"\r\n", 2)
        return int(first.split()[1]), headers, body

    @property
    def is_answered(self) -> bool:
        return self._answer.done()

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self._answer

    async def leave(self) -> None:
        """Close the connection."""
        self._answer.cancel()
        self._writer.close()


@asynccontextmanager
async def asking(
    server: Server, path: str, count: int, headers: dict[str, str] | None = None
) -> AsyncIterator[list[Client]]:
    """Have so many ask, and leave at the end of the block."""
    async with AsyncExitStack() as stack:
        clients = [await Client(server, path, headers or {}).ask() for _ in range(count)]
        for client in clients:
            stack.push_async_callback(client.leave)
        yield clients


async def get(server: Server, path: str, headers: dict[str, str] | None = None) -> bytes:
    """Return what a page says."""
    async with asking(server, path, 1, headers) as [client]:
        status, _, body = await client.answer()
    assert status == 200, body
    return body


async def until(server: Server, **wanted: Any) -> None:
    """Wait until the server says so of who waits."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            said = json.loads(await get(server, "/waiting/"))
            if all(said[name] == value for name, value in wanted.items()):
                return
            await asyncio.sleep(0.05)


def threads_of(server: Server) -> int:
    return len(list(Path(f"/proc/{server.pid}/task").iterdir()))


def connections_to(program: Program) -> int:
    [(count,)] = program.run(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    )
    return int(count)


@pytest.mark.parametrize("environment", [{}, {"ATOMIC_REQUESTS": "1"}], ids=["plain", "atomic"])
async def test_150_who_wait_hold_no_thread_and_no_connection(
    make_held: tuple[Callable[..., Server], Callable[[], None]], environment: dict[str, str]
) -> None:
    make, let_go = make_held
    server = make(environment, MAX_WAITING_SNAPSHOTS=150, MAX_WAITING_SNAPSHOTS_PER_CLIENT=150)
    program = PostgreSQLProgram(server.url)
    ann = program.log_in("ann")
    assert await get(server, "/page/") == b"1"
    threads, connections = threads_of(server), connections_to(program)
    async with AsyncExitStack() as stack:
        clients: list[Client] = []
        while len(clients) < 150:  # to tell who asks takes a connection, and there are 100
            clients += await stack.enter_async_context(asking(server, "/bindings/held/", 30, ann))
            await until(server, snapshots=len(clients), threads=0)
        assert connections_to(program) <= connections + FEW
        async with asyncio.timeout(PATIENCE_SECONDS):
            while threads_of(server) > threads + FEW:  # they end by themselves
                await asyncio.sleep(0.05)
        assert await get(server, "/page/") == b"1"
        assert not any(client.is_answered for client in clients)
        async with asking(server, "/bindings/held/", 1, ann) as [late]:
            status, headers, body = await late.answer()
        assert (status, headers["retry-after"]) == (503, "2")
        said = "too many requests wait for snapshots: BINDSERVER['MAX_WAITING_SNAPSHOTS'] is 150"
        assert json.loads(body) == {"detail": f"{said}; try again later"}
        let_go()
        answers = [await client.answer() for client in clients]
    assert {status for status, _, _ in answers} == {200}
    [rows] = {body for _, _, body in answers}
    assert [row["id"] for row in json.loads(rows)] == [1, 2, 3]
    assert len({(headers["etag"], headers["bindserver-cursor"]) for _, headers, _ in answers}) == 1
    await until(server, snapshots=0, threads=0, wanted=[])
    program.close()


async def test_one_client_cannot_take_all_places(
    make_held: tuple[Callable[..., Server], Callable[[], None]],
) -> None:
    make, let_go = make_held
    server = make(MAX_WAITING_SNAPSHOTS_PER_CLIENT=3)
    with closing(PostgreSQLProgram(server.url)) as program:
        ann, bob, carl = (program.log_in(name) for name in ("ann", "bob", "carl"))
    async with AsyncExitStack() as stack:
        every = [
            await stack.enter_async_context(asking(server, "/bindings/held/", 3, who))
            for who in ({}, ann, bob)
        ]
        await until(server, snapshots=9)
        async with asking(server, "/bindings/held/", 1, ann) as [late]:
            status, headers, body = await late.answer()
        assert (status, headers["retry-after"]) == (503, "2")
        assert b"BINDSERVER['MAX_WAITING_SNAPSHOTS_PER_CLIENT'] is 3" in body
        assert await get(server, "/bindings/words/", carl) == b"[]"
        let_go()
        for clients in every:
            assert [(await client.answer())[0] for client in clients] == [200, 200, 200]


async def test_who_leaves_gives_the_place_back_and_wants_nothing_any_more(
    make_held: tuple[Callable[..., Server], Callable[[], None]],
) -> None:
    make, _ = make_held
    server = make(MAX_WAITING_SNAPSHOTS_PER_CLIENT=4)
    for _ in range(2):
        async with (
            asking(server, "/bindings/held/", 2),
            asking(server, "/bindings/held_too/", 2),
        ):
            await until(server, snapshots=4, wanted=["held", "held_too"])
        await until(server, snapshots=0, wanted=[])


async def test_viewsets_wait_in_few_threads_and_without_a_connection(
    make_held: tuple[Callable[..., Server], Callable[[], None]],
) -> None:
    make, let_go = make_held
    server = make(MAX_WAITING_THREADS=6)
    program = PostgreSQLProgram(server.url)
    ann = program.log_in("ann")
    connections = connections_to(program)
    async with asking(server, "/drf/viewset/", 3, ann) as clients:
        await until(server, snapshots=3, threads=3)
        async with asking(server, "/drf/viewset/", 1, ann) as [late]:
            status, headers, body = await late.answer()
        assert (status, headers["retry-after"]) == (503, "2")
        assert b"half of BINDSERVER['MAX_WAITING_THREADS'] is 3" in body
        async with asking(server, "/bindings/held/", 1, ann):
            await until(server, snapshots=4, threads=3)
        assert connections_to(program) <= connections + FEW - 3
        let_go()
        assert [(await client.answer())[0] for client in clients] == [200, 200, 200]
    await until(server, snapshots=0, threads=0)
    program.close()


async def test_below_synchronous_middleware_threads_are_counted(
    make_held: tuple[Callable[..., Server], Callable[[], None]],
) -> None:
    make, let_go = make_held
    server = make({"SYNCHRONOUS_MIDDLEWARE": "1"})
    async with asking(server, "/bindings/held/", 3) as clients:
        await until(server, snapshots=3, threads=3)
        let_go()
        assert [(await client.answer())[0] for client in clients] == [200, 200, 200]
    await until(server, snapshots=0, threads=0)
