"""Clients that do not send what they have begun are let go of, and nobody else is."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.conftest import MakeServer
from tests.servers.test_slow_readers import held, until
from tests.servers.transports.test_handshakes import handshake
from tests.support.process import pause
from tests.support.server import ROOT, Server

PATIENCE_SECONDS = 60
LINE_BYTES = 20_000
GET = b"GET /bindings/products/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
POST = b"POST /bindings/products/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n"
SLOW = {
    "says nothing": (b"", b""),
    "sends half a head": (GET[:30], b""),
    "drips a head": (GET[:-2], b"X-A: b\r\n"),
    "drips a line": (GET[:20], b"x"),
    "sends half a handshake": (handshake()[:40], b""),
    "drips a handshake": (handshake()[:-2], b"X-A: b\r\n"),
    "sends half a body": (POST % 100_000 + b"x" * 50, b""),
    "drips a body": (POST % 100_000, b"x"),
    "drips a second head": (GET + GET[:20], b"x"),
    "drips a chunk": (
        POST.replace(b"Content-Length: %d", b"Transfer-Encoding: chunked") + b"ffff\r\n",
        b"x",
    ),
}
TOLD = {
    *("sends half a head", "drips a head", "drips a line", "drips a second head"),
    *("sends half a handshake", "drips a handshake"),
}
"""Those that are told why."""


PARSERS = {"httptools": "", "h11": f"{ROOT}/tests/support/without_httptools"}
"""What reads requests, and where Python finds that there is nothing else."""


@pytest.fixture(scope="module", params=PARSERS)
def server(make_server: MakeServer, request: pytest.FixtureRequest) -> Server:
    """A server that waits for a second for what it is sent."""
    path = os.pathsep.join(filter(None, (PARSERS[request.param], os.environ.get("PYTHONPATH"))))
    limits = {"HEAD_SECONDS": 1, "BODY_SECONDS": 1, "MAX_HEADER_BYTES": LINE_BYTES}
    return make_server(environment={"PYTHONPATH": path}, **limits).start()


@contextmanager
def saying(server: Server, said: bytes) -> Iterator[socket.socket]:
    """Connect, and say something."""
    with socket.socket() as sock:
        sock.settimeout(PATIENCE_SECONDS)
        sock.connect(("127.0.0.1", server.port))
        sock.sendall(said)
        yield sock


def heard(sock: socket.socket, drip: bytes) -> bytes:
    """Return all that the server says until it closes, while something drips."""
    until, said = time.monotonic() + PATIENCE_SECONDS, b""
    sock.settimeout(0.2)
    while time.monotonic() < until:
        with contextlib.suppress(TimeoutError):
            try:
                sock.sendall(drip)
                more = sock.recv(65536)
            except (ConnectionResetError, BrokenPipeError):
                return said
            if not more:
                return said
            said += more
    raise AssertionError(f"the connection is open still, after {said!r}")


@pytest.mark.parametrize("name", SLOW)
def test_one_that_does_not_end_its_request_is_let_go_of(server: Server, name: str) -> None:
    until(lambda: held(server) == 0)
    said, drip = SLOW[name]
    with saying(server, said) as sock:
        answer = heard(sock, drip)
    assert (b"HTTP/1.1 408 Request Timeout" in answer) is (name in TOLD)
    until(lambda: held(server) == 0)
    assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize(
    "head",
    [
        GET[:-2] + b"X-A: " + b"x" * 5 * LINE_BYTES,
        GET[:-2] + b"X-A: b\r\n" * LINE_BYTES,
        b"GET /" + b"x" * 5 * LINE_BYTES,
    ],
    ids=["one line", "many lines", "an address"],
)
def test_a_head_without_end_is_refused_before_its_time_is_over(server: Server, head: bytes) -> None:
    until(lambda: held(server) == 0)
    with saying(server, b"") as sock:
        with contextlib.suppress(ConnectionError):
            sock.sendall(head)
        answer = heard(sock, b"")
    assert answer.startswith((b"HTTP/1.1 431", b"HTTP/1.1 400")), answer
    until(lambda: held(server) == 0)
    assert "Traceback" not in server.log.read_text()


def test_a_process_that_stood_still_hears_what_came_before_it_looks_at_the_clock(
    server: Server,
) -> None:
    """Whoever has sent all in time is not cut off since the server has not read it."""
    until(lambda: held(server) == 0)
    with saying(server, b"") as sock:
        until(lambda: held(server) == 1)
        pause(server.pid)
        try:
            sock.sendall(GET)
            time.sleep(2)
        finally:
            os.kill(server.pid, signal.SIGCONT)
        assert whole(sock).startswith(b"HTTP/1.1 200")


def test_hundreds_of_them_leave_no_handle_behind(server: Server) -> None:
    until(lambda: held(server) == 0)
    with contextlib.ExitStack() as stack:
        for number in range(300):
            stack.enter_context(saying(server, list(SLOW.values())[number % len(SLOW)][0]))
        until(lambda: held(server) == 0)


def test_who_waits_for_an_answer_or_sends_on_is_not_cut_off(server: Server) -> None:
    """A body that takes several times BODY_SECONDS, and comes all the same."""
    size, piece = 100_000, 10_000
    with saying(server, POST % size) as sock:
        for _ in range(size // piece):
            time.sleep(0.3)
            sock.sendall(b"x" * piece)
        sock.settimeout(PATIENCE_SECONDS)
        assert sock.recv(65536).startswith(b"HTTP/1.1 4")


def test_an_idle_connection_is_left_to_keepalive(server: Server) -> None:
    with saying(server, GET) as sock:
        assert whole(sock).startswith(b"HTTP/1.1 200")
        time.sleep(2)
        sock.sendall(GET)
        assert whole(sock).startswith(b"HTTP/1.1 200")


def whole(sock: socket.socket) -> bytes:
    """Return a whole answer, which comes in chunks."""
    said = b""
    while not said.endswith(b"\r\n0\r\n\r\n"):
        said += sock.recv(65536)
    return said
