"""Views of one shape, which move together: one position, one question for all of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, KeysView
from typing import Any, Generic, Protocol, TypeVar

from bindserver.cycle.costs import Cost
from bindserver.cycle.one_or_many import FewBy
from bindserver.engine.changes import Position
from bindserver.queries.backwards import Chain
from bindserver.queries.dependencies import Recorder
from bindserver.queries.query import Query
from bindserver.queries.slots import Slot

NOWHERE = Position(epoch="", mark="")
"""The position of what was never read."""


class Present:
    """The state in which all views are that nothing holds back.

    Attributes:
        position: that of the last turn's snapshot.
        before: that of the turn before it.
    """

    __slots__ = ("before", "position")

    def __init__(self) -> None:
        self.position = self.before = NOWHERE


class Rider(Protocol):
    """A view, as far as its shape knows it."""

    @property
    def query(self) -> Query:
        """Its query."""

    @property
    def tracked(self) -> Collection[Hashable]:
        """The primary keys of the rows that it holds; another object after they were read whole."""


View = TypeVar("View", bound=Rider)


def _nobody(shape: LiveShape[View], tables: Collection[str]) -> None:
    """Hear what is read, and do nothing."""


class LiveShape(Generic[View]):
    """The views of one shape; or one view that is like no other.

    Those of its views *ride* which are as they were at its position and have somebody who waits for
    what happens: they are never looked at one by one. The others have a position of their own.

    Args:
        query: that of one of the views; what it says of the shape holds for all, and stays.
        present: where the shape is while nothing holds it back.
        reads: called with the tables that it is found to read.

    Attributes:
        whole_tables: the tables that any of the views' rows may depend on.
        ways: how those that reading has read beside the views' own query lead back to their rows.
        held_at: the position that it stays at; None where it is at the present one.
        members: how many views it has, riding or not.
        family: the binding that they are of; None before there is one.
        cost: what it costs to read its views.
        moved_at: when riding views were moved for the last time, on the monotonic clock.
    """

    __slots__ = (
        "_holders",
        "_present",
        "_reads",
        "_riding",
        "cost",
        "family",
        "held_at",
        "members",
        "moved_at",
        "query",
        "ways",
        "whole_tables",
    )

    def __init__(
        self,
        query: Query,
        present: Present,
        reads: Callable[[LiveShape[View], Collection[str]], None] = _nobody,
    ) -> None:
        self.query = query
        self.whole_tables: set[str] = set()
        self.ways: frozenset[tuple[str, Chain]] = frozenset()
        self.held_at: Position | None = None
        self.members = 0
        self.cost = Cost()
        self.family: object = None
        self.moved_at = -math.inf
        self._present = present
        self._reads = reads
        self._riding: FewBy[Slot, View] = FewBy()
        self._holders: dict[Hashable, Any] = {}

    @property
    def key(self) -> Hashable:
        """What tells it from other shapes."""
        return shape_key(self.query)

    @property
    def position(self) -> Position:
        """The state that its riding views are in."""
        return self._present.position if self.held_at is None else self.held_at

    @property
    def tables(self) -> frozenset[str]:
        """Every table that its views read."""
        own = self.query.tables
        if not self.whole_tables and not self.ways:
            return own
        return own.union(self.whole_tables, (table for table, _ in self.ways))

    def learn(self, recorder: Recorder) -> None:
        """Take note of what reading has read beside the views' own query, and how that leads back
        to their rows."""
        read, behind = recorder.ways(), self.query.behind
        lost = {table for table, chains in read.items() if chains is None or table in behind.views}
        whole = behind.instead(lost) - self.whole_tables
        self.whole_tables |= whole
        ways = {(table, chain) for table, chains in read.items() for chain in chains or ()}
        ways -= self.ways
        self.ways |= ways
        if found := {*whole, *(table for table, _ in ways)}:
            self._reads(self, found)

    @property
    def expected(self) -> float:
        """How long a turn is going to be busy with its views, in seconds; 0 if that is unknown."""
        return self.cost.of_move

    @property
    def is_shared(self) -> bool:
        """Whether several views can be read together."""
        return self.query.batch_key is not None

    def __len__(self) -> int:
        """Return how many slots have views that ride."""
        return len(self._riding)

    def riding(self) -> Iterator[View]:
        """Yield the views that ride; none may come or go meanwhile."""
        return self._riding.all()

    def reader(self) -> Query:
        """Return by which query those are read that ride: one of theirs, as it was asked last."""
        return next(self.riding()).query

    def slots(self) -> KeysView[Slot]:
        """Return the slots of the views that ride."""
        return self._riding.keys()

    def of_slot(self, slot: Slot) -> list[View]:
        """Return the views of a slot that ride; of windows those first that hold most, since what
        they ask of the order tells the others theirs."""
        lives = list(self._riding.of(slot))
        if self._has_windows and len(lives) > 1:
            lives.sort(key=lambda live: len(live.tracked), reverse=True)
        return lives

    def holding(self, pks: Iterable[Hashable]) -> set[Slot]:
        """Return the slots of which views that ride have rows with these primary keys."""
        found: set[Any] = set()
        for pk in pks:
            holders = self._holders.get(pk)
            if isinstance(holders, set):
                found |= holders
            elif holders is not None:
                found.add(holders)
        return {one.query.slot for one in found} if self._has_windows else found

    def is_riding(self, live: View) -> bool:
        """Return whether a view rides."""
        return live in self._riding.of(live.query.slot)

    def mount(self, live: View) -> None:
        """Have a view ride that is at the shape's position."""
        slot = live.query.slot
        if self.is_shared and (self._has_windows or not self._riding.of(slot)):
            self._enter(live.tracked, self._holder(live))
        self._riding.add(slot, live)

    def dismount(self, live: View) -> None:
        """Have a view ride no more."""
        slot = live.query.slot
        self._riding.discard(slot, live)
        if self._has_windows or not self._riding.of(slot):
            self._leave(live.tracked, self._holder(live))

    @property
    def _has_windows(self) -> bool:
        """Whether views of one slot may hold different rows: some show others than others do."""
        return self.query.window is not None

    def _holder(self, live: View) -> Any:
        """Return as what those are noted that hold a row: a slot's views together, where all of
        them hold the same."""
        return live if self._has_windows else live.query.slot

    def note(
        self,
        looked_for: Collection[Hashable],
        live: View,
        before: Collection[Hashable] | None = None,
    ) -> None:
        """Take note of which rows a view that rides has now.

        Args:
            looked_for: the primary keys that were looked for.
            live: the view.
            before: what it `tracked` before, where that may be another object by now.
        """
        if not self.is_shared:
            return
        holder = self._holder(live)
        self._leave(looked_for, holder)
        if before is None or live.tracked is before:
            self._enter([pk for pk in looked_for if pk in live.tracked], holder)
            return
        self._leave(before, holder)
        for one in [live] if self._has_windows else self.of_slot(live.query.slot):
            self._enter(one.tracked, holder)

    def _enter(self, pks: Iterable[Hashable], holder: Hashable) -> None:
        for pk in pks:
            holders = self._holders.setdefault(pk, holder)
            if isinstance(holders, set):
                holders.add(holder)
            elif holders != holder:  # where rows are dealt by what they are joined to
                self._holders[pk] = {holders, holder}

    def _leave(self, pks: Iterable[Hashable], holder: Hashable) -> None:
        for pk in pks:
            holders = self._holders.get(pk)
            if isinstance(holders, set):
                holders.discard(holder)
                if len(holders) == 1:
                    (self._holders[pk],) = holders
            elif holders is not None and holders == holder:
                del self._holders[pk]


def shape_key(query: Query) -> Hashable:
    """Return what is equal for queries of one shape."""
    return query.identity if query.batch_key is None else query.batch_key
