"""A view's next state: what was touched is read again; and what a returning client missed."""

from __future__ import annotations

import time
from collections.abc import Collection, Hashable, Iterator, Sequence, Set
from contextlib import contextmanager

from bindserver.conf import conf
from bindserver.cycle.invalidation import Invalidation, Touched
from bindserver.cycle.live_shape import LiveShape
from bindserver.cycle.live_view import LiveView
from bindserver.cycle.places import Places, places
from bindserver.cycle.windows import sight
from bindserver.database.pacing import Pacer
from bindserver.database.snapshot import guarded, vouch
from bindserver.engine import cursor as cursors
from bindserver.engine.changes import Key, Position
from bindserver.engine.ring import Delta
from bindserver.exceptions import TooManyRows
from bindserver.queries import reading
from bindserver.queries.dependencies import Recorder
from bindserver.queries.learning import LearningRecorder
from bindserver.queries.query import Query
from bindserver.queries.rows import OverBudget, Rows, RowsBySlot
from bindserver.queries.slots import Slot
from bindserver.user_code import Untried


def refresh(
    live: LiveView, what: Touched, position: Position, pacer: Pacer, alias: str
) -> Delta | None:
    """Read again what was touched, and move the view to `position`.

    Raises:
        OverBudget: there is so much to read that the loader should do it.
        TooManyRows: the view has outgrown its binding's limit.
        Overtaken: what was read may be newer than the snapshot; the view is as it was.
        Exception: whatever a query or serializer raises.
    """
    with _learning([live], alias) as recorder:
        if what.whole:
            return _load(live, position, pacer, recorder)
        _check_budget(what.pks)
        if live.rows.held is not None:
            found = sight(live.query, what.pks, recorder, pacer)
            return _move_window(live, what.pks, found, position, pacer, recorder)
        try:
            rows = reading.read(live.query, what.pks, recorder, pacer)
        except Untried:
            return _load(live, position, pacer, recorder)
        return _step(live, what.pks, rows, position, pacer, recorder)


def read_together(lives: Sequence[LiveView], what: Touched, pacer: Pacer, alias: str) -> RowsBySlot:
    """Read again, in one query, what was touched in views of one shape.

    Args:
        lives: the views.
        what: what was touched in each of them.
        pacer: rests, and stops what takes too long.
        alias: the database.

    Raises:
        OverBudget: there is so much to read that the loader should do it.
        Exception: whatever a query or serializer raises; each view may be refreshed by itself.
    """
    query, slots = lives[0].query, {live.query.slot for live in lives}
    with _learning(lives, alias) as recorder:
        if what.whole:
            rows_by_slot = reading.load_together(
                query, slots, recorder, pacer, budget=conf.SYNC_ROWS
            )
        else:
            _check_budget(what.pks)
            rows_by_slot = _read_touched(query, what.pks, slots, recorder, pacer)
        vouch(alias, recorder.tables)
    return rows_by_slot


def read_riders(
    shape: LiveShape[LiveView], pks: Set[Hashable], pacer: Pacer, alias: str
) -> RowsBySlot:
    """Read again, in one query, the touched rows of all views that ride with a shape, however many
    these are.

    Raises:
        OverBudget, Exception: as for `read_together`.
    """
    recorder = LearningRecorder()
    with guarded(alias), recorder.watching(alias):
        _check_budget(pks)
        rows_by_slot = _read_touched(shape.reader(), pks, shape.slots(), recorder, pacer)
        vouch(alias, recorder.tables)
    shape.learn(recorder)
    return rows_by_slot


def _read_touched(
    query: Query,
    pks: Set[Hashable],
    slots: Collection[Slot],
    recorder: Recorder,
    pacer: Pacer,
) -> RowsBySlot:
    """Read the rows of some slots with these primary keys; of windows it may be enough to tell
    where they stand."""
    if query.window is not None and reading.looks_first(query):
        return reading.look(query, pks, slots, recorder, pacer)
    return reading.read_together(query, pks, slots, recorder, pacer)


