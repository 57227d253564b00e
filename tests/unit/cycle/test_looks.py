"""What a waiting cycle does between two turns, a hundred times a second."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings

from bindserver.cycle.cycle import Cycle
from bindserver.cycle.inbox import Hint
from bindserver.cycle.view_store import ViewStore
from tests.support.sqlite import SQLiteProgram

LOOKS = 20


class Source:
    """Somebody commits at the twentieth look."""

    polls = True
    durable = False

    def __init__(self) -> None:
        self.looks = 0

    def moved(self) -> bool:
        self.looks += 1
        return self.looks == LOOKS

    def pause(self, *, quiet: bool) -> float:
        return 0.001

    def due(self) -> float | None:
        return None


def looking_at(source: Any) -> Cycle:
    """Return a cycle that hears of changes from a source."""
    cycle = Cycle("default", b"secret")
    cycle._link.source = source
    return cycle


def test_no_look_walks_the_views(monkeypatch: pytest.MonkeyPatch) -> None:
    walks: list[str] = []

    def walk(found: bool | float) -> Callable[[ViewStore], bool | float]:
        def walked(store: ViewStore) -> bool | float:
            walks.append(type(found).__name__)
            return found

        return walked

    monkeypatch.setattr(ViewStore, "watched", walk(True))
    monkeypatch.setattr(ViewStore, "due", walk(float("inf")))
    source = Source()
    cycle = looking_at(source)
    cycle._turns.chores_at = float("inf")
    assert cycle._wait() == []
    assert source.looks == LOOKS
    assert len(walks) < 4


def test_a_look_that_fails_in_whatever_way_is_left_to_a_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Broken(Source):
        def moved(self) -> bool:
            raise AttributeError("never to end the thread")

    monkeypatch.setattr(ViewStore, "watched", lambda store: True)
    cycle = looking_at(Broken())
    cycle._turns.chores_at = float("inf")
    assert cycle._wait() == []


@override_settings(BINDSERVER={"LOG_KEEP_SECONDS": -5})
def test_the_log_is_purged_while_nobody_looks_at_anything(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bindserver.cycle.turn_taker.CHORES_SECONDS", 0.05)
    cycle, program = Cycle("default", b"secret"), SQLiteProgram(database)
    program.add_products(3)
    cycle.start()
    try:
        cycle.ask(Hint())
        for number in (1, 2):
            program.run("UPDATE app_product SET stock = ?", number)
            deadline = time.monotonic() + 60
            while program.run("SELECT count(*) FROM bindserver_log") != [(1,)]:
                assert time.monotonic() < deadline
                time.sleep(0.01)
    finally:
        cycle.stop()
        program.close()
