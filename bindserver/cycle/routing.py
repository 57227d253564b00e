"""From what changed to the views that a turn looks at, by indexes: all others cost it nothing.

A view that is settled *rides*: it is where its shape is, and the shape is where the last turn was,
unless a table that it reads has changed since. So a turn that looks at no view moves them all.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Hashable, Iterator
from weakref import WeakKeyDictionary

from bindserver.bindings.registry import BindingClass
from bindserver.capture.read_columns import ReadColumns
from bindserver.cycle.costs import Cost
from bindserver.cycle.dependents import Dependents
from bindserver.cycle.live_shape import LiveShape, Present, shape_key
from bindserver.cycle.live_view import LiveView, ViewState
from bindserver.engine.changes import Change, Position
from bindserver.queries.query import Query
from bindserver.queries.reads import NO_READS


class Routing:
    """Which views ride, and which are to be looked at one by one.

    Args:
        columns: takes note of which columns of tables views read.

    Attributes:
        present: where all shapes are that nothing holds back.
        held: the shapes that read a table which has changed, until they are moved.
        unsettled: the views that the next turn is to look at: they do not ride, or somebody waits
            for an answer. Some are wanted by nobody any more.
        loading: those whose first rows the loader reads, for newcomers alone, by what they are
            called; and since when. A turn has nothing to do for them, however many they are.
        idle: those that nobody waits for, in the order in which they came to be so.
    """

    def __init__(self, columns: ReadColumns | None = None) -> None:
        self.present = Present()
        self._columns = columns or ReadColumns()
        self.held: dict[LiveShape[LiveView], None] = {}
        self.unsettled: dict[LiveView, None] = {}
        self.loading: dict[str, dict[LiveView, float]] = {}
        self.idle: dict[LiveView, None] = {}
        self._shapes: dict[Hashable, LiveShape[LiveView]] = {}
        self._by_table: dict[str, dict[LiveShape[LiveView], None]] = {}
        self._tables: dict[LiveShape[LiveView], set[str]] = {}
        self._carrying: Dependents[LiveView] = Dependents()
        self._costs: WeakKeyDictionary[BindingClass, Cost] = WeakKeyDictionary()
        self._riders = 0

    # Views come and go.

    def shape_of(self, query: Query) -> LiveShape[LiveView]:
        """Return the shape of a query."""
        key = shape_key(query)
        shape = self._shapes.get(key)
        if shape is None:
            shape = self._shapes[key] = LiveShape(query, self.present, self._reads_besides)
            self._columns.add(shape.tables, query.columns_read())
            self._reads(shape, shape.tables)
        return shape

    def _reads_besides(self, shape: LiveShape[LiveView], tables: Collection[str]) -> None:
        self._columns.add(tables)
        self._reads(shape, tables)

    def _reads(self, shape: LiveShape[LiveView], tables: Collection[str]) -> None:
        self._tables.setdefault(shape, set()).update(tables)
        for table in tables:
            self._by_table.setdefault(table, {})[shape] = None

    def add(self, live: LiveView) -> None:
        """Take a view of a shape of ours."""
        live.shape.members += 1
        if live.shape.family is None:
            self._expect_cost(live)
        live.shape.family = live.binding
        self.look_at(live)

    def _expect_cost(self, live: LiveView) -> None:
        """Have a new shape cost what the last one of its binding did: else each first read of a
        dear binding, one for each text that is searched for, would hold up all others."""
        cost = live.shape.cost
        if (known := self._costs.get(live.binding)) is not None:
            cost.expect(known)
        self._costs[live.binding] = cost

    def drop(self, live: LiveView) -> None:
        """Forget a view."""
        self._dismount(live)
        self.unsettled.pop(live, None)
        self._stop_loading(live)
        self.idle.pop(live, None)
        self._leave(live.shape)

    def adopt(self, live: LiveView, query: Query) -> None:
        """Have a view take a query that was asked for anew."""
        before = live.shape
        self._dismount(live)
        live.adopt(query)
        live.shape = self.shape_of(query)
        self.add(live)
        self._leave(before)

    def _leave(self, shape: LiveShape[LiveView]) -> None:
        shape.members -= 1
        if shape.members:
            return
        del self._shapes[shape.key]
        for table in self._tables.pop(shape):
            shapes = self._by_table[table]
            del shapes[shape]
            if not shapes:
                del self._by_table[table]

    # Views ride, or do not.

    def look_at(self, live: LiveView) -> None:
        """Have the next turn look at a view, or the one that has its first rows."""
        if live.is_with_loader and not live.query.carried.tables:  # which are watched meanwhile
            self.loading.setdefault(live.name, {}).setdefault(live, time.monotonic())
            self.unsettled.pop(live, None)
        else:
            self._stop_loading(live)
            self.unsettled[live] = None
        self.idle.pop(live, None)
        if live.state is not ViewState.READY or live.stale:
            self._dismount(live)

    def _stop_loading(self, live: LiveView) -> None:
        alike = self.loading.get(live.name)
        if alike is not None and alike.pop(live, None) is not None and not alike:
            del self.loading[live.name]

    def dismount(self, live: LiveView) -> None:
        """Have a view moved by itself."""
        self._dismount(live)
        self.look_at(live)

    def stay(self, live: LiveView) -> None:
        """Have a view moved by the next turn, and by none of this one's."""
        held_at = live.shape.held_at
        if self._dismount(live) and held_at is None:
            live.position = self.present.before
        self.look_at(live)

    def settle(self, live: LiveView) -> None:
        """Have a view ride that a turn has looked at, if it may, or rest if nobody wants it."""
        if not live.wanted:
            self._dismount(live)
            live.behind_since = None
            self.unsettled.pop(live, None)
            self.idle[live] = None
        elif live.is_at(live.shape.position):
            if not live.shape.is_riding(live):
                self._mount(live)
            if live.is_settled and not live.stale:
                self.unsettled.pop(live, None)

    def _mount(self, live: LiveView) -> None:
        live.shape.mount(live)
        live.shape.moved_at = live.moved_at
        live.ride()
        self._riders += 1
        self._carrying.put(live, NO_READS, [live.query.carried])

    def _dismount(self, live: LiveView) -> bool:
        """Have a view ride no more; return whether it did."""
        shape = live.shape
        if not shape.is_riding(live):
            return False
        live.hold()
        shape.dismount(live)
        self._carrying.drop(live)
        self._riders -= 1
        if not len(shape):
            self.release(shape)
        return True

    # Turns.

    def begin(self, position: Position, changes: list[Change] | None) -> None:
        """Have everything move to a snapshot that no change may have touched.

        Args:
            position: the snapshot's.
            changes: what changed up to it since the present; None if that cannot be proved.
        """
        for live in self._carrying.concerned(changes):
            self.dismount(live)
        for shape in list(self._reading(changes)):
            if len(shape) and shape.held_at is None:
                shape.held_at = self.present.position
                self.held[shape] = None
        self.present.before, self.present.position = self.present.position, position

    def _reading(self, changes: list[Change] | None) -> Iterator[LiveShape[LiveView]]:
        if changes is None:
            yield from self._shapes.values()
            return
        for change in changes:
            yield from self._by_table.get(change.table, ())

    def release(self, shape: LiveShape[LiveView]) -> None:
        """Have a shape be where everything is that nothing holds back."""
        shape.held_at = None
        self.held.pop(shape, None)

    def dissolve(self, shape: LiveShape[LiveView]) -> None:
        """Have the views that ride with a shape moved one by one."""
        for live in list(shape.riding()):
            self.dismount(live)

    # Of all views.

    def has_riders(self) -> bool:
        """Return whether any view rides."""
        return bool(self._riders)

    def tables(self) -> set[str]:
        """Return every table that a view reads."""
        carried = (live.query.carried.tables for live in self.unsettled)
        return {*self._by_table, *self._carrying.tables()}.union(*carried)

    def reading(self, tables: Collection[str]) -> Iterator[LiveView]:
        """Yield the riding views that read some of these tables, perhaps twice."""
        for table in tables:
            for shape in self._by_table.get(table, ()):
                yield from shape.riding()
        yield from self._carrying.concerned([Change(table=table, pks=None) for table in tables])

    def loaded_first(self) -> Iterator[LiveView]:
        """Yield the views whose first rows the loader reads."""
        for alike in self.loading.values():
            yield from alike

    def held_back(self) -> Iterator[LiveView]:
        """Yield the views that may not be where the present is, those aside whose first rows are
        being loaded: all others are."""
        yield from self.unsettled
        for shape in self.held:
            yield from shape.riding()
