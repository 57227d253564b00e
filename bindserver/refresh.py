"""From changes to a view's next state: what to read again, reading it, and what a client missed."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from bindserver.conf import conf
from bindserver.dependencies import Recorder
from bindserver.engine import cursor as cursors
from bindserver.engine.changes import Change, Key, Position
from bindserver.engine.ring import Delta
from bindserver.exceptions import TooManyRows
from bindserver.live import LiveView
from bindserver.pace import Pacer
from bindserver.queries import OverBudget, Query
from bindserver.snapshot import guarded, vouch


@dataclass(slots=True)
class Touched:
    """Which of a view's rows changes may have touched: these keys, or any (`whole`)."""

    pks: set[Hashable] = field(default_factory=set)
    whole: bool = False

    def __bool__(self) -> bool:
        return self.whole or bool(self.pks)


def touched(live: LiveView, changes: Sequence[Change] | None) -> Touched:
    """Return what changes may have touched in a view; None stands for unknown changes."""
    if changes is None:
        return Touched(whole=True)
    found = Touched()
    for change in changes:
        if change.table not in live.tables or found.whole:
            continue
        pks = None if change.table in live.whole_tables else _reached(live.query, change)
        if pks is None:
            found.whole = True
        else:
            found.pks |= pks
    if found.pks and live.query.whole:
        found.whole = True
    return found


def _reached(query: Query, change: Change) -> set[Hashable] | None:
    """Return the primary keys in the query's model that a change reaches, None for any."""
    if change.pks is None:
        return None
    if change.table == query.model._meta.db_table:
        if query.paths.get(change.table) != ["pk"]:
            return None
        return query.primary_keys(change.pks)
    with guarded(query.alias):
        reached = query.reached(change.table, change.pks, conf.SYNC_ROWS)
    vouch(query.alias, query.tables)
    return reached


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
    if not what:
        live.position = position
        return None
    recorder = Recorder()
    with guarded(alias), recorder.watching(alias):
        if what.whole:
            delta = _load(live, position, pacer, recorder)
        else:
            delta = _step(live, what.pks, position, pacer, recorder)
    live.learn(recorder)
    if len(live.view) > live.query.max_rows:
        raise TooManyRows(live.query.max_rows)
    return delta


def _load(live: LiveView, position: Position, pacer: Pacer, recorder: Recorder) -> Delta | None:
    rows = live.query.load(recorder, pacer, budget=conf.SYNC_ROWS)
    vouch(live.query.alias, recorder.tables)
    return live.load(rows, position)


def _step(
    live: LiveView, pks: set[Hashable], position: Position, pacer: Pacer, recorder: Recorder
) -> Delta | None:
    if len(pks) > conf.SYNC_ROWS:
        raise OverBudget
    rows = live.query.read(pks, recorder, pacer)
    gone = pks - rows.keys.keys()
    gone_keys = [live.keys[pk] for pk in gone if pk in live.keys]
    listed: list[Key] | None = None
    if live.view.needs_listing(rows.fresh, gone_keys):
        recorder.expect_own()
        ordered = live.query.ordered_pks(pacer)
        known = {**live.keys, **rows.keys}
        if any(pk not in known for pk in ordered) or len(ordered) != len(known) - len(gone_keys):
            # A row came or went without a word, as by the passing of time: read all.
            return _load(live, position, pacer, recorder)
        listed = [known[pk] for pk in ordered]
    vouch(live.query.alias, recorder.tables)
    return live.step(rows, gone, listed, position)


def missed(
    live: LiveView,
    cursor: cursors.Cursor | None,
    held: Sequence[Key] | None,
    changes: Sequence[Change] | None,
) -> Delta | None:
    """Return what brings a client from its cursor to the present, None where only `sync` can.

    Args:
        live: the view, at its present position.
        cursor: the client's, already known to be of this view.
        held: the keys of the rows that it has; None for a stream of events.
        changes: what changed since the cursor's position, None when that cannot be proved.
    """
    if cursor is None:
        return None
    remembered = cursor.incarnation == live.incarnation
    if held is None:
        return live.view.since(cursor.version) if remembered else None
    changed = live.view.touched_since(cursor.version) if remembered else None
    if changed is None:
        if changes is None:
            return None
        what = touched(live, changes)
        if what.whole:
            changed = set(live.view.rows)
        else:
            changed = {live.keys[pk] for pk in what.pks if pk in live.keys}
    return live.view.resume(held=held, changed=changed)
