"""The protocol class by RFC 7692, with applications that say everything back, by ASGI and past it:
what Autobahn's cases 12 and 13 try, and what a client may try that means no good."""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.test import override_settings
from websockets.exceptions import InvalidStatus
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.sync.client import connect

from bindserver.engine.deflate import LEAST_BYTES, TAIL
from bindserver.engine.frames import Frame
from bindserver.engine.line import Line
from bindserver.websocket.wire import wire_of
from tests.servers.transports.test_rfc6455 import (
    BINARY,
    CLOSE,
    CONTINUATION,
    END,
    NO_TEXT,
    PING,
    PONG,
    SNOWMAN,
    TEXT,
    Client,
    echo,
    frame,
    serving,
)

PACKED = 0x40
"""RSV1: the message is compressed."""

BROWSER = "permessage-deflate; client_max_window_bits"
AGREED = (
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover;"
    " server_max_window_bits=12"
)
MIB = 1024 * 1024


class Echo:
    """Says everything back past ASGI, as text."""

    def __init__(self) -> None:
        self.line = Line()

    def receive(self, text: str | None) -> None:
        self.line.put(Frame.of("binary" if text is None else text))

    def fail(self) -> None:
        raise AssertionError

    def gone(self, code: int, reason: str) -> None:
        pass


async def echo_straight(scope: Any, receive: Any, send: Any) -> None:
    """Say everything back, past ASGI."""
    await receive()
    await send({"type": "websocket.accept"})
    straight = wire_of(scope, Echo())
    assert straight is not None
    straight.listen()


@pytest.fixture(scope="module", params=["asgi", "straight"])
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    """A server's that compresses, by ASGI and past it."""
    with (
        override_settings(BINDSERVER={**settings.BINDSERVER, "COMPRESSION": True}),
        serving(echo if request.param == "asgi" else echo_straight) as port,
    ):
        yield port


@pytest.fixture
def client(port: int) -> Iterator[Client]:
    """One who has offered what browsers do."""
    client = Client(port, f"Sec-WebSocket-Extensions: {BROWSER}")
    yield client
    client.close()


