"""Which view is compared with the database next, and when: one after the other, round by round."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from weakref import ref

from bindserver.bindings.registry import BindingClass
from bindserver.conf import conf
from bindserver.cycle.claims import Differences, Kind
from bindserver.cycle.failure_log import name_of
from bindserver.cycle.live_view import LiveView, ViewState

logger = logging.getLogger("bindserver.cycle")

LEAST_SECONDS = 0.002
"""So long an audit takes at least, with the two turns that begin and end it."""

KEYS_TOLD = 10
"""So many keys of rows that differ are logged."""


class Auditor:
    """Has each view audited in turn, for a share of the time.

    A round begins with the views that there are. Each is looked at once, in the order in which they
    came, so that it is always the turn of the one that was looked at longest ago; one that has
    moved meanwhile is looked at again at the round's end, once. A round begins `COMPARE_SECONDS`
    after the one before at the earliest.

    Args:
        views: returns all views.
        clock: tells the time in seconds, and only rises.
    """

    def __init__(
        self, views: Callable[[], list[LiveView]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._views = views
        self._clock = clock
        self._round: deque[ref[LiveView]] = deque()  # what is dropped is to be in memory no more
        self._again: deque[ref[LiveView]] = deque()
        self._is_out = self._is_second = False
        self._next_at = self._round_at = -math.inf
        self._left_out: set[BindingClass] = set()
        self._told: set[BindingClass] = set()

    def due(self) -> float:
        """Return when the next audit is to begin, on the monotonic clock."""
        if self._is_out or not conf.AUDIT_SHARE:
            return math.inf
        if self._round or self._again:
            return self._next_at
        return max(self._next_at, self._round_at)

    def begin_at(self, at: float) -> None:
        """Have the next round begin at a time, on the monotonic clock."""
        self._round_at = at

    def next(self) -> LiveView | None:
        """Return the view that is to be audited now; None if none is. Until it `came_back`, or is
        `forgotten`, there is no other."""
        now = self._clock()
        if now < self.due():
            return None
        if not (self._round or self._again):
            self._round.extend(map(ref, self._views()))
            self._round_at = now + conf.COMPARE_SECONDS
        while self._round or self._again:
            self._is_second = not self._round
            live = (self._round or self._again).popleft()()
            if live is not None and self._may_be(live):
                self._is_out = True
                return live
        return None

    def _may_be(self, live: LiveView) -> bool:
        """Return whether there is anything to compare: rows that are to be as the database is.
        Those that may be old, since their binding says so, are read whole anyway."""
        is_ready = live.state is ViewState.READY and not live.is_dropped
        return (
            is_ready and live.query.refreshed_after is None and live.binding not in self._left_out
        )

    def came_back(self, live: LiveView, seconds: float, *, moved: bool = False) -> None:
        """Take note that an audit is over.

        Args:
            live: the view.
            seconds: how long it took.
            moved: whether it has come to nothing, as the view has moved meanwhile.
        """
        if self._is_out and moved and not self._is_second:
            self._again.append(ref(live))
        self._is_out = False
        share = float(conf.AUDIT_SHARE) or 1.0
        self._next_at = self._clock() + max(seconds, LEAST_SECONDS) * (1 / share - 1)

    def forget(self) -> None:
        """Wait for no audit any more: the database, or a thread, is lost."""
        self._is_out = False

    def leave_out(self, live: LiveView) -> None:
        """Audit no view of a binding any more whose rows say something else at each read, and say
        so."""
        if live.binding not in self._left_out:
            self._left_out.add(live.binding)
            logger.warning(
                "bindserver: %s is not audited: two reads of one state have given different rows. "
                "If its rows depend on something beside the database, say in refresh_seconds how "
                "old they may be",
                name_of(live.binding),
            )

    def tell(self, live: LiveView, differences: Differences) -> None:
        """Log, once for each binding, how a view of it has differed from the database."""
        if live.binding in self._told:
            return
        self._told.add(live.binding)
        logger.error(
            "bindserver: an audit has found that a view of %s was not what the database says, and "
            "heals it: %s. A change was not seen, or its rows depend on something beside the "
            "database; then say in refresh_seconds how old they may be. The metric "
            "bindserver_audit_differences_total counts what else is found",
            name_of(live.binding), in_words(differences),
        )  # fmt: skip


def in_words(differences: Differences) -> str:
    """Return which rows differ, and how: by their keys, and with nothing that they say."""
    by_kind: Mapping[Kind, Sequence[int | str]] = {
        kind: [key for key, found in differences.items() if found is kind] for kind in Kind
    }
    return "; ".join(
        f"{len(keys)} {kind.value} ({_listed(keys)})" for kind, keys in by_kind.items() if keys
    )


def _listed(keys: Sequence[int | str]) -> str:
    told = ", ".join(repr(key) for key in islice(keys, KEYS_TOLD))
    return told if len(keys) <= KEYS_TOLD else f"{told}, ..."
