"""Rendered data as JSON text that every client reads alike."""

from __future__ import annotations

import json
import re
from typing import Any

from rest_framework.utils.encoders import JSONEncoder

from bindserver.engine.protocol import SAFE_INTEGER

SUSPICIOUS = re.compile(r"\d{16}|NaN|Infinity")

_ENCODER = JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_ASCII_ENCODER = JSONEncoder(ensure_ascii=True, separators=(",", ":"))


def to_json(data: Any) -> str:
    """Return rendered data as JSON text that every client reads alike.

    Integers beyond ±(2**53 - 1) become strings, NaN and infinities null.
    """
    text = _ENCODER.encode(data)
    if SUSPICIOUS.search(text):
        text = _ENCODER.encode(json.loads(text, parse_int=_safe_int, parse_constant=_null))
    if not text.isascii() and not _has_utf8(text):
        text = _ASCII_ENCODER.encode(json.loads(text))
    return text


def _has_utf8(text: str) -> bool:
    """Return whether the text can be sent; half a surrogate pair, which JSON can hold, cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _safe_int(text: str) -> int | str:
    number = int(text)
    return number if abs(number) <= SAFE_INTEGER else text


def _null(_: str) -> None:
    return None
