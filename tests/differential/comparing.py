"""Batches of generated bindings, followed through the same writes; and what is told of failures."""

from __future__ import annotations

import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from itertools import count, islice
from random import Random

from django.db import connection

from tests.differential.declaring import Declared, declaration
from tests.differential.world import EVERY, Failed, World
from tests.differential.writing import Step, step
from tests.support.passing import Passing

AT_ONCE = 20
"""So many bindings are followed through the same writes."""
STEPS = 5

TOLD_SECONDS = 30
"""After so long it is said again how many were compared."""


class Comparison:
    """Runs batches until enough different bindings were compared.

    Args:
        start: the seed.
        passing: lets time pass.
        only: the one batch to run, of those that are drawn; None for all.
        go_on: whether to go on after a difference.
        quiet: whether to say nothing of a difference.
        among: what the source of a binding must have in it to be compared, as a regular expression.
    """

    def __init__(
        self,
        start: int,
        passing: Passing,
        only: int | None = None,
        *,
        go_on: bool = False,
        quiet: bool = False,
        among: str = "",
    ) -> None:
        self._seed, self._only, self._go_on, self._quiet = start, only, go_on, quiet
        self._among = re.compile(among)
        self._seen: set[str] = set()
        self._kinds: Counter[str] = Counter()
        self._batch = 0
        self._refused = 0
        self._world = World(passing)
        self._began = time.monotonic()
        self.differences = 0

    def run(self, examples: int) -> None:
        """Compare so many bindings, and say now and then how far it is."""
        told = self._began
        while len(self._seen) < examples and (self._go_on or not self.differences):
            self._batch += 1
            if self._only is None or self._batch == self._only:
                random = Random(f"{self._seed} {self._batch}")
                self._take(self._draw(random), [step(random) for _ in range(STEPS)])
            if self._batch == self._only:
                break
            if not self._quiet and time.monotonic() - told >= TOLD_SECONDS:
                told = time.monotonic()
                print(self._progress(examples), file=sys.stderr, flush=True)

    def _progress(self, examples: int) -> str:
        database = connection.vendor
        return f"{database}: {self.tried} of {examples}, {self.differences} differences"

    def _draw(self, random: Random) -> list[Declared]:
        drawn = (declaration(random) for _ in count())
        return list(islice((one for one in drawn if self._among.search(one.source)), AT_ONCE))

    def _take(self, bindings: Sequence[Declared], written: Sequence[Step]) -> None:
        fresh = list({b.name: b for b in bindings if b.name not in self._seen}.values())
        self._seen.update(one.name for one in fresh)
        self._refused += sum(one.refused for one in fresh)
        for one in fresh:
            self._kinds.update(one.kinds)
        while fresh:
            try:
                self._world.run(fresh, written)
                return
            except Failed as failed:
                self.differences += 1
                if not self._quiet:
                    self._tell(failed)
                if not self._go_on:
                    return
                fresh = [one for one in fresh if one is not failed.declared]

    def _tell(self, failed: Failed) -> None:
        alone = self._alone(failed)
        where = f"--seed {self._seed} --batch {self._batch}"
        print(f"\nDIFFERENT ({where}), {'alone too' if alone else 'only beside others'}:")
        found = alone or failed
        print(found.declared.source)
        print(f"kinds: {', '.join(sorted(found.declared.kinds)) or '-'}")
        for number, written_then in enumerate(found.steps, start=1):
            print(f"step {number}: {written_then.source}")
        print(found.problem, flush=True)

    def _alone(self, failed: Failed) -> Failed | None:
        """Return the same failure of one binding, with as few steps as that takes; None if it
        takes others beside it."""
        found = self._fails(failed.declared, failed.steps)
        if found is None:
            return None
        for one in list(found.steps):
            fewer = [other for other in found.steps if other is not one]
            found = self._fails(failed.declared, fewer) or found
        return found

    def _fails(self, declared: Declared, written: Sequence[Step]) -> Failed | None:
        try:
            self._world.run([declared], written)
        except Failed as failed:
            return failed
        return None

    @property
    def tried(self) -> int:
        """How many different bindings were drawn."""
        return len(self._seen)

    def report(self) -> str:
        """Return the figures."""
        seconds = time.monotonic() - self._began
        lines = [
            f"examples: {len(self._seen) - len(self._world.invalid)}",
            f"without an answer of DRF's: {len(self._world.invalid)}",
            f"comparisons: {self._world.compared[EVERY]}",
            f"refused as they must be: {self._refused}",
            f"differences: {self.differences}",
            f"seconds: {seconds:.0f}",
            f"kinds: {_counts(self._kinds)}",
            f"comparisons by kind: {_counts(self._world.compared)}",
        ]
        return "\n".join(lines)


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{kind} {n}" for kind, n in sorted(counter.items()))