def pack(text: str | bytes, bits: int = 15) -> bytes:
    """Return a message's payload as a client compresses it."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -bits)
    data = text.encode() if isinstance(text, str) else text
    packed = packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH)
    return packed.removesuffix(TAIL)


def unpack(payload: bytes) -> bytes:
    return zlib.decompressobj(-12).decompress(payload + TAIL)


def heard(client: Client) -> bytes:
    """Return the next message, which is compressed where it gets shorter."""
    first, payload = client.receive()
    assert first & ~PACKED == END | TEXT, (first, payload)
    return unpack(payload) if first & PACKED else payload


def answer_to(port: int, *offers: str) -> str | None:
    """Return how a server answers offers, one a header."""
    client = Client(port, *(f"Sec-WebSocket-Extensions: {offer}" for offer in offers))
    client.close()
    lines = [line.partition(": ") for line in client.head.splitlines()]
    answers = [value for name, _, value in lines if name.lower() == "sec-websocket-extensions"]
    assert len(answers) <= 1
    return answers[0] if answers else None


# What is agreed on.


@pytest.mark.parametrize(
    ("offer", "answer"),
    [
        ("permessage-deflate", AGREED),
        (BROWSER, AGREED),
        ("permessage-deflate; server_no_context_takeover", AGREED),
        ("permessage-deflate; client_no_context_takeover", AGREED),
        ("permessage-deflate; server_max_window_bits=12", AGREED),
        ("permessage-deflate; server_max_window_bits=15", AGREED),
        ('permessage-deflate; server_max_window_bits="13"', AGREED),
        ("permessage-deflate; client_max_window_bits=9", f"{AGREED}; client_max_window_bits=9"),
        ("x-webkit-deflate-frame, permessage-deflate", AGREED),
        ("permessage-deflate, permessage-deflate", AGREED),
        ("permessage-deflate; server_max_window_bits=9, permessage-deflate", AGREED),
        ("permessage-deflate; mine=1, permessage-deflate; server_max_window_bits=14", AGREED),
    ],
)
def test_an_offer_is_taken_that_can_be_met(port: int, offer: str, answer: str) -> None:
    assert answer_to(port, offer) == answer


@pytest.mark.parametrize(
    "parameters",
    [
        *(f"server_max_window_bits={bits}" for bits in ("8", "9", "10", "11", "7", "16", "012")),
        *(f"client_max_window_bits={bits}" for bits in ("7", "16", "0", "x")),
        "server_max_window_bits",
        "server_no_context_takeover=1",
        "client_no_context_takeover=true",
        "server_no_context_takeover; server_no_context_takeover",
        "client_max_window_bits; client_max_window_bits=10",
        "server_max_window_bits=12; server_max_window_bits=12",
        "level=9",
    ],
)
def test_an_offer_is_declined_that_cannot_be_met_or_is_none(port: int, parameters: str) -> None:
    assert answer_to(port, f"permessage-deflate; {parameters}") is None
    assert answer_to(port, f"permessage-deflate; {parameters}", BROWSER) == AGREED


def test_a_header_that_cannot_be_read_is_refused(port: int) -> None:
    headers = {"Sec-WebSocket-Extensions": "permessage-deflate; ="}
    with pytest.raises(InvalidStatus) as refused:
        connect(f"ws://127.0.0.1:{port}", compression=None, additional_headers=headers)
    assert refused.value.response.status_code == 400


def test_nothing_is_taken_unless_a_setting_says_it() -> None:
    with override_settings(BINDSERVER={}), serving(echo) as port:
        assert answer_to(port, BROWSER) is None


def test_who_has_offered_nothing_is_sent_nothing_compressed(port: int) -> None:
    client = Client(port)
    client.send(END | TEXT, b"x" * 1000)
    assert client.receive() == (END | TEXT, b"x" * 1000)
    client.send(END | PACKED | TEXT, pack("x" * 1000))
    assert client.closed_with() == 1002
    client.close()


# Messages: Autobahn's cases 12 and 13.


def text_of(size: int) -> str:
    """Return JSON of about so many bytes."""
    drawn = random.Random(size)
    row = {"id": 1, "name": "κόσμε ☃", "price": "1.00"}
    rows = [{**row, "stock": drawn.randrange(1000)} for _ in range(size // 60 + 1)]
    return json.dumps(rows, ensure_ascii=False)[:size]


@pytest.mark.parametrize(
    "offer",
    [
        {},
        {"client_no_context_takeover": True},
        {"server_no_context_takeover": True, "client_max_window_bits": 9},
        {"server_max_window_bits": 12, "client_max_window_bits": 15},
        {"server_max_window_bits": 15, "server_no_context_takeover": True},
        {"server_max_window_bits": 9},  # declined: the messages are the same
    ],
)
@pytest.mark.parametrize("size", [16, 64, 256, 1024, 4096, 8192, 32_768, 65_536, 131_072])
def test_messages_of_any_length_come_back(port: int, size: int, offer: Any) -> None:
    extension = ClientPerMessageDeflateFactory(**offer)
    with connect(f"ws://127.0.0.1:{port}", compression=None, extensions=[extension]) as socket:
        for number in range(20):
            text = text_of(size + number)
            socket.send(text)
            assert socket.recv() == text


@pytest.mark.parametrize("size", [0, 1, 127, 128, 8192, 131_072, MIB])
def test_a_message_in_fragments_comes_back_whole(client: Client, size: int) -> None:
    text = text_of(size).encode() if size < MIB else b"x" * MIB
    packed = pack(text)
    step = max(1, len(packed) // 7)
    client.send(PACKED | TEXT, packed[:step])
    for start in range(step, len(packed), step):
        client.send(END | PING, b"between")
        assert client.receive() == (END | PONG, b"between")
        client.send(CONTINUATION, packed[start : start + step])
    client.send(END | CONTINUATION)
    assert heard(client) == text


@pytest.mark.parametrize(
    "payload",
    [
        "f248cdc9c90700",  # compressed
        "000500faff48656c6c6f00",  # not compressed
        "f348cdc9c9070000",  # a last block
        "f248050000 00ffffcac9c90700",  # two blocks
        "000000ffff00000 0fffff248cdc9c90700",  # behind empty ones
    ],
)
@pytest.mark.parametrize("piece", [0, 1, 3])
def test_the_examples_of_the_rfc_say_hello(client: Client, payload: str, piece: int) -> None:
    packed = bytes.fromhex(payload.replace(" ", ""))
    if piece:
        client.send(PACKED | TEXT, packed[:piece])
        client.send(END | CONTINUATION, packed[piece:])
    else:
        client.send(END | PACKED | TEXT, packed)
    assert heard(client) == b"Hello"


def test_an_empty_message_is_one_byte_or_none(client: Client) -> None:
    client.send(END | PACKED | TEXT, b"\x00")
    assert heard(client) == b""
    client.send(END | TEXT)
    assert heard(client) == b""


def test_a_message_need_not_be_compressed(client: Client) -> None:
    client.send(END | TEXT, SNOWMAN)
    client.send(END | PACKED | TEXT, pack(SNOWMAN))
    client.send(TEXT, SNOWMAN[:3])
    client.send(END | CONTINUATION, SNOWMAN[3:])
    assert [heard(client) for _ in range(3)] == [SNOWMAN] * 3


def test_what_is_said_is_compressed_where_it_gets_shorter(client: Client) -> None:
    noise = "".join(chr(random.Random(1).randrange(33, 127)) for _ in range(8))
    letters = "".join(map(chr, random.Random(2).sample(range(128), 128)))
    for text, is_shorter in (
        ("x" * (LEAST_BYTES - 1), False),
        ("x" * LEAST_BYTES, True),
        (noise * 40, True),
        (letters, False),
        ("x" * 100_000, True),
    ):
        client.send(END | TEXT, text.encode())
        first, payload = client.receive()
        assert (first == END | PACKED | TEXT) == is_shorter, text
        assert (unpack(payload) if is_shorter else payload) == text.encode()


def test_binary_messages_are_unpacked_too(client: Client) -> None:
    client.send(END | PACKED | BINARY, pack(b"\xfe" * 1000))
    first, payload = client.receive()
    assert (first, payload) == (END | TEXT, b"binary") or unpack(payload) == b"\xfe" * 1000


def test_many_messages_in_one_piece_are_answered_one_by_one(client: Client) -> None:
    texts = [text_of(size) for size in range(100, 150)]
    said = [frame(END | PACKED | TEXT, pack(text)) + frame(END | PING, b"x") for text in texts]
    client.write(b"".join(said))
    frames = [client.receive() for _ in range(2 * len(texts))]
    assert sum(first == END | PONG for first, _ in frames) == len(texts)
    told = [unpack(p) if f & PACKED else p for f, p in frames if f != END | PONG]
    assert told == [text.encode() for text in texts]


def test_a_close_behind_messages_is_taken_when_they_are(client: Client) -> None:
    client.write(frame(END | PACKED | TEXT, pack("one")) + frame(END | CLOSE, b"\x03\xe8"))
    first, payload = client.receive()
    if first == END | TEXT:  # past ASGI it is said at once
        first, payload = client.receive()
    assert (first, payload) == (END | CLOSE, b"\x03\xe8")


# What ends the connection.


@pytest.mark.parametrize("kind", [CLOSE, PING, PONG])
def test_a_control_frame_is_never_compressed(client: Client, kind: int) -> None:
    client.send(END | PACKED | kind, pack("x"))
    assert client.closed_with() == 1002


@pytest.mark.parametrize("is_packed", [True, False])
def test_a_further_fragment_does_not_say_that_it_is_compressed(
    client: Client, is_packed: bool
) -> None:
    client.send((PACKED if is_packed else 0) | TEXT, b"\x00")
    client.send(END | PACKED | CONTINUATION, b"\x00")
    assert client.closed_with() == 1002


@pytest.mark.parametrize("bits", [0x10, 0x20, 0x30])
@pytest.mark.parametrize("packed", [0, PACKED])
def test_other_reserved_bits_end_the_connection(client: Client, bits: int, packed: int) -> None:
    client.send(END | packed | bits | TEXT, pack("x"))
    assert client.closed_with() == 1002


WHOLE = pack(text_of(5_000))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff\xff\xff",
        WHOLE[:-1],
        WHOLE[: len(WHOLE) // 2],
        bytes.fromhex("f348cdc9c9070000") + b"more",
        bytes.fromhex("f348cdc9c90700") + bytes.fromhex("f248cdc9c90700"),
        b"\x78\x9c" + WHOLE,  # zlib's own head
    ],
    ids=["nothing", "noise", "cut by one", "cut in half", "behind the last", "two", "zlib"],
)
@pytest.mark.parametrize("in_fragments", [False, True])
def test_what_cannot_be_unpacked_ends_the_connection(
    client: Client, payload: bytes, in_fragments: bool
) -> None:
    if in_fragments:
        pieces = [payload[:5], payload[5:9], payload[9:], b""]
        kinds = [PACKED | TEXT, CONTINUATION, CONTINUATION, END | CONTINUATION]
        client.write(b"".join(map(frame, kinds, pieces)))
    else:
        client.send(END | PACKED | TEXT, payload)
    assert client.closed_with() == 1002


def test_a_message_does_not_refer_to_the_one_before(client: Client) -> None:
    packer = zlib.compressobj(wbits=-15)
    for _ in range(2):
        packed = packer.compress(b"the same words") + packer.flush(zlib.Z_SYNC_FLUSH)
        client.send(END | PACKED | TEXT, packed.removesuffix(TAIL))
    assert heard(client) == b"the same words"
    assert client.closed_with() == 1002


@pytest.mark.parametrize("payload", NO_TEXT)
def test_compressed_text_that_is_not_utf_8_ends_the_connection(
    client: Client, payload: bytes
) -> None:
    client.send(END | PACKED | TEXT, pack(payload))
    assert client.closed_with() == 1007


@pytest.mark.parametrize("size", [MIB + 1, 20 * MIB])
@pytest.mark.parametrize("fragments", [1, 3])
def test_a_message_that_is_too_big_unpacked_ends_the_connection(
    client: Client, size: int, fragments: int
) -> None:
    packed = pack(b"x" * size)
    step = len(packed) // fragments + 1
    pieces = [packed[start : start + step] for start in range(0, len(packed), step)]
    kinds = [PACKED | TEXT] + [CONTINUATION] * (len(pieces) - 1)
    kinds[-1] |= END
    client.write(b"".join(map(frame, kinds, pieces)))
    assert client.closed_with() == 1009


def test_a_message_without_end_ends_the_connection_though_it_says_nothing(client: Client) -> None:
    empty = b"\x00\x00\x00\xff\xff" * 100_000
    client.send(PACKED | TEXT, empty)
    client.send(CONTINUATION, empty)
    client.send(END | PING, b"still here")
    assert client.receive() == (END | PONG, b"still here")
    client.write(frame(CONTINUATION, empty))
    assert client.closed_with() == 1009
