"""The protocol class by RFC 6455, with an application that says everything back: the cases that
Autobahn's suite for servers tries, byte by byte."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn

from bindserver.server.requests import HTTPProtocol
from bindserver.server.sockets import WebSocketProtocol
from tests.support.server import free_port

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
END = 0x80
PATIENCE_SECONDS = 20
MASK = b"\x37\xfa\x21\x3d"
SNOWMAN = "κόσμε ☃ 🎈".encode()


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Say everything back."""
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        said = {key: message[key] for key in ("text", "bytes") if message.get(key) is not None}
        await send({"type": "websocket.send", **said})


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A server's that says everything back."""
    with serving(echo) as port:
        yield port


@contextmanager
def serving(application: Any) -> Iterator[int]:
    """Serve with the protocol classes of `manage.py bindserver`; yield the port."""
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(
            application, port=port, http=HTTPProtocol, ws=WebSocketProtocol, lifespan="off",
            log_level="error", ws_per_message_deflate=False, ws_max_size=1024 * 1024,
        )
    )  # fmt: skip
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield port
    server.should_exit = True
    thread.join(PATIENCE_SECONDS)


def frame(first: int, payload: bytes = b"", *, masked: bool = True) -> bytes:
    """Return a frame as bytes."""
    size, bit = len(payload), 0x80 if masked else 0
    if size < 126:
        head = bytes([first, bit | size])
    elif size < 65536:
        head = bytes([first, bit | 126]) + struct.pack("!H", size)
    else:
        head = bytes([first, bit | 127]) + struct.pack("!Q", size)
    if not masked:
        return head + payload
    mask = int.from_bytes((MASK * (size // 4 + 1))[:size], "big")
    return head + MASK + (int.from_bytes(payload, "big") ^ mask).to_bytes(size, "big")


class Client:
    """Writes bytes, and reads frames.

    Args:
        port: the server's.
        headers: further lines of the handshake.

    Attributes:
        head: the server's answer to it.
    """

    def __init__(self, port: int, *headers: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)
        lines = [
            "GET / HTTP/1.1", "Host: localhost", "Upgrade: websocket", "Connection: Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13",
            *headers, "", "",
        ]  # fmt: skip
        self._socket.sendall("\r\n".join(lines).encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self._read(1)
        assert b" 101 " in head
        assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
        self.head = head.decode()

    def send(self, first: int, payload: bytes = b"", *, piece: int = 0) -> None:
        """Send a frame, in pieces of so many bytes."""
        data = frame(first, payload)
        step = piece or len(data)
        for start in range(0, len(data), step):
            self.write(data[start : start + step])

    def write(self, data: bytes) -> None:
        """Send bytes, at once: the server may hang up behind any of them."""
        self._socket.sendall(data)

    def receive(self) -> tuple[int, bytes]:
        """Return the next frame's first byte, and its payload."""
        first, size = self._read(2)
        if size == 126:
            (size,) = struct.unpack("!H", self._read(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self._read(8))
        return first, self._read(size)

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self._socket.recv(size - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def closed_with(self) -> int:
        """Return the code of the close that comes next, and see that nothing follows it."""
        first, payload = self.receive()
        assert first == END | CLOSE, (first, payload)
        if payload:
            self.send(END | CLOSE, payload[:2])
        with pytest.raises((EOFError, ConnectionError)):
            self._read(1)
        return int.from_bytes(payload[:2], "big") if payload else 1005

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def client(port: int) -> Iterator[Client]:
    client = Client(port)
    yield client
    client.close()


SIZES = [0, 1, 125, 126, 127, 128, 65_535, 65_536, 1024 * 1024]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", [TEXT, BINARY])
def test_a_message_of_any_length_comes_back(client: Client, kind: int, size: int) -> None:
    payload = b"*" * size if kind == TEXT else b"\xfe" * size
    client.send(END | kind, payload)
    assert client.receive() == (END | kind, payload)


@pytest.mark.parametrize(("size", "piece"), [(125, 1), (65_536, 997)])
def test_a_frame_in_pieces_of_the_transport_is_one(client: Client, size: int, piece: int) -> None:
    client.send(END | TEXT, b"*" * size, piece=piece)
    assert client.receive() == (END | TEXT, b"*" * size)


@pytest.mark.parametrize("payload", [b"", b"Hello", b"\x00\xff\xfe\xfd", b"\xfe" * 125])
def test_a_ping_is_answered_with_its_payload(client: Client, payload: bytes) -> None:
    client.send(END | PING, payload, piece=1)
    assert client.receive() == (END | PONG, payload)


def test_many_pings_are_all_answered_and_pongs_of_nothing_are_not(client: Client) -> None:
    client.send(END | PONG, b"nobody asked")
    for number in range(10):
        client.send(END | PING, str(number).encode())
    assert [client.receive()[1] for _ in range(10)] == [str(n).encode() for n in range(10)]


@pytest.mark.parametrize("first", [END | CLOSE, END | PING, END | PONG])
def test_a_control_frame_that_is_too_long_ends_the_connection(client: Client, first: int) -> None:
    client.send(first, b"\x03\xe8" + b"x" * 124)
    assert client.closed_with() == 1002


@pytest.mark.parametrize("bits", range(1, 8))
@pytest.mark.parametrize("kind", [TEXT, BINARY, CLOSE, PING, PONG])
def test_reserved_bits_end_the_connection(client: Client, kind: int, bits: int) -> None:
    client.send(END | TEXT, b"before")
    assert client.receive() == (END | TEXT, b"before")
    client.send(END | bits << 4 | kind)
    assert client.closed_with() == 1002


@pytest.mark.parametrize("kind", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
def test_a_reserved_kind_of_frame_ends_the_connection(client: Client, kind: int) -> None:
    client.send(END | kind, b"x")
    assert client.closed_with() == 1002


def test_a_frame_that_is_not_masked_ends_the_connection(client: Client) -> None:
    client.write(frame(END | TEXT, b"x", masked=False))
    assert client.closed_with() == 1002


def test_a_message_in_fragments_with_a_ping_in_between_comes_back_whole(client: Client) -> None:
    client.send(TEXT, b"frag")
    client.send(CONTINUATION, b"")
    client.send(END | PING, b"ping")
    assert client.receive() == (END | PONG, b"ping")
    client.send(END | CONTINUATION, b"ment")
    assert client.receive() == (END | TEXT, b"fragment")


@pytest.mark.parametrize(
    "frames",
    [
        [END | CONTINUATION],
        [CONTINUATION, END | TEXT],
        [TEXT, END | TEXT],
        [TEXT, END | BINARY],
        [END | TEXT, END | CONTINUATION],
        [PING, END | CONTINUATION],
        [PONG],
    ],
)
def test_fragments_out_of_place_end_the_connection(client: Client, frames: list[int]) -> None:
    if frames[0] == END | TEXT:  # a message of its own
        client.send(frames[0], b"x")
        assert client.receive() == (END | TEXT, b"x")
        frames = frames[1:]
    client.write(b"".join(frame(first, b"x") for first in frames))
    assert client.closed_with() == 1002


@pytest.mark.parametrize("piece", range(1, len(SNOWMAN)))
def test_a_letter_may_be_cut_by_fragments(client: Client, piece: int) -> None:
    client.send(TEXT, SNOWMAN[:piece])
    client.send(END | CONTINUATION, SNOWMAN[piece:])
    assert client.receive() == (END | TEXT, SNOWMAN)


NO_TEXT = [
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
    b"\xff", b"\x80", b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xed\xbf\xbf",
    b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80", b"\xe2\x98", b"\xfe\xfe\xff\xff",
]  # fmt: skip


@pytest.mark.parametrize("payload", NO_TEXT)
@pytest.mark.parametrize("fragments", [False, True])
def test_text_that_is_not_utf_8_ends_the_connection(
    client: Client, payload: bytes, fragments: bool
) -> None:
    if fragments:
        client.send(TEXT, payload[:1])
        client.send(END | CONTINUATION, payload[1:])
    else:
        client.send(END | TEXT, payload)
    assert client.closed_with() == 1007


@pytest.mark.parametrize("letter", ["\x00", "\x7f", "\ud7ff", "\ue000", "\ufffe", "\U0010ffff"])
def test_text_of_any_letter_comes_back(client: Client, letter: str) -> None:
    client.send(END | TEXT, letter.encode())
    assert client.receive() == (END | TEXT, letter.encode())


@pytest.mark.parametrize(
    "code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999]
)
@pytest.mark.parametrize("reason", [b"", b"x" * 123])
def test_a_close_is_answered_with_its_code(client: Client, code: int, reason: bytes) -> None:
    client.send(END | CLOSE, code.to_bytes(2, "big") + reason)
    assert client.closed_with() == code


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65535])
def test_a_close_with_a_code_that_is_none_ends_the_connection(client: Client, code: int) -> None:
    client.send(END | CLOSE, code.to_bytes(2, "big"))
    assert client.closed_with() == 1002


def test_a_close_without_a_code_is_answered(client: Client) -> None:
    client.send(END | CLOSE)
    assert client.closed_with() in (1000, 1005)


def test_a_close_with_half_a_code_ends_the_connection(client: Client) -> None:
    client.send(END | CLOSE, b"\x03")
    assert client.closed_with() == 1002


def test_a_close_whose_reason_is_not_utf_8_ends_the_connection(client: Client) -> None:
    client.send(END | CLOSE, b"\x03\xe8" + NO_TEXT[0])
    assert client.closed_with() in (1002, 1007)


def test_what_comes_after_a_close_is_not_answered(client: Client) -> None:
    close = frame(END | CLOSE, b"\x03\xe8")
    client.write(close + frame(END | PING, b"late") + frame(END | TEXT, b"late"))
    assert client.closed_with() == 1000


def test_a_message_that_is_too_big_ends_the_connection(client: Client) -> None:
    client.write(frame(END | BINARY, b"x" * (1024 * 1024 + 1))[:14])
    assert client.closed_with() == 1009
