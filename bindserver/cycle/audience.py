"""Who looks at a view: who has its rows, who waits for a first answer, who wants them once."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence

from bindserver.cycle.followers import Followers
from bindserver.cycle.inbox import SubscriptionRef
from bindserver.cycle.waiting import EVERYTHING, Opening, Reading
from bindserver.engine.changes import Position


class Attended:
    """What has an audience. Lists that are empty are no lists: of very many views most are.

    Attributes:
        audience: the subscriptions that have its rows.
        openings: those that wait for a first answer.
        readers: whoever waits for its rows once.
        has_moved: whether one that waits has rows of another view, which this one takes the place
            of.
    """

    __slots__ = ("audience", "has_moved", "openings", "readers")

    def __init__(self) -> None:
        self.audience = Followers()
        self.openings: Sequence[Opening] = ()
        self.readers: Sequence[Reading] = ()
        self.has_moved = False

    def look(self) -> None:
        """Have the next turn look at it: who waits for it has come or gone."""

    @property
    def wanted(self) -> bool:
        """Whether anybody waits for what happens to it."""
        return bool(self.audience or self.openings) or any(not r.has_left for r in self.readers)

    @property
    def is_awaited(self) -> bool:
        """Whether anybody waits for an answer."""
        return bool(self.openings or self.readers)

    def first_client(self) -> object | None:
        """Return who waits for rows first: a listener, or one who asks as often as it asks."""
        for opening in self.openings:
            return opening.ref.listener
        return next((reading.viewer for reading in self.readers if not reading.has_left), None)

    # They come.

    def await_answer(self, opening: Opening) -> None:
        """Have a subscription wait for its first answer."""
        if isinstance(self.openings, list):
            self.openings.append(opening)
        else:
            self.openings = [opening]
        self.has_moved |= opening.moved
        self.look()

    def await_rows(self, readings: Iterable[Reading]) -> None:
        """Have somebody wait for its rows, once."""
        self.forget_who_left()
        self.readers = [*self.readers, *readings]
        self.look()

    def answer_again(self, refs: Collection[SubscriptionRef]) -> None:
        """Have subscribers answered as if they had just come, with all rows."""
        for ref in refs:
            self.audience.discard(ref)
            self.await_answer(Opening(ref, EVERYTHING, moved=True))

    # They are answered.

    def take_openings(self, *, asked_before: float = math.inf) -> list[Opening]:
        """Return those who began to wait for a first answer before a time; they wait no more."""
        taken = [opening for opening in self.openings if opening.at < asked_before]
        self.openings = [opening for opening in self.openings if opening.at >= asked_before] or ()
        return taken

    def take_readings(
        self,
        compared: Position,
        proves: Callable[[Position, Position], bool],
        *,
        asked_before: float,
    ) -> list[Reading]:
        """Return those who wait for its rows once, whom they are new enough for and who began to
        before a time; they wait no more.

        Args:
            compared: the state that its rows were compared with.
            proves: as a source's `proves`.
            asked_before: the time.
        """
        taken = [r for r in self.readers if r.at < asked_before and proves(compared, r.asked)]
        self.readers = [r for r in self.readers if r not in taken] or ()
        return taken

    def fail_readers(self, problem: Exception) -> None:
        """Tell all who wait for its rows once why they do not get them."""
        for reading in self.readers:
            reading.request.fail(problem)
        self.readers = ()
        self.look()

    # They go.

    def forget_who_left(self) -> None:
        """Forget those who do not wait for its rows any more, though they were not answered."""
        if any(reading.has_left for reading in self.readers):
            self.readers = [reading for reading in self.readers if not reading.has_left] or ()

    def release(self, refs: Collection[SubscriptionRef]) -> None:
        """Forget subscriptions, whether or not they have its rows."""
        for ref in refs:
            self.audience.discard(ref)
        self.openings = [opening for opening in self.openings if opening.ref not in refs] or ()
        self.look()

    def release_all(self) -> list[SubscriptionRef]:
        """Forget all subscriptions, and return them."""
        refs = [*self.audience, *(opening.ref for opening in self.openings)]
        self.audience.clear()
        self.openings = ()
        self.look()
        return refs

    def leave(self, viewer: object) -> list[Reading]:
        """Return those who wait for rows once as this viewer; they wait no more."""
        leaving = [r for r in self.readers if r.viewer is viewer]
        self.readers = [r for r in self.readers if r.viewer is not viewer] or ()
        self.look()
        return leaving
