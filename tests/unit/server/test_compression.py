"""What comes compressed is unpacked one message at a time, and nothing of it is kept."""

from __future__ import annotations

import logging
import sys
import tracemalloc
import zlib
from collections.abc import Iterator

import pytest
from websockets.client import ClientProtocol
from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.uri import parse_uri

from bindserver.engine.deflate import TAIL, deflate
from bindserver.server.compression import Deflate
from bindserver.server.conversation import PIECES, Conversation
from bindserver.server.sockets import COMPRESSION

LIMIT = 1_000_000


class Talk:
    """A client that compresses, and the server's side of its conversation."""

    def __init__(self) -> None:
        offers = [ClientPerMessageDeflateFactory(client_max_window_bits=True)]
        self.client = ClientProtocol(parse_uri("ws://localhost/"), extensions=offers)
        self.server = Conversation(
            max_size=LIMIT, logger=logging.getLogger("uvicorn.error"), extensions=COMPRESSION
        )
        self.client.send_request(self.client.connect())
        self.server.receive_data(b"".join(self.client.data_to_send()))
        (request,) = self.server.events_received()
        assert isinstance(request, Request)
        self.server.send_response(self.server.accept(request))
        self.client.receive_data(b"".join(self.server.data_to_send()))
        assert self.client.state is State.OPEN
        assert self.server.deflate is not None

    def send(self) -> None:
        """Bring what the client has said to the server, in one piece."""
        self.server.receive_data(b"".join(self.client.data_to_send()))

    def heard(self) -> list[int | str]:
        """Return what the server has read: the lengths of messages, the names of other frames."""
        frames = [one for one in self.server.events_received() if isinstance(one, Frame)]
        return [len(one.data) if one.opcode is Opcode.TEXT else one.opcode.name for one in frames]


@pytest.fixture
def talk() -> Talk:
    return Talk()


def test_of_many_messages_in_one_piece_one_is_unpacked(talk: Talk) -> None:
    for _ in range(200):
        talk.client.send_text(b"x" * LIMIT)
    talk.client.send_ping(b"")
    talk.send()
    for number in range(200):
        assert talk.heard() == [LIMIT], number
        talk.server.read_on()
    assert talk.heard() == ["PING"]
    talk.client.send_text(b"more")
    talk.send()
    assert talk.heard() == [4]


def test_what_comes_in_further_pieces_meanwhile_waits(talk: Talk) -> None:
    for size in (10, 20, 30):
        talk.client.send_text(b"x" * size)
        talk.send()
    assert talk.heard() == [10]
    talk.server.read_on()
    assert talk.heard() == [20]
    talk.server.read_on()
    talk.server.read_on()
    assert talk.heard() == [30]


def test_a_server_that_closes_unpacks_nothing_more_and_hears_the_answer(talk: Talk) -> None:
    for _ in range(3):
        talk.client.send_text(b"x" * LIMIT)
    talk.send()
    talk.server.send_close(1012)
    talk.client.send_text(b"x" * LIMIT)
    talk.client.receive_data(b"".join(talk.server.data_to_send()))
    talk.send()
    assert talk.heard() == [LIMIT, 0, 0, 0, "CLOSE"]
    assert talk.server.close_rcvd is not None


def test_who_does_not_compress_is_read_as_ever() -> None:
    conversation = Conversation(max_size=LIMIT, logger=logging.getLogger("uvicorn.error"))
    conversation.read_on()
    assert conversation.deflate is None


def decoded(*frames: Frame) -> Iterator[bytes]:
    extension = Deflate()
    for frame in frames:
        yield bytes(extension.decode(frame, max_size=LIMIT).data)


def pieces(payload: bytes, size: int) -> list[Frame]:
    parts = [payload[start : start + size] for start in range(0, len(payload), size)]
    first, *rest = parts
    return [
        Frame(Opcode.TEXT, first, False, rsv1=True),
        *(Frame(Opcode.CONT, part, False) for part in rest),
        Frame(Opcode.CONT, b""),
    ]


def test_a_window_is_kept_while_a_message_comes_and_no_longer() -> None:
    extension = Deflate()
    packed = deflate(b"x" * 1000) or b""
    assert sys.getsizeof(extension) < 100
    for _ in range(2):
        for frame in pieces(packed, 3):
            assert frame.fin or extension._reader is None or extension._reader.decoder
            extension.decode(frame, max_size=LIMIT)
        assert extension._reader is None


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    packer = zlib.compressobj(9, wbits=-15)
    parts = [packer.compress(bytes(LIMIT)) for _ in range(100)]
    bomb = b"".join(parts) + packer.flush(zlib.Z_SYNC_FLUSH)
    frame = Frame(Opcode.TEXT, bomb.removesuffix(TAIL), rsv1=True)
    del parts
    tracemalloc.start()
    try:
        with pytest.raises(PayloadTooBig):
            Deflate().decode(frame, max_size=LIMIT)
        assert tracemalloc.get_traced_memory()[1] < 3 * LIMIT
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("nothing", [b"\x00\x00\x00\xff\xff", b"\x02\x00"], ids=["raw", "fixed"])
def test_what_unpacks_to_nothing_has_an_end_all_the_same(nothing: bytes) -> None:
    endless = nothing * (2 * LIMIT // len(nothing))
    with pytest.raises((PayloadTooBig, ProtocolError)):
        list(decoded(*pieces(endless, LIMIT // 100)))


def test_bytes_behind_a_last_block_are_not_kept() -> None:
    last = bytes.fromhex("f348cdc9c90700")
    told = decoded(*pieces(last + b"x" * PIECES, 1))
    assert [next(told) for _ in range(len(last))]
    with pytest.raises(ProtocolError):
        next(told)
