"""Every handshake is answered, and who is refused is told why and let go: in raw bytes."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import MakeServer
from tests.support.process import Process
from tests.support.server import ROOT, Server, free_port

PATIENCE_SECONDS = 30
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
HEADERS = {
    "Host": "127.0.0.1",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
}


def handshake(line: str = "GET /ws/ HTTP/1.1", body: str = "", **changes: str | None) -> bytes:
    """Return a handshake with some headers changed, or left out where they are None."""
    headers = HEADERS | {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [line, *(f"{name}: {value}" for name, value in headers.items() if value is not None)]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode("latin-1")


def twice(header: str, value: str) -> bytes:
    """Return a handshake with one header more."""
    return handshake().replace(b"Upgrade:", f"{header}: {value}\r\nUpgrade:".encode(), 1)


class Answer:
    """What a server says to some bytes, until it closes or the handshake is done."""

    def __init__(self, port: int, said: bytes) -> None:
        heard = b""
        with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as sock:
            sock.sendall(said)
            while not heard.startswith(b"HTTP/1.1 101") and (part := sock.recv(65_536)):
                heard += part
        head, _, body = heard.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(status.split()[1])
        self.headers = {name.lower(): value for name, value in (x.split(": ", 1) for x in lines)}
        self.text = body.decode()


OPENED = {
    "as a browser's": handshake(),
    "with a cookie of 12 kB": handshake(Cookie="a=" + "x" * 12_000),
    "with a cookie of 60 kB": handshake(Cookie="a=" + "x" * 60_000),
    "with a long address": handshake("GET /ws/?q=" + "x" * 20_000 + " HTTP/1.1"),
    "without the slash": handshake("GET /ws HTTP/1.1"),
    "with the whole address": handshake("GET http://127.0.0.1/ws/ HTTP/1.1"),
    "in other letters": handshake(Upgrade="WebSocket", Connection="keep-alive, UPGRADE"),
    "with bytes beyond ASCII": handshake(Cookie="a=\xe9"),
}

REFUSED = {
    "a cookie too long": (handshake(Cookie="a=" + "x" * 70_000), 431, "expected no more than"),
    "a cookie much too long": (handshake(Cookie="x" * 1_000_000), 431, "expected no more than"),
    "too many headers": (handshake(**{f"X-{i}": "1" for i in range(200)}), 431, "headers"),
    "an address too long": (handshake("GET /ws/?" + "q" * 70_000 + " HTTP/1.1"), 414, ""),
    "another protocol": (handshake(Upgrade="h2c"), 426, "WebSocket client"),
    "two protocols": (handshake(Upgrade="h2c, websocket"), 426, "WebSocket client"),
    "no protocol": (handshake(Upgrade=None), 426, "WebSocket client"),
    "no wish to change": (handshake(Connection="keep-alive"), 426, "WebSocket client"),
    "plain HTTP": (b"GET /ws/ HTTP/1.1\r\nHost: x\r\n\r\n", 426, "WebSocket client"),
    "plain HTTP, no slash": (b"GET /ws HTTP/1.1\r\nHost: x\r\n\r\n", 426, "WebSocket client"),
    "an old version": (handshake(Sec_WebSocket_Version="8"), 426, "version 13"),
    "two versions": (twice("Sec-WebSocket-Version", "8"), 426, "version 13"),
    "no version": (handshake(Sec_WebSocket_Version=None), 400, "Sec-WebSocket-Version"),
    "no key": (handshake(Sec_WebSocket_Key=None), 400, "Sec-WebSocket-Key"),
    "a short key": (handshake(Sec_WebSocket_Key="abc"), 400, "Sec-WebSocket-Key"),
    "two keys": (twice("Sec-WebSocket-Key", KEY), 400, "Sec-WebSocket-Key"),
    "a protocol name that is none": (
        handshake(Sec_WebSocket_Protocol="@@"),
        400,
        "Sec-WebSocket-Protocol",
    ),
    "POST": (handshake("POST /ws/ HTTP/1.1", Content_Length="0"), 405, "POST"),
    "HEAD": (handshake("HEAD /ws/ HTTP/1.1"), 405, ""),
    "a body": (handshake(body="hello", Content_Length="5"), 400, "unsupported request body"),
    "a body in chunks": (
        handshake(body="5\r\nhello\r\n0\r\n\r\n", Transfer_Encoding="chunked"),
        400,
        "transfer codings",
    ),
    "an address beyond ASCII": (handshake("GET /ws/\xe9 HTTP/1.1"), 400, ""),
    "another version of HTTP": (handshake("GET /ws/ HTTP/9.9"), 400, ""),
    "a line that is no header": (twice("X", "1").replace(b"X: 1", b"X 1"), 400, ""),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40) + b"\r\n", 400, ""),
    "no HTTP": (b"hello world\r\n\r\n", 400, ""),
    "another path": (handshake("GET /nowhere/ HTTP/1.1"), 403, ""),
}


@pytest.mark.parametrize("name", OPENED)
def test_a_right_one_is_opened(server: Server, name: str) -> None:
    assert Answer(server.port, OPENED[name]).status == 101


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_one_is_refused_and_the_connection_closed(server: Server, name: str) -> None:
    said, status, text = REFUSED[name]
    answer = Answer(server.port, said)
    assert answer.status == status
    assert text in answer.text
    assert "Traceback" not in answer.text


@pytest.mark.parametrize("name", ["plain HTTP", "an old version", "another protocol"])
def test_who_is_told_to_upgrade_is_told_to_what(server: Server, name: str) -> None:
    answer = Answer(server.port, REFUSED[name][0])
    assert answer.headers["upgrade"] == "websocket"


def test_who_comes_with_an_old_version_is_told_ours(server: Server) -> None:
    answer = Answer(server.port, REFUSED["an old version"][0])
    assert answer.headers["sec-websocket-version"] == "13"


def test_refusals_leave_no_traceback_in_the_log(server: Server) -> None:
    for said, _, _ in REFUSED.values():
        Answer(server.port, said)
    assert "Traceback" not in server.log.read_text()


def test_how_long_a_line_may_be_is_a_setting(make_server: MakeServer) -> None:
    with make_server(MAX_HEADER_BYTES=1000) as server:
        assert Answer(server.port, handshake(Cookie="x" * 900)).status == 101
        assert Answer(server.port, handshake(Cookie="x" * 1100)).status == 431


PROTOCOL = "bindserver.server.sockets:WebSocketProtocol"
OTHERS = {
    "uvicorn": ["uvicorn", "--port", "PORT", "--ws", PROTOCOL, "tests.asgi:application"],
    "uvicorn with h11": [
        *("uvicorn", "--port", "PORT", "--http", "h11", "--ws", PROTOCOL),
        "tests.asgi:application",
    ],
    "gunicorn": [
        *("gunicorn", "--bind", "127.0.0.1:PORT", "--worker-class", "tests.support.worker.Worker"),
        *("--no-control-socket", "tests.asgi:application"),
    ],
}


@pytest.fixture(scope="module", params=OTHERS)
def other(
    request: pytest.FixtureRequest,
    make_server: MakeServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Process]:
    """Another server that was told to use the protocol."""
    port, environment = free_port(), make_server().environment
    words = [word.replace("PORT", str(port)) for word in OTHERS[request.param]]
    log = tmp_path_factory.mktemp("other") / "other.log"
    command = [sys.executable, "-m", *words]
    with Process(command, port=port, env=environment, cwd=Path(ROOT), log=log) as process:
        yield process


@pytest.mark.parametrize("name", OPENED)
def test_another_server_may_use_the_protocol(other: Process, name: str) -> None:
    assert isinstance(other.port, int)
    assert Answer(other.port, OPENED[name]).status == 101


@pytest.mark.parametrize("name", ["a cookie too long", "too many headers", "a body", "plain HTTP"])
def test_another_server_that_does_refuses_as_ours_does(other: Process, name: str) -> None:
    assert isinstance(other.port, int)
    said, status, text = REFUSED[name]
    answer = Answer(other.port, said)
    assert (answer.status, text in answer.text) == (status, True)
