"""What views are and cost, for whoever looks from another thread: an operator, and no turn.

Reading takes nothing from the cycle's thread but the interpreter. Each attribute is looked at once,
and gives what it was before or after a change; no collection is walked through. So the figures of
one view may be of two moments, some microseconds apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from heapq import nlargest

from bindserver.cycle.live_view import LiveView, ViewState


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewFacts:
    """One view.

    Attributes:
        number: names it in its process, as long as it lives.
        name: its event; its model's label where it is not published.
        binding: the class, with its module.
        params: as JSON text, as subscribers have given them.
        state: where it stands, in words.
        rows: how many it shows.
        bytes: about how many it takes in memory.
        followers: how many subscriptions have its rows.
        waiting: how many wait for a first answer, or for rows once.
        whole_seconds: how long it takes to read all of it; 0 if that is unknown.
        change_seconds: how long a turn takes for all views of its shape; 0 if that is unknown.
        together: how many views its shape has.
        lag_seconds: for how long it has not been known to be as the database is.
    """

    number: int
    name: str
    binding: str
    params: str
    state: str
    rows: int
    bytes: int
    followers: int
    waiting: int
    whole_seconds: float
    change_seconds: float
    together: int
    lag_seconds: float


def facts_of(live: LiveView, now: float) -> ViewFacts:
    """Return what is known of a view.

    Args:
        live: the view.
        now: on the monotonic clock.
    """
    return ViewFacts(
        number=live.number,
        name=live.name,
        binding=f"{live.binding.__module__}.{live.binding.__qualname__}",
        params=live.params,
        state="read less often" if live.is_spaced else STATES[live.state],
        rows=len(live.rows.view),
        bytes=_bytes(live),
        followers=len(live.audience),
        waiting=_waiting(live),
        whole_seconds=live.shape.cost.of_whole,
        change_seconds=live.shape.cost.of_move,
        together=live.shape.members,
        lag_seconds=_lag(live, now),
    )


STATES = {
    ViewState.NEW: "not read yet",
    ViewState.LOADING: "loading",
    ViewState.READY: "ready",
    ViewState.FAILED: "set aside",
}
"""Where a view stands, as operators are told."""


def _bytes(live: LiveView) -> int:
    charge = live.charge
    return live.rows.view.bytes if charge is None else charge.bytes


def _waiting(live: LiveView) -> int:
    return len(live.openings) + len(live.readers)


def _lag(live: LiveView, now: float) -> float:
    since = live.behind_since
    return 0.0 if since is None else max(0.0, now - since)


Ranking = Callable[[LiveView, float], tuple[float, ...]]

RANKINGS: dict[str, Ranking] = {
    "cost": lambda live, now: (
        max(live.shape.cost.of_whole, live.shape.cost.of_move),
        float(_bytes(live)),
    ),
    "bytes": lambda live, now: (float(_bytes(live)),),
    "followers": lambda live, now: (float(len(live.audience)), float(_waiting(live))),
    "lag": lambda live, now: (_lag(live, now), float(live.state is ViewState.FAILED)),
}
"""By what views are ranked, and what of a view counts by that."""


def foremost(
    views: Iterable[LiveView], count: int, by: str, search: str, now: float
) -> list[ViewFacts]:
    """Return those of some views that rank first.

    Args:
        views: the views.
        count: so many at most.
        by: one of `RANKINGS`.
        search: what their names or params must have in them, in lower case; nothing for any.
        now: on the monotonic clock.
    """
    ranking = RANKINGS[by]
    found = (live for live in views if not search or _mentions(live, search))
    first = nlargest(count, found, key=lambda live: (ranking(live, now), -live.number))
    return [facts_of(live, now) for live in first]


def _mentions(live: LiveView, search: str) -> bool:
    return search in live.name.lower() or search in live.params.lower()
