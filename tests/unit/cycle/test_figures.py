"""What a cycle counts: exactly what there is, whatever comes and goes."""

from __future__ import annotations

import pytest

from bindserver.cycle import figures
from bindserver.cycle.figures import BOUNDS, OTHERS, CycleFigures, Durations, LoadFigures


def test_durations_are_counted_up_to_their_bound() -> None:
    durations = Durations()
    for seconds in (0.0, 0.001, 0.0011, 60.0, 61.0):
        durations.add(seconds)
    assert durations.counts[:2] == [2, 1]
    assert durations.counts[-2:] == [1, 1]
    assert sum(durations.counts) == 5
    assert durations.total == pytest.approx(121.0021)
    assert list(BOUNDS) == sorted(BOUNDS)


def test_what_raises_is_counted_too() -> None:
    loads = LoadFigures()
    load = loads.measured()
    load.__enter__()
    assert loads.running == 1
    assert not load.__exit__(ValueError, ValueError("gone"), None)
    assert loads.running == 0
    assert sum(loads.seconds.counts) == 1


def test_events_that_are_made_up_without_end_are_summed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "MAX_EVENTS", 2)
    counted = CycleFigures()
    for name in "abcdab":
        counted.of(name).deltas += 1
        counted.count_failure(name, "failed")
    assert {name: some.deltas for name, some in counted.events()} == {"a": 2, "b": 2, OTHERS: 2}
    assert counted.failures == {("a", "failed"): 2, ("b", "failed"): 2, (OTHERS, "failed"): 2}
