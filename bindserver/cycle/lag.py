"""How views stand after a turn, for whoever asks how a server does: a few figures, no rows."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from bindserver.cycle.live_view import LiveView, ViewState
from bindserver.engine.changes import Position

NONE: Mapping[str, Mapping[LiveView, float]] = {}


class LagReason(Enum):
    """Why somebody waits for a view, or has old rows of it.

    BEHIND: a turn has left it for the next one. LOADING: the loader reads it whole. SET_ASIDE: it
    could not be read, and is tried again by itself. SPACED: it has had its share of the time.
    """

    BEHIND = "behind"
    LOADING = "loading"
    SET_ASIDE = "set aside"
    SPACED = "read less often"


@dataclass(frozen=True, slots=True)
class LaggingViews:
    """Views of one event that stand alike, and are not as the database is.

    Attributes:
        event: the binding's; its model's label where it is not published.
        standing: why.
        count: how many they are.
        since: since when the one furthest behind is old, on the monotonic clock.
    """

    event: str
    reason: LagReason
    count: int
    since: float


def lagging_views(
    views: Iterable[LiveView],
    position: Position,
    since: float,
    loading: Mapping[str, Mapping[LiveView, float]] = NONE,
) -> tuple[LaggingViews, ...]:
    """Return which views a turn has not brought to its snapshot, and note since when on each.

    Args:
        views: all there are; those that nobody waits for do not count.
        position: the snapshot's.
        since: when it was last known that views are as the database is, on the monotonic clock.
        loading: further ones whose first rows are being loaded, by name, in the order in which
            that began; and when it did.
    """
    found: dict[tuple[str, LagReason], list[float]] = defaultdict(list)
    for live in views:
        if not live.wanted or live.is_at(position):
            live.behind_since = None
            continue
        if live.behind_since is None:
            live.behind_since = since
        found[live.name, _reason(live)].append(live.behind_since)
    counts = {key: (len(times), min(times)) for key, times in found.items()}
    for name, alike in loading.items():
        count, first = counts.get((name, LagReason.LOADING), (0, math.inf))
        first = min(first, next(iter(alike.values())))
        counts[name, LagReason.LOADING] = count + len(alike), first
    return tuple(
        LaggingViews(event=event, reason=reason, count=count, since=first)
        for (event, reason), (count, first) in sorted(counts.items(), key=lambda item: item[0][0])
    )


def _reason(live: LiveView) -> LagReason:
    if live.state is ViewState.FAILED:
        return LagReason.SET_ASIDE
    if live.state is ViewState.LOADING:
        return LagReason.LOADING
    return LagReason.SPACED if live.is_spaced else LagReason.BEHIND
