"""How views stand after a turn, for whoever asks how a server does: a few figures, no rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from bindserver.cycle.live_view import LiveView, ViewState
from bindserver.engine.changes import Position


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
    views: Iterable[LiveView], position: Position, since: float
) -> tuple[LaggingViews, ...]:
    """Return which views a turn has not brought to its snapshot, and note since when on each.

    Args:
        views: all there are; those that nobody waits for do not count.
        position: the snapshot's.
        since: when it was last known that views are as the database is, on the monotonic clock.
    """
    found: dict[tuple[str, LagReason], list[float]] = defaultdict(list)
    for live in views:
        if not live.wanted or live.is_at(position):
            live.behind_since = None
            continue
        if live.behind_since is None:
            live.behind_since = since
        found[_name(live), _reason(live)].append(live.behind_since)
    return tuple(
        LaggingViews(event=event, reason=reason, count=len(times), since=min(times))
        for (event, reason), times in sorted(found.items(), key=lambda item: item[0][0])
    )


def _name(live: LiveView) -> str:
    return live.event or live.query.model._meta.label


def _reason(live: LiveView) -> LagReason:
    if live.state is ViewState.FAILED:
        return LagReason.SET_ASIDE
    if live.state is ViewState.LOADING:
        return LagReason.LOADING
    return LagReason.SPACED if live.is_spaced else LagReason.BEHIND
