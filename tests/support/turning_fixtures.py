"""Turns to take, on databases of each kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bindserver.cycle import failures
from tests.app.models import Category
from tests.support.turning import Turning, add

PATIENCE_SECONDS = 3600.0
"""Longer than any test."""

FIXTURES = {
    "sqlite": "database",
    "postgresql": "postgresql_database",
    "mysql": "on_maria",
}


@pytest.fixture(params=sorted(FIXTURES))
def each_database(request: pytest.FixtureRequest) -> str:
    """A database of each kind, with a change log, as this process's own."""
    request.getfixturevalue(FIXTURES[request.param])
    return str(request.param)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A view that has failed is not due again until a test says so, however slow the machine is."""
    monkeypatch.setattr(failures, "RETRY_SECONDS", (PATIENCE_SECONDS,))


@pytest.fixture
def turning(each_database: str, patient: None) -> Iterator[Turning]:
    """Three categories with two products each, and turns to take."""
    for number in (1, 2, 3):
        Category.objects.create(pk=number, name=f"category {number}")
        add(number * 10, number)
        add(number * 10 + 1, number, active=False)
    with Turning() as turning:
        yield turning


@pytest.fixture
def sqlite_turning(database: Path, patient: None) -> Iterator[Turning]:
    """Turns to take on SQLite."""
    with Turning() as turning:
        yield turning
