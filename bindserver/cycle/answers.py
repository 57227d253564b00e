"""What is said of a view's rows: frames for subscribers, snapshots for HTTP, instances for Python.

What is made of rows once is kept with the view (`cycle.view_rows.Made`) until these change.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

from django.db.models import Model

from bindserver.bindings.model_rows import ModelRows, digest_of, model_rows
from bindserver.cycle.inbox import Snapshot, SnapshotRequest, SubscriptionRef
from bindserver.cycle.live_view import LiveView
from bindserver.cycle.view_rows import ViewRows
from bindserver.cycle.waiting import Opening
from bindserver.engine import cursor as cursors
from bindserver.engine.changes import Key, Position
from bindserver.engine.frames import Frame
from bindserver.engine.protocol import Subscribe
from bindserver.engine.ring import Delta


def cursor(live: LiveView) -> str:
    """Return the cursor of a view's present state."""
    return cursors.dump(
        cursors.Cursor(
            fingerprint=live.query.fingerprint,
            position=live.position,
            incarnation=live.rows.incarnation,
            version=live.rows.view.version,
        ),
        live.secret,
    )


def cursor_of(live: LiveView, message: Subscribe) -> cursors.Cursor | None:
    """Return the state of a view that a client has, None for one that names none of it."""
    found = cursors.load(message.cursor, live.secret, live.fallbacks)
    known = found is not None and found.fingerprint == live.query.fingerprint
    return found if known else None


def opening_of(live: LiveView, ref: SubscriptionRef, message: Subscribe) -> Opening:
    """Return how a subscription waits for its first answer, from nothing or from its state."""
    return Opening(ref, message, resumes=cursor_of(live, message) is not None)


# Frames.


def delta_frames(live: LiveView, delta: Delta) -> tuple[Frame, ...]:
    """Return a delta's frames; `ok` for an empty one."""
    return live.encoder.delta(delta, cursor(live))


def sync_frames(live: LiveView, page_size: int) -> tuple[Frame, ...]:
    """Return the frames of all rows of a view, made once for each page size and version; the cursor
    is of the present position, since others write, and the log is purged behind them."""
    shared = len(live.audience) + len(live.openings) > 1  # of one alone nobody asks again
    position, frames = live.rows.made.sync.get(page_size, (None, ())) if shared else (None, ())
    if not frames:
        frames = live.encoder.sync(live.rows.view.texts(), cursor(live), page_size)
    elif position != live.position:
        frames = live.encoder.renewed(frames, cursor(live))
    if shared:
        live.rows.made.sync[page_size] = live.position, frames
    return frames


def stale_frame(live: LiveView) -> Frame:
    """Return the frame that says that a view's rows may be old."""
    return live.encoder.stale()


def ok_frame(live: LiveView) -> Frame:
    """Return the frame that says that a view's rows are the present ones."""
    return delta_frames(live, Delta(version=live.rows.view.version, deletes=(), puts=()))[0]


# Rows, once.


def give_rows(
    live: LiveView,
    proves: Callable[[Position, Position], bool],
    *,
    asked_before: float = math.inf,
) -> None:
    """Answer those who wait for a view's rows once, and whom they are new enough for.

    Args:
        live: the view.
        proves: as a source's `proves`.
        asked_before: answers only those who asked before this time.
    """
    for reading in live.take_readings(live.compared, proves, asked_before=asked_before):
        if isinstance(reading.request, SnapshotRequest):
            reading.request.give(_snapshot(live))
        else:
            reading.request.give(_model_rows(live))


def _snapshot(live: LiveView) -> Snapshot:
    """Return a view's rows as HTTP serves them."""
    return Snapshot(
        rows=_listing(live.rows),
        key=live.query.key,
        cursor=cursor(live),
        digest=_digest(live.rows),
        modified=live.rows.modified,
        dicts=live.query.columns is not None,
    )


def _listing(rows: ViewRows) -> Mapping[Key, str]:
    """Return rows by key in order, made once for each version; nobody may change it."""
    version, listing = rows.made.listing
    if version != rows.view.version:
        listing = MappingProxyType({key: rows.view.rows[key] for key in rows.view.keys()})
        rows.made.listing = (rows.view.version, listing)
    return listing


def _model_rows(live: LiveView) -> ModelRows[Model]:
    """Return a view's rows as Python is given them."""
    rows = live.rows
    if rows.made.instances is None:
        instances = rows.instances or {}
        rows.made.instances = {key: instances[key] for key in rows.view.keys()}
    kept, dicts = rows.made.instances, live.query.columns is not None
    return model_rows(live.query.model, kept, _digest(rows), rows.modified, dicts=dicts)


def _digest(rows: ViewRows) -> str:
    """Return a text that is equal for equal rows."""
    if rows.made.digest is None:
        rows.made.digest = digest_of(rows.view.texts())
    return rows.made.digest
