"""Clients that take little or nothing of what they are sent are let go of, whatever they do."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bindserver.server.transports import UNSENT_BYTES
from tests.conftest import MakeServer, program_on
from tests.servers.test_advisories import PING, TEXT, frame
from tests.servers.test_bad_input import memory
from tests.servers.transports.test_handshakes import Answer, handshake
from tests.support.process import get
from tests.support.server import Server
from tests.support.talk import talking

PATIENCE_SECONDS = 60
SLOW_SECONDS = 1
CLOSE, PONG = 8, 10
ROWS = 20_000
GET = b"GET /bindings/products/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
STREAM = GET.replace(b"Host", b"Accept: text/event-stream\r\nHost")
ASK = frame(TEXT, b'{"event":"products"}')
MIB = 1024


@pytest.fixture(scope="module")
def attacked(make_server: MakeServer) -> Server:
    """A server with a binding that is larger than what kernels hold of a connection."""
    server = make_server(SLOW_CLIENT_SECONDS=SLOW_SECONDS).start()
    program = program_on(server)
    program.add_products(ROWS)
    program.run("UPDATE app_product SET name = ?", "x" * 1000)
    assert get(f"{server.http}products/")[0] == 200
    return server


def held(server: Server) -> int:
    """Return how many connections of clients' a server holds, those that it takes apart."""
    return len(_sockets(server))


def in_kernel(server: Server) -> int:
    """Return how many bytes the system keeps that a server has written to clients."""
    return sum(int(line[4].partition(":")[0], 16) for line in _sockets(server))


