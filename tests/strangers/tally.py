"""What was compared, and what differed. Pure, so that its own faults are found in moments."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

Rows = list[dict[str, Any]]

HEAD = (
    f"{'app':10} {'bindings':>8} {'actions':>8} {'states':>8} {'late':>6} {'differences':>12} "
    f"{'seconds':>8}"
)
DOORS = ("WebSocket", "HTTP", "Python")
LOOKS = 2
"""Beside once behind each action, all is compared at the beginning and for those who come late."""


@dataclass
class Tally:
    """All comparisons of one app.

    Attributes:
        app: its name.
        bindings: how many bindings were followed.
        actions: what was done.
        compared: how many states were compared.
        late: how many came right only after the mark.
        seconds: how long it took.
        differences: what differed, in words, by view.
        failures: what else went wrong.
        moved: how often each view was seen to change.
        doors: how many states were compared at each door.
        onlookers: for how many visitors each view is compared.
        least: how many actions there must be.
    """

    app: str
    onlookers: int = 0
    least: int = 1
    bindings: int = 0
    actions: int = 0
    compared: int = 0
    late: int = 0
    seconds: float = 0.0
    differences: dict[str, list[str]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    moved: Counter[str] = field(default_factory=Counter)
    doors: Counter[str] = field(default_factory=Counter)
    _before: dict[str, Any] = field(default_factory=dict)

    def compare(
        self, door: str, view: str, where: str, truth: Rows | None, held: Rows | None
    ) -> bool:
        """Compare one state of a view; return whether it is right."""
        self.compared += 1
        self.doors[door] += 1
        if truth != held:
            self.differ(view, f"{where} over {door}: {difference(truth, held)}")
        return truth == held

    def differ(self, view: str, words: str) -> None:
        """Take down that a view is not as it should be."""
        self.differences.setdefault(view, []).append(words)

    def look(self, truth: dict[str, Any]) -> None:
        """Note which views have changed for somebody since the last look."""
        for name, rows in truth.items():
            self.moved[name] += name in self._before and self._before[name] != rows
        self._before = truth

    def problems(self) -> list[str]:
        """Return why this is no success, in words."""
        found = list(self.failures)
        for view, words in self.differences.items():
            found.append(f"{view}, {len(words)} times: {words[0]}")
        if self.actions < self.least:
            found.append(f"only {self.actions} of at least {self.least} actions were done")
        wanted = (self.actions + LOOKS) * len(self.moved) * self.onlookers
        for door in DOORS:
            if not wanted or self.doors[door] != wanted:
                found.append(f"{self.doors[door]} states were compared over {door}, not {wanted}")
        return found + [f"{name} never changed" for name, n in self.moved.items() if not n]

    def row(self) -> str:
        """Return its row of the table."""
        return (
            f"{self.app:10} {self.bindings:8} {self.actions:8} {self.compared:8} {self.late:6} "
            f"{sum(map(len, self.differences.values())):12} {self.seconds:8.1f}"
        )


def difference(truth: Rows | None, held: Rows | None) -> str:
    """Return what is wrong with rows, in a few words."""
    if truth is None or held is None:
        return f"{_short(held)} where {_short(truth)} is right"
    if len(truth) != len(held):
        return f"{len(held)} rows where {len(truth)} are right: {_short(held)}, not {_short(truth)}"
    at = next(n for n, (right, wrong) in enumerate(zip(truth, held, strict=True)) if right != wrong)
    names = [name for name in truth[at] if held[at].get(name, ...) != truth[at][name]]
    wrong, right = ({name: row[at].get(name) for name in names} for row in (held, truth))
    return f"row {at} has {_short(wrong or held[at])}, not {_short(right or truth[at])}"


def _short(what: object) -> str:
    text = "nothing at all" if what is None else json.dumps(what)
    return text if len(text) < 300 else f"{text[:297]}..."
