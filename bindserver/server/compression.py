"""`permessage-deflate` (RFC 7692) for very many connections, none of which keeps a window.

Neither side refers to earlier messages (`server_no_context_takeover`,
`client_no_context_takeover`), so what is written is compressed once for all, in
`bindserver.engine.deflate`, and an idle connection takes hardly more than one that compresses
nothing. What comes is unpacked by the `websockets` library, within the limit of a message.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from websockets.exceptions import NegotiationError, PayloadTooBig, ProtocolError
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import (
    PerMessageDeflate,
    ServerPerMessageDeflateFactory,
)
from websockets.frames import CTRL_OPCODES, Frame, Opcode
from websockets.typing import ExtensionName, ExtensionParameter

from bindserver.engine.deflate import TAIL, WINDOW_BITS, deflate

NAME = ExtensionName("permessage-deflate")

ENDS = (TAIL, b"\x00" + TAIL)
"""What may stand behind the last block of a compressed message, if it says that it is the last."""

LAST_BLOCK = b"\x01\x00\x00\xff\xff"
"""An empty block that says that it is the last: nothing else than the end of a block can be before
it."""


class Deflate(Extension):
    """One connection's side of it: it has a window only while a compressed message comes.

    Attributes:
        is_heard: whether messages are unpacked; else they are read as empty ones.
    """

    __slots__ = ("_left", "_reader", "is_heard")

    name = NAME

    def __init__(self) -> None:
        self.is_heard = True
        self._reader: PerMessageDeflate | None = None
        self._left: int | None = None

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        """Return a frame that has come with its data unpacked. Bits that are out of place stay, and
        are refused by who reads them.

        Raises:
            PayloadTooBig: the message is, or would be.
            ProtocolError: it cannot be unpacked, or has no end, or more than one.
        """
        if frame.opcode in CTRL_OPCODES:
            return frame
        if not self.is_heard:
            return Frame(frame.opcode, b"", frame.fin)
        if frame.opcode is not Opcode.CONT:
            self._reader = _reader() if frame.rsv1 else None
            self._left = max_size
        if (reader := self._reader) is None:
            return frame
        self._count(len(frame.data), max_size)
        plain = reader.decode(frame, max_size=max_size)
        _look_at_end(reader, fin=frame.fin)
        if frame.fin:
            self._reader = None
        return plain

    def _count(self, size: int, max_size: int | None) -> None:
        """See that a message is not too long as it comes: in very many blocks without any data it
        could be of any length."""
        if self._left is not None:
            self._left -= size
            if self._left < 0:
                raise PayloadTooBig(None, max_size)

    def encode(self, frame: Frame) -> Frame:
        """Return a frame that is to be written; a whole message is compressed if that helps. It is
        one that goes by ASGI: others are ready."""
        if frame.opcode in CTRL_OPCODES or frame.opcode is Opcode.CONT or not frame.fin:
            return frame
        packed = deflate(bytes(frame.data))
        return frame if packed is None else Frame(frame.opcode, packed, rsv1=True)


class DeflateFactory(ServerPerMessageDeflateFactory):
    """Takes offers by which all clients can be sent the same bytes, and no others."""

    def __init__(self) -> None:
        super().__init__(
            server_no_context_takeover=True,
            client_no_context_takeover=True,
            server_max_window_bits=WINDOW_BITS,
        )

    def process_request_params(  # type: ignore[override]
        self, params: Sequence[ExtensionParameter], accepted_extensions: Sequence[Extension]
    ) -> tuple[list[ExtensionParameter], Deflate]:
        """Return how an offer is answered, and what serves it.

        Raises:
            NegotiationError: it is no offer by RFC 7692, an earlier one is taken, or the client
                wants a smaller window than is written with.
        """
        answer, agreed = super().process_request_params(params, accepted_extensions)
        if agreed.local_max_window_bits < WINDOW_BITS:
            raise NegotiationError(f"fewer than {WINDOW_BITS} bits for server_max_window_bits")
        return answer, Deflate()


def _reader() -> PerMessageDeflate:
    """Return what unpacks one message, whatever window the client has; it is not to drop zlib's
    object at the message's end, where that is looked at."""
    return PerMessageDeflate(
        remote_no_context_takeover=False,
        local_no_context_takeover=True,
        remote_max_window_bits=15,
        local_max_window_bits=15,
    )


def _look_at_end(reader: PerMessageDeflate, *, fin: bool) -> None:
    """See that nothing is lost: zlib would leave out what stands behind the last block, and leave
    off where a message is cut short."""
    decoder = reader.decoder
    if decoder.eof:
        if not any(end.startswith(decoder.unused_data) for end in ENDS):
            raise ProtocolError("data behind the end of a compressed message")
    elif fin:
        try:
            decoder.decompress(LAST_BLOCK, 1)
        except zlib.error as problem:
            raise ProtocolError("a compressed message is cut short") from problem
        if not decoder.eof:
            raise ProtocolError("a compressed message is cut short")
