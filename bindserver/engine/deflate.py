"""A message's payload, compressed by itself (RFC 7692): once, for all clients that take it so.

No message is compressed by what was said before it, so all clients may have the same bytes, and a
connection keeps no window: one of its own would take many times the memory of a client.
"""

from __future__ import annotations

import zlib

WINDOW_BITS = 12
"""How far back a message may refer, as a power of two: whoever can look back so far, or farther,
reads it. A window of 15 bits makes a page of a `sync` a twentieth smaller, and takes longer."""

LEAST_BYTES = 128
"""A message of less is not compressed: it would hardly get shorter."""

TAIL = b"\x00\x00\xff\xff"
"""The end of an empty block, which is left out of each message (RFC 7692, section 7.2.1)."""

_LEVEL = 5
_MEMORY_LEVEL = 5
"""With more, to make ready takes longer than to compress a small message."""


def deflate(payload: bytes) -> bytes | None:
    """Return a payload compressed, None where that makes it no shorter."""
    if len(payload) < LEAST_BYTES:
        return None
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, -WINDOW_BITS, _MEMORY_LEVEL)
    packed = packer.compress(payload) + packer.flush(zlib.Z_SYNC_FLUSH)
    packed = packed.removesuffix(TAIL)
    return packed if len(packed) < len(payload) else None
