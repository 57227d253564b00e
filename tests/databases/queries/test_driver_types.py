"""Values of a driver's own types are told apart by what they hold."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg import Binary
from psycopg.types.json import Jsonb
from psycopg.types.range import Range

from tests.unit.queries.test_identity import encoded


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Jsonb({"since": "x" * 40, "of": "ann"}), Jsonb({"since": "x" * 40, "of": "bob"})),
        (Binary(b"x" * 50 + b"a"), Binary(b"x" * 50 + b"b")),
        (Range(1, 2), Range(1, 2, "[]")),
    ],
)
def test_values_that_are_written_alike_are_told_apart(one: Any, other: Any) -> None:
    assert encoded(one) != encoded(other)


@pytest.mark.parametrize(
    "make", [lambda: Jsonb({"of": "ann"}), lambda: Binary(b"ann"), lambda: Range(1, None)]
)
def test_values_that_are_made_alike_are_one(make: Any) -> None:
    assert encoded(make()) == encoded(make())
