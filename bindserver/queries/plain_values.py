"""Types whose values are plain data, or are made of known parts: what is told of each."""

from __future__ import annotations

import datetime
import decimal
import ipaddress
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from django.utils.safestring import SafeString

ATOMS: Mapping[type, Callable[[Any], Any]] = {
    type(None): lambda value: value,
    bool: lambda value: value,
    int: str,
    str: lambda value: value,
    SafeString: str.__str__,
    float: float.hex,
    bytes: bytes.hex,
    bytearray: bytearray.hex,
    memoryview: lambda value: [value.format, str(value.shape), value.tobytes().hex()],
    decimal.Decimal: str,
    datetime.date: datetime.date.isoformat,
    datetime.timedelta: lambda value: [value.days, value.seconds, value.microseconds],
    datetime.timezone: lambda value: [str(value.utcoffset(None)), value.tzname(None)],
    uuid.UUID: str,
    range: lambda value: [str(value.start), str(value.stop), str(value.step)],
    ipaddress.IPv4Address: str,
    ipaddress.IPv6Address: str,
    ipaddress.IPv4Network: str,
    ipaddress.IPv6Network: str,
    ipaddress.IPv4Interface: str,
    ipaddress.IPv6Interface: str,
}
"""Types whose values are all that is said of them here; the type is encoded beside the value."""

PARTS: Mapping[str, tuple[str, ...]] = {
    "functools.partial": ("func", "args", "keywords"),
    "psycopg.dbapi20.Binary": ("obj",),
    **{
        f"psycopg.types.numeric.{kind}": ("numerator",)
        for kind in ("Int2", "Int4", "Int8", "IntNumeric", "Oid")
    },
    **{f"psycopg.types.numeric.{kind}": ("real",) for kind in ("Float4", "Float8")},
    "psycopg.types.json.Json": ("obj", "dumps"),
    "psycopg.types.json.Jsonb": ("obj", "dumps"),
    **{
        f"psycopg.types.range.{kind}Range": ("_lower", "_upper", "_bounds")
        for kind in ("", "Int4", "Int8", "Numeric", "Date", "Timestamp", "Timestamptz")
    },
    "psycopg2._json.Json": ("adapted", "_dumps"),
    **{
        f"psycopg2._range.{kind}": ("_lower", "_upper", "_bounds")
        for kind in ("Range", "NumericRange", "DateRange", "DateTimeRange", "DateTimeTZRange")
    },
}
"""What makes values of other known types, by the types' paths; drivers need not be installed."""
