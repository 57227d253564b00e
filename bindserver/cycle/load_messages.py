"""What a turn hands to the loader, and what comes back."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bindserver.cycle.claims import Claim, Comparison
from bindserver.cycle.live_view import LiveView
from bindserver.engine.changes import Position
from bindserver.queries.dependencies import Recorder
from bindserver.queries.learning import LearningRecorder
from bindserver.queries.query import Query
from bindserver.queries.rows import Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What a load came to: rows at a position, or what went wrong.

    Attributes:
        query: what was read; the view's own may be another by now.
        began: when, on the monotonic clock; what was committed before is in the rows.
        seconds: how long it took, of this one where several views were read together.
    """

    live: LiveView
    query: Query
    rows: Rows | None
    position: Position
    recorder: Recorder
    began: float
    seconds: float = 0.0
    problem: Exception | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """What the audit of a view came to.

    Attributes:
        claim: what the view has said.
        comparison: how that differs from the database; None where it could not be read.
        position: the state that was read.
        recorder: the tables that were read.
        seconds: how long it took.
        made_way: whether it was given up for a load.
    """

    claim: Claim
    comparison: Comparison | None
    position: Position
    recorder: Recorder
    seconds: float
    made_way: bool = False

    @classmethod
    def in_vain(
        cls, claim: Claim, position: Position, began: float, *, made_way: bool = False
    ) -> Audited:
        """Return that an audit has come to nothing that began at a monotonic time."""
        return cls(
            claim=claim,
            comparison=None,
            position=position,
            recorder=LearningRecorder(),
            seconds=time.monotonic() - began,
            made_way=made_way,
        )


Result = Loaded | Audited


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Views to be loaded together: some of one shape, or one of any.

    Attributes:
        since: the position of the turn that wants them.
        durable: whether the snapshot of the load can tell its position, which else is `since`.
        queries: what the views read when they were wanted.
    """

    lives: Sequence[LiveView]
    since: Position
    durable: bool
    queries: Sequence[Query] = ()

    def __post_init__(self) -> None:
        if len(self.queries) != len(self.lives):
            object.__setattr__(self, "queries", [live.query for live in self.lives])

    def some(self, start: int, stop: int) -> Wanted:
        """Return what is wanted of some of the views."""
        return self.those(range(len(self.lives))[start:stop])

    def those(self, places: Sequence[int]) -> Wanted:
        """Return what is wanted of the views in these places."""
        lives, queries = [self.lives[at] for at in places], [self.queries[at] for at in places]
        return replace(self, lives=lives, queries=queries)

    def client(self) -> object | None:
        """Return who waits for first rows of one of the views; None where one has rows already, or
        nobody waits for any."""
        if any(live.loaded for live in self.lives):
            return None
        return next((live.first_client() for live in self.lives if live.wanted), None)

    def came_to(
        self,
        rows_by_view: Sequence[Rows | None],
        *,
        position: Position,
        recorder: Recorder,
        began: float,
        seconds: float = 0.0,
        problem: Exception | None = None,
    ) -> list[Loaded]:
        """Return what the load came to for each of the views.

        Args:
            rows_by_view: the rows of each, None where they could not be read.
            position: the state that was read.
            recorder: the tables that were read.
            began: when, on the monotonic clock.
            seconds: how long each took.
            problem: what went wrong.
        """
        return [
            Loaded(
                live=live,
                query=query,
                rows=rows,
                position=position,
                recorder=recorder,
                began=began,
                seconds=seconds,
                problem=problem,
            )
            for live, query, rows in zip(self.lives, self.queries, rows_by_view, strict=True)
        ]

    def unread(self, began: float, problem: Exception) -> list[Loaded]:
        """Return that none of the views was read, and why."""
        return self.came_to(
            [None] * len(self.lives),
            position=self.since,
            recorder=LearningRecorder(),
            began=began,
            problem=problem,
        )


class Unneeded(Exception):
    """Nobody waits for a view any more, so that it was not read."""