def take(
    live: LiveView, what: Touched, rows: Rows, position: Position, pacer: Pacer, alias: str
) -> Delta | None:
    """Move a view to `position` by its own rows of those that were read together.

    Raises:
        OverBudget, TooManyRows, Exception: as for `refresh`.
    """
    if what.whole:
        return live.load(rows, position)
    if live.rows.held is not None:
        if not live.rows.held.is_touched(what.pks, rows):
            live.position = position
            return None
        with _learning([live], alias) as recorder:
            return _move_window(live, what.pks, rows, position, pacer, recorder)
    mine = live.rows.keys.keys() & what.pks
    if not rows.fresh and not mine:
        live.position = position
        return None
    with _learning([live], alias) as recorder:
        return _step(live, mine, rows, position, pacer, recorder)


@contextmanager
def _learning(lives: Sequence[LiveView], alias: str) -> Iterator[Recorder]:
    """Read for views, and let them learn from which tables."""
    recorder, began = LearningRecorder(), time.monotonic()
    for live in lives:
        live.reading_since = began
    with guarded(alias), recorder.watching(alias):
        yield recorder
    for shape in {live.shape for live in lives}:
        shape.learn(recorder)


def _check_budget(pks: Set[Hashable]) -> None:
    if len(pks) > conf.SYNC_ROWS:
        raise OverBudget


def _load(live: LiveView, position: Position, pacer: Pacer, recorder: Recorder) -> Delta | None:
    rows = reading.load_held(live.query, recorder, pacer, budget=conf.SYNC_ROWS)
    vouch(live.query.alias, recorder.tables)
    return live.load(rows, position)


def _step(
    live: LiveView,
    pks: Set[Hashable],
    rows: Rows,
    position: Position,
    pacer: Pacer,
    recorder: Recorder,
) -> Delta | None:
    """Take the rows that were looked for by `pks`."""
    gone = pks - rows.keys.keys()
    gone_keys = [live.rows.keys[pk] for pk in gone if pk in live.rows.keys]
    order = Places()
    if live.rows.view.needs_listing(rows.fresh, gone_keys):
        found = places(live, gone, rows, recorder, pacer)
        if found is None:
            # A row came or went without a word, as by the passing of time: read all.
            return _load(live, position, pacer, recorder)
        order = found
    vouch(live.query.alias, recorder.tables)
    delta = live.step(rows, gone, position, listed=order.listed, after=order.after)
    if len(live.rows.view) > live.query.max_rows:
        raise TooManyRows(live.query.max_rows)
    return delta


def _move_window(
    live: LiveView,
    pks: Set[Hashable],
    rows: Rows | None,
    position: Position,
    pacer: Pacer,
    recorder: Recorder,
) -> Delta | None:
    """Take rows that were looked for by `pks` into a view with a limit; None if they cannot be."""
    shown: Rows | None = None
    if live.rows.held is not None and rows is not None:
        shown = live.rows.held.advance(live.query, pks, rows, recorder, pacer)
    if shown is None:
        return _load(live, position, pacer, recorder)
    vouch(live.query.alias, recorder.tables)
    if len(shown.fresh) > live.query.max_rows:
        raise TooManyRows(live.query.max_rows)
    return live.show(shown, position)


def missed(
    live: LiveView,
    cursor: cursors.Cursor | None,
    held: Sequence[Key] | None,
    invalidation: Invalidation,
) -> Delta | None:
    """Return what brings a client from its cursor to the present, None where only `sync` can.

    Args:
        live: the view, at its present position.
        cursor: the client's, already known to be of this view.
        held: the keys of the rows that it has; None for a stream of events.
        invalidation: what changed since.
    """
    if cursor is None:
        return None
    remembered = cursor.incarnation == live.rows.incarnation
    if held is None:
        return live.rows.view.since(cursor.version) if remembered else None
    changed = live.rows.view.touched_since(cursor.version) if remembered else None
    if changed is None:
        if invalidation.since(cursor.position) is None:
            return None
        what = invalidation.touched(live, cursor.position)
        if what.whole or invalidation.is_unsure_of(live) or live.query.drifts:
            changed = set(live.rows.view.rows)
        else:
            changed = {live.rows.keys[pk] for pk in what.pks if pk in live.rows.keys}
    return live.rows.view.resume(held=held, changed=changed)
