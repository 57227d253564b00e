"""The rows that a view holds, and what was made of them."""

from __future__ import annotations

import time
from collections.abc import Collection, Hashable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import count

from django.db.models import Model

from bindserver.conf import conf
from bindserver.cycle.figures import EventFigures
from bindserver.cycle.incarnations import incarnations
from bindserver.cycle.windows import Held
from bindserver.engine.changes import Key, Position
from bindserver.engine.frames import Frame
from bindserver.engine.ring import Delta
from bindserver.engine.view import View
from bindserver.queries.query import Query
from bindserver.queries.rows import Form, Rows

VERSION_BITS = 40
"""A view may come to so many versions before they reach those of the next one."""
_numbers = count()


@dataclass(slots=True)
class Made:
    """What was made of a view's rows, to be said again while these are the same.

    Attributes:
        sync: the frames of all rows, by page size, and the position that their cursor names.
        digest: a text that is equal for equal rows.
        listing: the rows by key in order, and the version that they are of.
        instances: the same, as Python is given them.
    """

    sync: dict[int, tuple[Position, tuple[Frame, ...]]] = field(default_factory=dict)
    digest: str | None = None
    listing: tuple[int | None, Mapping[Key, str]] = (None, {})
    instances: Mapping[Key, Model] | None = None


def is_sorted(query: Query) -> bool:
    """Return whether a view's rows bring their places along. A window has places of its own."""
    return query.sortable and query.window is None


def held_for(query: Query) -> Held | None:
    """Return what holds the rows of a query with a limit beside those that are shown."""
    return None if query.window is None else Held(query.window)


class ViewRows:
    """The rows of one view, shown or not.

    Args:
        query: what they are read by.
        figures: those of the view's event.

    Attributes:
        figures: the same.
        view: those that are shown, in order, and the ring of their deltas.
        keys: the keys of all that were read, by primary key; another object after they were read
            whole.
        instances: the same rows as Python is given them, where it is.
        held: where the query has a limit, the rows that it has beside those that are shown.
        modified: when they last came to be others, in seconds since 1970.
    """

    __slots__ = (
        "_bytes_counted",
        "_made",
        "_rows_counted",
        "figures",
        "held",
        "instances",
        "keys",
        "modified",
        "view",
    )

    def __init__(self, query: Query, figures: EventFigures) -> None:
        self.figures = figures
        self._rows_counted = self._bytes_counted = 0
        self.modified = time.time()
        self.forget(query)

    def forget(self, query: Query) -> None:
        """Forget the rows and the ring, as if a query had never been read."""
        self.view = View(
            sortable=is_sorted(query),
            ring_bytes=conf.RING_BYTES if query.form is Form.JSON else 0,
            first_version=next(_numbers) << VERSION_BITS,
        )
        self._count(len(self.view), self.view.bytes)
        self.held = held_for(query)
        self.keys: dict[Hashable, Key] = {}
        self.instances: dict[Key, Model] | None = None
        self._made: Made | None = None

    def adopt(self, query: Query) -> None:
        """Stay as they are until they are read by another query; nobody is sent them meanwhile."""
        self.held = held_for(query)
        self._made = None

    def drop(self) -> None:
        """Be counted no more."""
        self._count(0, 0)

    @property
    def incarnation(self) -> str:
        """The name of this view's life, from one time that its rows are forgotten to the next."""
        return incarnations.named(self.view.version >> VERSION_BITS)

    @property
    def tracked(self) -> Collection[Hashable]:
        """The primary keys of all, shown or not; another object after they were read whole."""
        return self.keys if self.held is None else self.held.window.known

    @property
    def frames_bytes(self) -> int:
        """About how many bytes the frames take that are kept of them."""
        if self._made is None:
            return 0
        return sum(frame.weight for _, frames in self._made.sync.values() for frame in frames)

    @property
    def made(self) -> Made:
        """What was made of them, and is good until they change."""
        if self._made is None:
            self._made = Made()
        return self._made

    def load(self, rows: Rows) -> Delta | None:
        """Take all rows that are shown, in order; others may be given the same."""
        delta = self.view.load(rows.fresh)
        self.keys = dict(rows.keys)
        self.instances = dict(rows.instances) if rows.instances else None
        self._changed(delta)
        return delta

    def step(
        self,
        rows: Rows,
        gone: Set[Hashable],
        *,
        listed: Sequence[Key] | None = None,
        after: Mapping[Key, Key | None] | None = None,
    ) -> Delta | None:
        """Take rows that were read again, and those that were looked for in vain.

        Args:
            rows: what was found.
            gone: the primary keys of those that were not.
            listed: as for `engine.view.View.step`.
            after: the same.
        """
        gone_keys = {self.keys[pk] for pk in gone if pk in self.keys}
        for pk, key in rows.keys.items():
            if self.keys.get(pk, key) != key:
                gone_keys.add(self.keys[pk])
        delta = self.view.step(fresh=rows.fresh, gone=gone_keys, listed=listed, after=after)
        for pk in gone:
            self.keys.pop(pk, None)
        self.keys.update(rows.keys)
        self._step_instances(rows, gone_keys)
        self._changed(delta)
        return delta

    def _step_instances(self, rows: Rows, gone_keys: Set[Key]) -> None:
        if self.instances is None:  # as of rows that are read as JSON
            self.instances = dict(rows.instances) if rows.instances else None
            return
        for key in gone_keys:
            self.instances.pop(key, None)
        self.instances.update(rows.instances)

    def _changed(self, delta: Delta | None) -> None:
        if delta is not None:
            self._count(len(self.view), self.view.bytes)
            self.modified = time.time()
            self._made = None

    def _count(self, rows: int, size: int) -> None:
        """Have the event's figures tell what there is now."""
        self.figures.rows += rows - self._rows_counted
        self.figures.bytes += size - self._bytes_counted
        self._rows_counted, self._bytes_counted = rows, size
