"""What changed up to a turn's snapshot, and which rows of views that may touch.

Many views ask the same: those of one binding, or of one model. So each question is asked once in a
turn, and the answer remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable
from dataclasses import dataclass

from bindserver.capture.sources import Source
from bindserver.conf import conf
from bindserver.cycle.live_shape import LiveShape
from bindserver.cycle.live_view import LiveView
from bindserver.database.snapshot import guarded, vouch
from bindserver.engine.changes import Change, Position
from bindserver.queries import reaching
from bindserver.queries.following import Following
from bindserver.queries.query import Query


@dataclass(frozen=True, slots=True)
class Touched:
    """Which of a view's rows changes may have touched: these keys, or any (`whole`)."""

    pks: frozenset[Hashable] = frozenset()
    whole: bool = False

    def __bool__(self) -> bool:
        return self.whole or bool(self.pks)


WHOLE = Touched(whole=True)


class Invalidation:
    """What one turn knows of changes.

    Args:
        source: says what changed.
        position: that of the turn's snapshot.
    """

    def __init__(self, source: Source, position: Position) -> None:
        self._source = source
        self._position = position
        self._suspected = source.suspected()
        self._unseen = source.unseen()
        self._changes: dict[Position, list[Change] | None] = {position: self._suspected}
        self._touched: dict[Position, dict[Hashable, Touched]] = {position: {}}

    def since(self, position: Position) -> list[Change] | None:
        """Return what changed since a position, None when that cannot be proved."""
        if position not in self._changes:
            changes = self._source.changes(position)
            self._changes[position] = None if changes is None else [*changes, *self._suspected]
            self._touched[position] = {}
        return self._changes[position]

    def touched(self, live: LiveView, position: Position) -> Touched:
        """Return what changed in a view since a position.

        Raises:
            Overtaken: what was read to tell may be newer than the snapshot.
        """
        changes = self.since(position)
        if changes is None or live.query.carried.any_of(changes):
            return WHOLE
        what = self.touched_in(live.shape, position)
        return WHOLE if what and self.is_unsure_of(live) else what

    def touched_in(self, shape: LiveShape[LiveView], position: Position) -> Touched:
        """Return what changed since a position in views of a shape, but for what each of them
        carries along.

        Raises:
            Overtaken: as for `touched`.
        """
        changes, query = self.since(position), shape.query
        if changes is None:
            return WHOLE
        known = self._touched[position]
        asked = (query.routes, frozenset(shape.whole_tables), shape.ways)
        if asked not in known:
            known[asked] = _touched(shape, changes, self._source.old_columns)
        what = known[asked]
        # Where some changes are not seen, rows that are read again would stand beside older ones.
        # A window is no more than its own rows, however many have changed.
        much = query.window is not None and len(what.pks) > conf.SYNC_ROWS
        unsure = query.whole or much or not self._unseen.isdisjoint(shape.tables)
        return WHOLE if what and unsure else what

    def is_unsure_of(self, live: LiveView) -> bool:
        """Return whether a view reads a table whose changes are not seen."""
        return bool(self._unseen) and not self._unseen.isdisjoint(live.tables)


Told = Callable[[str], Collection[str]]
"""The columns of a table whose old values every change tells."""


def _touched(shape: LiveShape[LiveView], changes: Iterable[Change], told: Told) -> Touched:
    """Return what changes may have touched in views of a shape."""
    found = set[Hashable]()
    for change in changes:
        pks = _reached(shape, change, told(change.table))
        if pks is None:
            return WHOLE
        found |= pks
    return Touched(frozenset(found))


def _reached(
    shape: LiveShape[LiveView], change: Change, told: Collection[str]
) -> set[Hashable] | None:
    """Return the primary keys in the views' model that a change reaches, None for any."""
    query = shape.query
    chains = [chain for table, chain in shape.ways if table == change.table]
    if change.table in shape.whole_tables:
        return None
    if change.table not in query.tables and not chains:
        return set()
    if change.pks is None:
        return None
    found: set[Hashable] | None = set()
    if change.table in query.tables:
        found = _by_query(query, change, told)
    if found is None or not chains:
        return found
    following = Following(query.model, query.alias, conf.SYNC_ROWS)
    with guarded(query.alias):
        besides = following.reached(change, chains, told)
    vouch(query.alias, shape.tables)
    return None if besides is None else found | besides


def _by_query(query: Query, change: Change, told: Collection[str]) -> set[Hashable] | None:
    """Return those that it reaches by the views' own query."""
    assert change.pks is not None
    if change.table == query.model._meta.db_table and query.paths.get(change.table) == ["pk"]:
        return reaching.primary_keys(query, change.pks)
    with guarded(query.alias):
        reached = reaching.reached(query, change, told, conf.SYNC_ROWS)
    vouch(query.alias, query.tables)
    return reached