def _sockets(server: Server) -> list[list[str]]:
    """Return the system's lines about a server's connections."""
    local, mine = f":{server.port:04X}", set()
    for entry in Path(f"/proc/{server.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            mine.add(str(entry.readlink()))
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [
        line
        for line in lines
        if line[1].endswith(local) and line[3] != "0A" and f"socket:[{line[9]}]" in mine
    ]


def until(done: Callable[[], bool], each: Callable[[], object] = lambda: None) -> None:
    """Wait until something is so."""
    limit = time.monotonic() + PATIENCE_SECONDS
    while not done():
        assert time.monotonic() < limit
        each()
        time.sleep(0.1)


@contextmanager
def connected(server: Server, said: bytes) -> Iterator[socket.socket]:
    """Connect with room for little, and say something."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(PATIENCE_SECONDS)
        sock.connect(("127.0.0.1", server.port))
        sock.sendall(said)
        if said == handshake():
            heard = b""
            while b"\r\n\r\n" not in heard:
                heard += sock.recv(1)
            sock.sendall(ASK)
        yield sock


def flood(sock: socket.socket) -> None:
    """Send pings until the server takes no more."""
    sock.settimeout(0.5)
    with contextlib.suppress(OSError):
        for _ in range(200):
            sock.sendall(frame(PING, b"x" * 125) * 1_000)


def nothing(sock: socket.socket) -> None:
    """Do nothing."""


def read_a_byte(sock: socket.socket) -> None:
    """Read one byte, if there is any."""
    with contextlib.suppress(OSError):
        sock.settimeout(0.1)
        sock.recv(1)


def read_some(sock: socket.socket) -> None:
    """Read a part of all the rows."""
    got = 0
    while got < ROWS * 1000 // 4:
        got += len(sock.recv(65_536))


def say_pong(sock: socket.socket) -> None:
    """Say that one is there, as the answer to a ping that one has not read."""
    with contextlib.suppress(OSError):
        sock.sendall(frame(PONG, b"ping"))


READERS: dict[
    str, tuple[bytes, Callable[[socket.socket], object], Callable[[socket.socket], None]]
] = {
    "reads nothing": (handshake(), nothing, nothing),
    "reads byte by byte": (handshake(), nothing, read_a_byte),
    "stops in the middle of the rows": (handshake(), read_some, nothing),
    "says that it is there and reads nothing": (handshake(), nothing, say_pong),
    "says goodbye and reads nothing": (
        handshake(),
        lambda sock: sock.sendall(frame(CLOSE, struct.pack("!H", 1000))),
        nothing,
    ),
    "ends its half": (handshake(), lambda sock: sock.shutdown(socket.SHUT_WR), nothing),
    "asks for answers to pings": (handshake(), flood, nothing),
    "reads no stream": (STREAM, nothing, nothing),
    "reads a stream byte by byte": (STREAM, nothing, read_a_byte),
    "reads no page": (GET, nothing, nothing),
    "reads a page byte by byte": (GET, nothing, read_a_byte),
    "reads no page, and ends its half": (GET, lambda sock: sock.shutdown(socket.SHUT_WR), nothing),
    "wants no second page": (
        GET.replace(b"Host", b"Connection: close\r\nHost"),
        nothing,
        nothing,
    ),
}


@pytest.mark.parametrize("name", READERS)
def test_one_that_does_not_read_is_let_go_of(attacked: Server, name: str) -> None:
    said, then, meanwhile = READERS[name]
    until(lambda: held(attacked) == 0)
    with connected(attacked, said) as sock:
        until(lambda: held(attacked) == 1)
        time.sleep(1)
        then(sock)
        until(lambda: held(attacked) == 0, lambda: meanwhile(sock))


def test_a_stream_that_nobody_reads_is_followed_no_more(attacked: Server) -> None:
    until(lambda: held(attacked) == 0)
    with connected(attacked, STREAM):
        until(lambda: held(attacked) == 1)
        until(lambda: held(attacked) == 0)
    log = attacked.log.read_text()
    assert re.search(r"closed with 4408, .* event stream", log)


@pytest.mark.parametrize("said", [handshake(), GET, STREAM], ids=["websocket", "http", "stream"])
def test_the_system_keeps_little_of_what_nobody_reads(attacked: Server, said: bytes) -> None:
    until(lambda: held(attacked) == 0)
    with connected(attacked, said):
        until(lambda: in_kernel(attacked) > 0)
        most = 0
        while held(attacked):
            most = max(most, in_kernel(attacked))
            time.sleep(0.02)
    assert 0 < most < 2 * UNSENT_BYTES


async def test_one_that_reads_slowly_is_sent_all_of_a_page(attacked: Server) -> None:
    with connected(attacked, GET.replace(b"Host", b"Connection: close\r\nHost")) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1_048_576)
        got = 0
        while part := sock.recv(262_144):
            got += len(part)
            time.sleep(0.02)
    assert got > ROWS * 1000


@pytest.mark.parametrize("pause", [0.0, 2.0], ids=["under way", "written"])
async def test_no_websocket_is_opened_behind_an_answer_that_nobody_reads(
    attacked: Server, pause: float
) -> None:
    until(lambda: held(attacked) == 0)
    with connected(attacked, GET) as sock:
        time.sleep(pause)
        with contextlib.suppress(OSError):
            sock.sendall(handshake())
        until(lambda: held(attacked) == 0)
    log = attacked.log.read_text()
    assert "A WebSocket handshake came before an answer was read" in log
    async with talking(attacked.ws) as talk:
        await talk.ping()


def is_cut_off(sock: socket.socket, more: bytes) -> bool:
    """Say the same again and again; return whether the server takes no more of it soon."""
    limit = time.monotonic() + PATIENCE_SECONDS
    try:
        while time.monotonic() < limit:
            sock.sendall(more)
            time.sleep(0.001)
    except OSError:
        return True
    return False


ENDLESS = {
    "a header": (b"GET /bindings/tags/ HTTP/1.1\r\nX: ", b"a" * 65_536),
    "headers": (b"GET /bindings/tags/ HTTP/1.1\r\n", b"a: b\r\n" * 10_000),
    "an address": (b"GET /", b"a" * 65_536),
    "a trailer": (
        b"POST /bindings/tags/ HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"1\r\na\r\n0\r\nX: ",
        b"a" * 65_536,
    ),
}


@pytest.mark.parametrize("name", ENDLESS)
async def test_a_request_without_end_takes_neither_memory_nor_time(
    attacked: Server, name: str
) -> None:
    first, more = ENDLESS[name]
    before = memory(attacked)
    with socket.create_connection(("127.0.0.1", attacked.port), PATIENCE_SECONDS) as sock:
        sock.sendall(first)
        assert is_cut_off(sock, more)
    assert memory(attacked) - before < 12 * MIB
    async with talking(attacked.ws) as talk:
        await talk.ping()


def test_a_request_with_a_head_too_long_is_told_so(attacked: Server) -> None:
    answer = Answer(attacked.port, b"GET /bindings/tags/ HTTP/1.1\r\nX: " + b"a" * 270_000)
    assert answer.status == 431
