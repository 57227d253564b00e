"""Cursors: a position and a view's fingerprint, authenticated, as an opaque URL-safe string.

A client cannot read history out of a cursor that was not its own: one that was altered, or made
for something else, reads as none.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import dataclass

from bindserver.engine.changes import Position

MAX_LENGTH = 512
MAC_BYTES = 16


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
    body = json.dumps(
        [
            cursor.fingerprint,
            cursor.position.epoch,
            cursor.position.brief or cursor.position.mark,
            cursor.incarnation,
            cursor.version,
        ],
        separators=(",", ":"),
    ).encode()
    text = _encoded(_mac(body, secret) + body)
    if len(text) > MAX_LENGTH:
        raise ValueError(f"a cursor of {len(text)} characters is longer than {MAX_LENGTH}")
    return text


def load(text: str | None, secret: bytes) -> Cursor | None:
    """Return the cursor that `text` is, or None when it is not one of ours."""
    if not text or len(text) > MAX_LENGTH or not text.isascii():
        return None
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return None
    if _encoded(raw) != text:  # the decoder passes over what is not of its alphabet
        return None
    mac, body = raw[:MAC_BYTES], raw[MAC_BYTES:]
    if not hmac.compare_digest(mac, _mac(body, secret)):
        return None
    fingerprint, epoch, mark, incarnation, version = json.loads(body)
    return Cursor(
        fingerprint=fingerprint,
        position=Position(epoch=epoch, mark=mark),
        incarnation=incarnation,
        version=version,
    )


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _mac(body: bytes, secret: bytes) -> bytes:
    return hmac.new(secret, b"bindserver.cursor.1" + body, hashlib.sha256).digest()[:MAC_BYTES]
