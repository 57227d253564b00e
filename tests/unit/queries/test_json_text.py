"""Rows in text: the same bytes with orjson and without."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import ipaddress
import math
import uuid
from collections import OrderedDict, namedtuple
from decimal import Decimal
from typing import Any

import orjson
import pytest
from django.utils.functional import lazystr
from django.utils.safestring import mark_safe
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bindserver.queries.json_text import encoder_by, is_said_alike, standard_text

quick_text = encoder_by(orjson)
AT_LEISURE = settings(deadline=None, suppress_health_check=list(HealthCheck))
"""While all cores are busy, too."""


class Text(str):
    """A text of a project's own, such as a field may give."""


class Whole(int):
    """A number that writes itself otherwise."""

    def __repr__(self) -> str:
        return "many"


class Mapped(dict[str, Any]):
    """A dict that shows more than it holds."""

    def items(self) -> Any:
        return {**self, "more": 1}.items()


class Colour(enum.Enum):
    RED = "red"


class Size(enum.IntEnum):
    SMALL = 1


class Word(enum.StrEnum):
    YES = "yes"


@dataclasses.dataclass
class Point:
    x: int


Pair = namedtuple("Pair", "first second")

TEXTS = st.text(st.characters() | st.characters(categories=["Cs", "Cc", "Zl", "Zp"]))
NUMBERS = (
    st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.floats(-1e17, 1e17)
    | st.floats(-2e-4, 2e-4)
)
OTHERS = (
    st.decimals()
    | st.datetimes(timezones=st.none() | st.just(datetime.UTC) | st.timezones())
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.uuids()
    | st.ip_addresses()
    | st.binary()
    | TEXTS.map(Text)
    | TEXTS.map(mark_safe)
    | TEXTS.map(lazystr)
    | st.integers().map(Whole)
    | st.sampled_from([*Colour, *Size, *Word, Point(1), Pair(1, "b"), Mapped(a=1), object()])
)
KEYS = TEXTS | TEXTS.map(Text) | st.integers() | st.none() | st.booleans() | st.floats()


def _held(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return (
        st.lists(values, max_size=4)
        | st.dictionaries(TEXTS, values, max_size=4)
        | st.dictionaries(KEYS, values, max_size=3)
        | st.dictionaries(TEXTS, values, max_size=3).map(OrderedDict)
        | st.tuples(values, values)
    )


PLAIN = st.none() | st.booleans() | NUMBERS | TEXTS
ROWS = st.dictionaries(TEXTS, st.recursive(PLAIN | OTHERS, _held, max_leaves=8), max_size=6)


def outcome(encode: Any, data: Any) -> Any:
    """Return the bytes that come of data, or the kind of error."""
    try:
        return encode(data).encode()
    except Exception as problem:
        return type(problem)


@AT_LEISURE
@given(ROWS)
@example({"a": math.inf, "b": [-math.inf, math.nan]})
@example({"a": 2**53 - 1, "b": -(2**53) + 1})
@example({"a": 2**53, "b": -(2**53)})
@example({"a": 2**63, "b": 2**64, "c": -(2**63) - 1, "d": 10**400})
@example({"a": 1e16, "b": 1e-5, "c": 9999999999999998.0, "d": 1e-4, "e": -0.0, "f": 5e-324})
@example({"a": "\ud800", "b": "\ud83d\ude00", "\udfff": 1})
@example({"a": 'grüße 世界 🎈 \u2028\u2029\x7f\x85 "q" \\ / </script> \x00\x1f\b\f\n\r\t'})
@example({"a": "1234567890123456", "b": "NaN", "c": "Infinity"})
@example({1: "a", "1": "b", "c": 2**53})
@example({Text("a"): 1, True: 2, None: 3, 1.5: 4})
@example({"a": Decimal("1.10"), "b": Decimal("NaN"), "c": [Decimal("Infinity")]})
@example({"a": datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC), "b": datetime.date(1, 1, 1)})
@example({"a": uuid.UUID(int=1), "b": ipaddress.ip_network("10.0.0.0/8"), "c": b"\xff"})
@example({"a": lazystr("ü"), "b": mark_safe("<b>"), "c": Text("\ud800")})
@example({"a": Colour.RED})
@example({"a": Size.SMALL, "b": Word.YES, "c": Whole(3)})
@example({"a": Point(1)})
@example({"a": Pair(1, (2, 3)), "b": Mapped(a=1), "c": {"d": {1, 2}}})
def test_a_row_has_the_same_bytes_with_orjson_and_without(row: dict[Any, Any]) -> None:
    assert outcome(quick_text, row) == outcome(standard_text, row)


@AT_LEISURE
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_has_the_same_bytes_with_orjson_and_without(number: float) -> None:
    assert quick_text({"a": number}) == standard_text({"a": number})


def test_what_rows_mostly_hold_is_written_by_orjson() -> None:
    row = {"id": 7, "name": "grüße", "price": "1.50", "on": True, "none": None, "real": 0.25}
    assert is_said_alike({**row, "category": {"id": 3, "tags": ["a", 1.5]}})


@pytest.mark.parametrize("depth", [5, 50, 5000])
def test_data_as_deep_as_may_be_has_the_same_bytes(depth: int) -> None:
    data: Any = 1.5
    for _ in range(depth):
        data = [data]
    assert outcome(quick_text, data) == outcome(standard_text, data)


def test_data_that_contains_itself_is_refused_as_ever() -> None:
    data: list[Any] = [1.5]
    data.append(data)
    assert outcome(quick_text, data) is outcome(standard_text, data) is ValueError
