"""Rendered data as JSON text that every client reads alike.

DRF's encoder says what that is. Where orjson is installed, it writes those rows of which it is
known that it gives the very same bytes, several times as fast. Others are left to DRF's encoder: a
row's text is what ETags, fingerprints and comparisons between processes are made of, and orjson
need not be installed for all of these.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from types import ModuleType
from typing import Any

from rest_framework.utils.encoders import JSONEncoder

from bindserver.engine.protocol import SAFE_INTEGER

orjson: ModuleType | None
try:
    import orjson
except ImportError:
    orjson = None

SUSPICIOUS = re.compile(r"\d{16}|NaN|Infinity")

SAID_ALIKE = frozenset({str, int, bool, type(None)})
"""The types that both encoders write alike, or that orjson refuses: half of a surrogate pair, and
integers that JavaScript does not count. A subclass may be written by code of its own."""

LEAST_FLOAT, MOST_FLOAT = 1e-4, 1e16
"""Between these Python writes a float without an exponent; of one the encoders have two forms."""

DEPTH = 8
"""Data in data is looked at so deep: none that contains itself is without end."""

_ENCODER = JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_ASCII_ENCODER = JSONEncoder(ensure_ascii=True, separators=(",", ":"))


def standard_text(data: Any) -> str:
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


def encoder_by(quick: Any) -> Callable[[Any], str]:
    """Return what gives `standard_text`, by orjson wherever that says the same."""
    dumps, option, refused = quick.dumps, quick.OPT_STRICT_INTEGER, quick.JSONEncodeError

    def quick_text(data: Any) -> str:
        if is_said_alike(data):
            try:
                text: str = dumps(data, None, option).decode()
            except refused:
                pass
            else:
                return text
        return standard_text(data)

    return quick_text


def is_said_alike(data: Any, depth: int = DEPTH) -> bool:
    """Return whether orjson writes what DRF's encoder does, if it writes the data at all."""
    kind = type(data)
    if kind is dict:  # one with other keys than texts it refuses
        data = data.values()
    elif kind is not list:
        return kind in SAID_ALIKE or (kind is float and _has_no_exponent(data))
    if SAID_ALIKE.issuperset(map(type, data)):
        return True
    return depth > 0 and all(
        type(item) in SAID_ALIKE or is_said_alike(item, depth - 1) for item in data
    )


def _has_no_exponent(number: float) -> bool:
    return number == 0 or LEAST_FLOAT <= abs(number) < MOST_FLOAT


to_json: Callable[[Any], str] = standard_text if orjson is None else encoder_by(orjson)
