"""Which views a turn reads first, which when those have been published, and which the loader reads.

The views of one binding count together: a thousand that are cheap each hold others up like one that
is dear. Cheap bindings come first, as many as are expected to take no longer than `TURN_SECONDS`
together. Of the others a turn then reads for as long, one view of each binding after the other,
those first that were read longest ago; the rest stays where it is until the next turn, which begins
with what is cheap again. What takes so long by itself is the loader's.

That short work goes first and long work has a share of its own is Kleinrock's foreground and
background: no lane waits for ever, and none waits for all of another.
"""

from __future__ import annotations

import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import zip_longest
from typing import Protocol, TypeVar

from bindserver.bindings.registry import BindingClass
from bindserver.conf import conf
from bindserver.cycle.costs import Allowance
from bindserver.cycle.invalidation import Touched
from bindserver.cycle.live_shape import LiveShape
from bindserver.cycle.live_view import LiveView

logger = logging.getLogger("bindserver.cycle")

SLICE = 2.0
"""For so many times `TURN_SECONDS` a turn does one kind of work for newcomers, at least."""

LONGEST_SLICE = 10.0
"""And for so many at most, however long the rest of it takes."""


class Work(Protocol):
    """Something that a turn does to views of one binding."""

    @property
    def moved_at(self) -> float:
        """When they were read for the last time, on the monotonic clock."""

    @property
    def family(self) -> object:
        """Their binding."""

    @property
    def expected(self) -> float:
        """How many seconds that is going to take; 0 if that is unknown."""


Some = TypeVar("Some", bound=Work)


class Lanes:
    """What one cycle remembers about how dear views are.

    Args:
        clock: tells the time in seconds, and only rises.
        endless: whether everything counts as cheap, for turns that nobody else waits for.

    Attributes:
        turn_seconds: how long the last turn took, slices for newcomers aside.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, *, endless: bool = False
    ) -> None:
        self._clock = clock
        self._endless = endless
        self.turn_seconds = 0.0
        self._spaced: dict[LiveView, None] = {}
        self._told: set[BindingClass] = set()

    @property
    def seconds(self) -> float:
        """For how long a turn reads what is cheap, and then what is dear."""
        return math.inf if self._endless else float(conf.TURN_SECONDS)

    @property
    def slice_seconds(self) -> float:
        """For how long a turn may do one kind of work for newcomers: take what was loaded, serve
        requests, ask bindings again. What lives comes after, and waits for no more than that.

        It is as long as the rest of a turn, or the turns themselves would take up the time; but a
        rest that newcomers have made long makes it no longer than `LONGEST_SLICE`.
        """
        longest = min(self.turn_seconds, LONGEST_SLICE * self.seconds)
        return min(float(conf.QUERY_SECONDS), max(SLICE * self.seconds, longest))

    def slice_until(self) -> float:
        """Return until when a turn may do so, on the monotonic clock."""
        return time.monotonic() + self.slice_seconds

    def part(self, works: Iterable[Some]) -> tuple[list[Some], list[Some]]:
        """Return what is cheap, what was read longest ago first, and what is dear."""
        families = [(sum(work.expected for work in some), some) for some in _families(works)]
        families.sort(key=_first)
        cheap: list[Some] = []
        dear: list[Some] = []
        total = 0.0
        for cost, some in families:
            total += cost
            (cheap if total <= self.seconds else dear).extend(some)
        return sorted(cheap, key=_moved_at), dear

    @staticmethod
    def by_turns(works: Iterable[Some]) -> Iterator[Some]:
        """Yield what is dear: something of each binding, then something else of each; what was read
        longest ago first."""
        families = [sorted(some, key=_moved_at) for some in _families(works)]
        families.sort(key=lambda some: some[0].moved_at)
        for some in zip_longest(*families):
            yield from (work for work in some if work is not None)

    def is_long(self, shape: LiveShape[LiveView], what: Touched) -> bool:
        """Return whether reading rows of a shape by key is going to take longer than what is cheap
        should wait."""
        return not what.whole and shape.cost.of(len(what.pks)) > self.seconds

    def is_for_loader(self, shape: LiveShape[LiveView], what: Touched, views: int = 1) -> bool:
        """Return whether some views of a shape are to be read whole by the loader, in place of what
        was touched by a turn."""
        return shape.cost.is_dear(None if what.whole else len(what.pks), views, self.seconds)

    # Views that are read less often.

    def spend(self, live: LiveView, seconds: float) -> None:
        """Take note that the loader has read a view whole, for so many seconds."""
        if seconds <= self.seconds:
            return
        if live.allowance is None:
            live.allowance = Allowance()
        live.allowance.spend(seconds, conf.VIEW_SHARE, self._clock())

    def space(self, live: LiveView) -> bool:
        """Return whether a view in which something was touched is to stay where it is, since it has
        had its share of the time; and say so once. Who waits for its rows does not wait for that.
        """
        allowance = live.allowance
        if allowance is None or allowance.until <= self._clock() or not live.is_settled:
            return False
        allowance.stays = True
        self._spaced[live] = None
        self._tell(live)
        return True

    def stays(self, live: LiveView) -> bool:
        """Return whether it is to stay there still; if not, it does so no more."""
        allowance = live.allowance
        if allowance is None:
            return False
        allowance.stays = live.is_spaced and allowance.until > self._clock()
        return allowance.stays

    def due(self) -> float:
        """Return when the next view that stays where it is may be read, on the monotonic clock."""
        over = [live for live in self._spaced if not (live.is_spaced and live.wanted)]
        for live in over:
            del self._spaced[live]
        times = (live.allowance.until for live in self._spaced if live.allowance is not None)
        return min(times, default=math.inf)

    def _tell(self, live: LiveView) -> None:
        if live.binding in self._told:
            return
        self._told.add(live.binding)
        name = f" (event {live.event!r})" if live.event else ""
        seconds, share = live.shape.cost.of(None), conf.VIEW_SHARE
        logger.warning(
            "bindserver: %s%s is dear: changes concern it more often than it can be read, which "
            "takes %.2f s each time. So its views are read every %.1f s at most, as they may take "
            "up %g of the time (BINDSERVER['VIEW_SHARE']); `manage.py bindings explain` says what "
            "would be cheaper",
            live.binding.__name__, name, seconds, seconds / share, share,
        )  # fmt: skip


def _families(works: Iterable[Some]) -> Iterable[list[Some]]:
    found: dict[object, list[Some]] = defaultdict(list)
    for work in works:
        found[work.family].append(work)
    return found.values()


def _first(family: tuple[float, object]) -> float:
    return family[0]


def _moved_at(work: Work) -> float:
    return work.moved_at
