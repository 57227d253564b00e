"""A database of each kind with a change log, as this process's "default", and who writes to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connections

from bindserver.capture.log import Log, log_of
from tests.conftest import BARE, address_of, program_at
from tests.databases.capture.logged import Another
from tests.support.program import Program

LOGGED = {
    "mysql": "on_copied_maria",
    "postgresql": "postgresql_database",
    "sqlite": "database",
}


@pytest.fixture
def url(vendor: str, request: pytest.FixtureRequest) -> str:
    """The address of this process's database, which is the test's own and has a change log."""
    return address_of(request.getfixturevalue(LOGGED[vendor]))


@pytest.fixture
def bare_url(vendor: str, request: pytest.FixtureRequest) -> str:
    """The same without a change log."""
    return address_of(request.getfixturevalue(BARE[vendor]))


@pytest.fixture
def log(url: str) -> Log:
    """The change log of this process's database."""
    return log_of(connections["default"])


@pytest.fixture
def another(url: str) -> Iterator[Another]:
    """Makes programs that write to the database."""
    made: list[Program] = []

    def make() -> Program:
        made.append(program_at(url))
        return made[-1]

    yield make
    for program in made:
        program.close()


@pytest.fixture
def program(another: Another) -> Program:
    """A program that writes to the database."""
    return another()


@pytest.fixture
def other(another: Another) -> Program:
    """A second one."""
    return another()
