"""How views stand after a turn, for whoever asks how a server does: a few figures, no rows."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
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
        reason: why.
        count: how many they are.
        since: since when the one furthest behind is old, on the monotonic clock.
        unanswered_since: since when somebody waits for first rows of one; for ever if nobody does.
    """

    event: str
    reason: LagReason
    count: int
    since: float
    unanswered_since: float = math.inf


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
    found: dict[tuple[str, LagReason], list[tuple[float, float]]] = defaultdict(list)
    for live in views:
        if not live.wanted or live.is_at(position):
            live.behind_since = None
            continue
        if live.behind_since is None:
            live.behind_since = since
        unanswered = min((o.at for o in live.openings if not o.has_rows), default=math.inf)
        found[live.name, _reason(live)].append((live.behind_since, unanswered))
    told = {key: _told(key, len(times), times) for key, times in found.items()}
    for name, alike in loading.items():
        key = (name, LagReason.LOADING)
        known = told.get(key)
        began = next(iter(alike.values()))
        times = [(began, began)]
        if known is not None:
            times.append((known.since, known.unanswered_since))
        told[key] = _told(key, len(alike) + (0 if known is None else known.count), times)
    return tuple(views for _, views in sorted(told.items(), key=lambda item: item[0][0]))


def _told(
    key: tuple[str, LagReason], count: int, times: Sequence[tuple[float, float]]
) -> LaggingViews:
    return LaggingViews(
        event=key[0],
        reason=key[1],
        count=count,
        since=min(since for since, _ in times),
        unanswered_since=min(unanswered for _, unanswered in times),
    )


def _reason(live: LiveView) -> LagReason:
    if live.state is ViewState.FAILED:
        return LagReason.SET_ASIDE
    if live.state is ViewState.LOADING:
        return LagReason.LOADING
    return LagReason.SPACED if live.is_spaced else LagReason.BEHIND
