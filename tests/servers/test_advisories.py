"""What advisories say of servers like this one, tried on ours: `docs/security.md` lists them."""

from __future__ import annotations

import ast
import contextlib
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

import bindserver
from bindserver.server.conversation import PIECES
from tests.conftest import MakeServer
from tests.servers.test_bad_input import memory
from tests.servers.transports.test_handshakes import PATIENCE_SECONDS, Answer, handshake, twice
from tests.support.server import Server
from tests.support.talk import talking

MASK = b"\x01\x02\x03\x04"
TEXT, CONTINUATION, PING, FIN = 1, 0, 9, 0x80
MIB = 1024


@pytest.fixture(scope="module")
def attacked(make_server: MakeServer) -> Server:
    return make_server().start()


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
    """Return a short frame of a client's."""
    masked = bytes(byte ^ MASK[i % 4] for i, byte in enumerate(payload))
    return bytes([(FIN if fin else 0) | opcode, 0x80 | len(payload)]) + MASK + masked


@contextmanager
def opened(server: Server) -> Iterator[socket.socket]:
    """Open a WebSocket of raw bytes."""
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE_SECONDS) as sock:
        sock.sendall(handshake())
        heard = b""
        while b"\r\n\r\n" not in heard:
            heard += sock.recv(65_536)
        assert heard.startswith(b"HTTP/1.1 101")
        yield sock


def code_of_close(sock: socket.socket) -> int:
    """Return the code with which the server closes, past the text that it says before."""
    heard = b""
    while part := sock.recv(65_536):
        heard += part
    assert b"\x88\x02" in heard, heard
    at = heard.rindex(b"\x88\x02")
    return int(struct.unpack("!H", heard[at + 2 : at + 4])[0])


@pytest.mark.parametrize("payload", [b"", b"ab"], ids=["empty", "short"])
async def test_a_message_in_countless_pieces_is_ended(attacked: Server, payload: bytes) -> None:
    with opened(attacked) as sock:
        piece = frame(CONTINUATION, payload, fin=False)
        sock.sendall(frame(TEXT, b"{", fin=False) + piece * (PIECES - 1) + frame(PING, b"mark"))
        heard = b""
        while b"mark" not in heard:  # else what it has not read yet would cut off what it says
            heard += sock.recv(65_536)
        sock.sendall(piece)
        assert code_of_close(sock) == 1009
    await is_served(attacked)


async def test_a_message_in_many_pieces_is_heard(attacked: Server) -> None:
    with opened(attacked) as sock:
        pieces = [frame(CONTINUATION, bytes([byte]), fin=False) for byte in b'"event":"$ping"}']
        sock.sendall(frame(TEXT, b"{", fin=False) + b"".join(pieces))
        sock.sendall(frame(CONTINUATION, b" "))
        heard = b""
        while b"$pong" not in heard:
            heard += sock.recv(65_536)


async def test_pings_whose_answers_nobody_reads_take_no_memory(attacked: Server) -> None:
    before, batch = memory(attacked), frame(PING, b"x" * 125) * 1_000
    # A server that is busy may find out meanwhile that its own pings are not answered.
    with opened(attacked) as sock:
        with contextlib.suppress(OSError):
            for _ in range(200):  # 26 MB
                sock.sendall(batch)
        grown = memory(attacked) - before
    assert grown < 12 * MIB
    await is_served(attacked)


async def test_many_headers_and_long_protocols_end_nobody(attacked: Server) -> None:
    many = handshake().replace(b"Upgrade:", b"X-Some: x\r\n" * 5_000 + b"Upgrade:", 1)
    assert Answer(attacked.port, many).status in (101, 400, 431)
    for value in ("a" + " " * 20_000 + "b", ",".join(["a" * 20] * 1_000), "\xff\xfe", "é, é"):
        assert Answer(attacked.port, handshake(Sec_WebSocket_Protocol=value)).status in (101, 400)
        extensions = twice("Sec-WebSocket-Extensions", "permessage-deflate; " + "x" * 5_000)
        assert Answer(attacked.port, extensions).status in (101, 400)
    await is_served(attacked)


async def test_no_message_is_unpacked(attacked: Server) -> None:
    async with connect(attacked.ws, compression="deflate") as client:
        assert client.protocol.extensions == []


@pytest.mark.parametrize("name", ["_connector", "_negated", "__class__", "pk__in", "name__regex"])
async def test_params_are_values_and_never_names_of_lookups(attacked: Server, name: str) -> None:
    async with talking(attacked.ws) as talk:
        await talk.say("in_category", params={"category": 1, name: "x' OR 1=1 --"}, ref=1)
        data = await talk.hear_data("in_category")
        assert data["payload"]["code"] == "invalid_params"
        await talk.say("in_category", params={"category": {name: 1}}, ref=2)
        data = await talk.hear_data("in_category")
        assert data["payload"]["code"] == "invalid_params"


def test_nothing_unpickles_what_others_say() -> None:
    for path in Path(bindserver.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            taken = set()
            if isinstance(node, ast.Import):
                taken = {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                taken = {f"{node.module}.{alias.name}" for alias in node.names}
            makers = {"marshal", "pickle", "shelve", "pickle.load", "pickle.loads"}
            assert not taken & {*makers, "pickle.Unpickler", "marshal.loads"}, path


async def is_served(server: Server) -> None:
    """See that others are."""
    async with talking(server.ws) as talk:
        await talk.ping()
