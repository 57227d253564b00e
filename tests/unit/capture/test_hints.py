"""What is remembered of hints, where there is no log."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connections

from bindserver.capture.hint_source import HISTORY_KEYS, HISTORY_TURNS, HintSource
from bindserver.conf import conf
from bindserver.database.snapshot import open_connection
from bindserver.engine.changes import Change


@pytest.fixture
def source(database: Path) -> Iterator[HintSource]:
    usual = connections["default"]
    connection = open_connection("default")
    yield HintSource(connection)
    connection.close()
    connections["default"] = usual


def words(*pks: int) -> Change:
    return Change(table="app_word", pks=frozenset(pks))


def test_what_was_told_since_a_turn_is_known(source: HintSource) -> None:
    source.prepare([])
    position = source.position()
    source.hint([words(1)])
    source.hint([words(2, 3)])
    source.prepare([])
    source.hint([words(4)])
    source.prepare([])
    assert source.changes(position) == [words(1, 2, 3), words(4)]
    assert source.changes(source.position()) == []


def test_more_than_is_read_one_by_one_is_told_by_table(source: HintSource) -> None:
    source.prepare([])
    position = source.position()
    for start in range(0, 3 * conf.SYNC_ROWS, conf.SYNC_ROWS):
        source.hint([words(*range(start, start + conf.SYNC_ROWS))])
    source.prepare([])
    assert source.changes(position) == [Change(table="app_word", pks=None)]


@pytest.mark.parametrize("each", [1, 1000])
def test_what_is_too_much_to_remember_proves_nothing(source: HintSource, each: int) -> None:
    source.prepare([])
    first = source.position()
    turns = min(HISTORY_TURNS, HISTORY_KEYS // each)
    for number in range(turns):
        source.hint([words(*range(number, number + each))])
        source.prepare([])
    assert source.changes(first) is not None
    later = source.position()
    source.hint([words(*range(each))])
    source.prepare([])
    assert source.changes(first) is None
    assert source.changes(later) == [words(*range(each))]
