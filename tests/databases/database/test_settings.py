"""What a project's own settings of a database do to connections of ours: nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections

from bindserver.capture.log import log_of
from bindserver.capture.mysql import log as mysql_log
from bindserver.database.pacing import Pacer
from bindserver.database.snapshot import open_connection, snapshot
from tests.conftest import address_of, program_at
from tests.databases.capture.logged import add, keys, since
from tests.databases.database.conftest import ask
from tests.support.turning_fixtures import FIXTURES

COUNT = "SELECT COUNT(*) FROM app_category"


@pytest.fixture(params=sorted(FIXTURES))
def program(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Another program that writes to a database of each kind, this process's "default"."""
    program = program_at(address_of(request.getfixturevalue(FIXTURES[request.param])))
    program.clean()
    yield program
    program.close()


@pytest.fixture
def own_without_autocommit(program: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A connection of ours, where the project commits by itself."""
    monkeypatch.setattr(mysql_log, "SLOW_POLL_SECONDS", 60.0)  # every look is one
    monkeypatch.setitem(connections.settings["default"], "AUTOCOMMIT", False)
    usual = connections["default"]
    connection = open_connection("default")
    yield connection
    connection.close()
    connections["default"] = usual


def test_a_snapshot_begins_and_ends_where_the_project_commits_by_itself(
    own_without_autocommit: Any, program: Any
) -> None:
    own, log = own_without_autocommit, log_of(own_without_autocommit)
    with snapshot(own, Pacer(10)):
        position = log.position()
        add(program, 1)
        assert ask(own, COUNT) == [(0,)]
    mark = log.commit_mark()
    with snapshot(own, Pacer(10)):
        assert since(log, position) == keys(1)
        assert ask(own, COUNT) == [(1,)]
    add(program, 2)
    assert log.moved(mark)
