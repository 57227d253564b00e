"""What a waiting cycle does between two turns, a hundred times a second."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bindserver.cycle import Cycle
from bindserver.desk import Desk

LOOKS = 20


class Source:
    """Somebody commits at the twentieth look."""

    polls = True

    def __init__(self) -> None:
        self.looks = 0

    def moved(self) -> bool:
        self.looks += 1
        return self.looks == LOOKS

    def pause(self, *, quiet: bool) -> float:
        return 0.001

    def due(self) -> float | None:
        return None


def test_no_look_walks_the_views(monkeypatch: pytest.MonkeyPatch) -> None:
    walks: list[str] = []

    def walk(found: bool | float) -> Callable[[Desk], bool | float]:
        def walked(desk: Desk) -> bool | float:
            walks.append(type(found).__name__)
            return found

        return walked

    monkeypatch.setattr(Desk, "watched", walk(True))
    monkeypatch.setattr(Desk, "due", walk(float("inf")))
    cycle, source = Cycle("default", b"secret"), Source()
    cycle._source = source  # type: ignore[assignment]
    cycle._chores_at = float("inf")
    assert cycle._wait() == []
    assert source.looks == LOOKS
    assert len(walks) < 4
