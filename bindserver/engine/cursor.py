"""Cursors: a position and a view's fingerprint, sealed, as an opaque URL-safe string.

A client cannot read history out of a cursor that was not its own: one that was altered, or made
for something else, reads as none. Nor can it read in one what the position is, which would tell how
much is written to the database.

The seal is SIV, deterministic authenticated encryption (P. Rogaway, T. Shrimpton, "Deterministic
Authenticated-Encryption", 2006; RFC 5297 is its form for AES): a keyed hash of the whole text
authenticates it, and as its initialization vector picks the key stream that hides it. Equal states
have equal cursors by that, and there is no nonce that could come twice. The hash is keyed BLAKE2b
(RFC 7693), the key stream SHAKE256 (FIPS 202), since Python's own library has no cipher; neither
gives up the interpreter for a text this short, as HMAC by OpenSSL does: a thread that seals ten
thousand cursors would wait for it as often. Texts are padded, so that lengths tell nothing either.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from bindserver.engine.changes import Position

MAX_LENGTH = 512
MAC_BYTES = 16
LIKE_ONE = re.compile(f"[A-Za-z0-9_-]{{1,{MAX_LENGTH}}}")
END = "\0"
"""Ends a field, none of which has it."""
SIZES = (96, 192, 384)
"""How many bytes a cursor may have: 128, 256 or 512 characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """A state of one subscription.

    Attributes:
        fingerprint: what the view is: binding, params, permission, row format, database.
        position: the committed state.
        incarnation: names the view in the memory of one process, for the ring.
        version: the view's version in that memory.
    """

    fingerprint: str
    position: Position
    incarnation: str
    version: int


def dump(cursor: Cursor, secret: bytes) -> str:
    """Return the cursor as its client gets it.

    Raises:
        ValueError: the position is too long for a cursor; name an earlier, shorter one.
    """
    mark = cursor.position.brief or cursor.position.mark
    fields = (cursor.fingerprint, cursor.position.epoch, mark, cursor.incarnation)
    said = END.join((*fields, str(cursor.version))).encode()
    needed = MAC_BYTES + len(said)
    size = next((size for size in SIZES if size >= needed), None)
    if size is None:
        length = -(-needed * 4 // 3)
        raise ValueError(f"a cursor of {length} characters is longer than {MAX_LENGTH}")
    body = said.ljust(size - MAC_BYTES, END.encode())
    mac = _mac(body, secret)
    return _encoded(mac + _hidden(body, mac, secret))


def is_like_one(text: str) -> bool:
    """Return whether a text may be a cursor, by its letters and its length."""
    return LIKE_ONE.fullmatch(text) is not None


def load(text: str | None, secret: bytes, fallbacks: Sequence[bytes] = ()) -> Cursor | None:
    """Return the cursor that `text` is, or None when it is not one of ours.

    Args:
        text: what a client has sent.
        secret: what cursors are sealed with.
        fallbacks: what they were sealed with before.
    """
    if not text or len(text) > MAX_LENGTH or not text.isascii():
        return None
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return None
    if _encoded(raw) != text:  # the decoder passes over what is not of its alphabet
        return None
    for key in (secret, *fallbacks):
        if (body := _opened(raw, key)) is not None:
            return _read(body)
    return None


def name_of(position: Position, secret: bytes) -> str:
    """Return an opaque name of a committed state: the same in every process, and it tells no more
    than that."""
    text = f"{position.epoch}.{position.mark}".encode()
    return hmac.digest(_key(secret, "state"), text, "sha256").hex()[:24]


def _read(body: bytes) -> Cursor:
    fingerprint, epoch, mark, incarnation, version, *_ = body.decode().split(END)
    return Cursor(
        fingerprint=fingerprint,
        position=Position(epoch=epoch, mark=mark),
        incarnation=incarnation,
        version=int(version),
    )


def _opened(raw: bytes, secret: bytes) -> bytes | None:
    """Return what is sealed, None if the secret is another or it was altered."""
    mac = raw[:MAC_BYTES]
    body = _hidden(raw[MAC_BYTES:], mac, secret)
    return body if hmac.compare_digest(mac, _mac(body, secret)) else None


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _mac(body: bytes, secret: bytes) -> bytes:
    return hashlib.blake2b(body, key=_key(secret, "blake2b"), digest_size=MAC_BYTES).digest()


def _hidden(body: bytes, mac: bytes, secret: bytes) -> bytes:
    """Return the exclusive or of a text and a key stream: what was hidden by it is shown again."""
    size = len(body)
    stream = hashlib.shake_256(_key(secret, "stream") + mac).digest(size)
    return (int.from_bytes(body) ^ int.from_bytes(stream)).to_bytes(size)


@lru_cache(maxsize=32)
def _key(secret: bytes, use: str) -> bytes:
    """Return a key for one use of a secret."""
    return hmac.digest(secret, f"bindserver.cursor.2.{use}".encode(), "sha256")
