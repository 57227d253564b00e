"""Who shares a view, tried with generated pairs; and faults in it that this finds."""

from __future__ import annotations

from typing import Any

import pytest
from django.db.models import Model

from bindserver.queries import plans
from bindserver.queries.identity import IdentityEncoder
from bindserver.queries.plain_values import ATOMS
from bindserver.queries.values import ValueEncoder
from tests.sharing.pairs import compare, fill
from tests.sharing.places import PLACES
from tests.sharing.shapes import TOGETHER

pytestmark = pytest.mark.usefixtures("database")
PAIRS = 1500


def test_a_view_is_shared_only_by_those_who_are_sent_the_same() -> None:
    fill()
    tally = compare(PAIRS, seed=1)
    assert tally.wrong == []
    assert tally.split == []
    for place in PLACES:
        assert tally.apart[place.name], f"nothing differed in {place.name}"
        if any(sample.known for sample in place.samples):
            assert tally.shared[place.name], f"nothing was shared by {place.name}"
    for name in TOGETHER:
        assert tally.together[name], f"nothing was read together in {name}"


def by_key(self: Any, value: Model, what: str = "") -> Any:
    return [value._meta.label, str(value.pk)]


def by_text(self: Any, value: Any, what: str = "") -> Any:
    return repr(value)


def by_path(self: Any, value: Any, what: str = "") -> Any:
    return f"{value.__module__}.{value.__qualname__}"


def nothing(*_: Any, **__: Any) -> Any:
    return []


FAULTS = {
    "arguments by repr": (
        IdentityEncoder,
        "arguments",
        lambda self, compiled, what: repr(compiled),
    ),
    "arguments left out": (IdentityEncoder, "arguments", lambda self, compiled, what: compiled.sql),
    "prefetches left out": (IdentityEncoder, "prefetches", nothing),
    "a queryset's state left out": (IdentityEncoder, "_state", nothing),
    "output fields left out": (IdentityEncoder, "_results", nothing),
    "instances by key": (ValueEncoder, "instance", by_key),
    "classes by name": (ValueEncoder, "code", by_path),
    "what is not known by repr": (ValueEncoder, "itself", by_text),
    "what an object says left out": (ValueEncoder, "_says", nothing),
    "constants of a known plan": (plans, "_fixed", lambda constants, places: ""),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_who_shares_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fill()
    owner, name, planted = FAULTS[fault]
    monkeypatch.setattr(owner, name, planted)
    if name == "instance":
        kinds = [(k, by_key if k is Model else encode) for k, encode in _compounds()]
        monkeypatch.setattr("bindserver.queries.values.COMPOUNDS", tuple(kinds))
    assert compare(PAIRS, seed=2, until_wrong=True).wrong


def test_numbers_that_python_takes_for_equal_are_told_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill()
    monkeypatch.setattr("bindserver.queries.values.ATOMS", {**ATOMS, bool: str, memoryview: repr})
    monkeypatch.setattr(
        ValueEncoder, "encode", lambda self, value, what="": str(value), raising=True
    )
    assert compare(PAIRS, seed=3, until_wrong=True).wrong


def _compounds() -> Any:
    from bindserver.queries.values import COMPOUNDS

    return COMPOUNDS
