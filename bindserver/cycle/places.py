"""Where rows stand that were read again, if only the database can tell."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass

from bindserver.cycle.live_view import LiveView
from bindserver.database.pacing import Pacer
from bindserver.engine.changes import Key
from bindserver.queries import reading
from bindserver.queries.dependencies import Recorder
from bindserver.queries.neighbours import SEARCHED
from bindserver.queries.rows import Rows

WORTH = 20
"""So many listed keys cost about as much as one question for a neighbour."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where rows stand after a step, as `engine.view.View.step` takes it.

    Attributes:
        listed: all keys in order; None where they are not needed.
        after: the row just before each that was read; None where they are not needed.
    """

    listed: Sequence[Key] | None = None
    after: Mapping[Key, Key | None] | None = None


def places(
    live: LiveView, gone: Collection[Hashable], rows: Rows, recorder: Recorder, pacer: Pacer
) -> Places | None:
    """Return where rows stand that were read again: their neighbours where they are few, else all
    keys.

    Args:
        live: the view, before the step.
        gone: the primary keys that were looked for in vain.
        rows: what was found.
        recorder: notes what is read.
        pacer: rests, and stops what takes too long.

    Returns:
        None where the view does not have the rows that the database has.
    """
    before: Mapping[Hashable, Hashable] | None = None if rows.keys else {}
    if 0 < len(rows.keys) < min(SEARCHED + 1, len(live.rows.keys) // WORTH):
        before = reading.pks_before(live.query, rows.keys, recorder, pacer)
    if before is None:
        return _listed(live, gone, rows, recorder, pacer)
    return _neighbours(live, gone, rows, before)


def _neighbours(
    live: LiveView, gone: Collection[Hashable], rows: Rows, before: Mapping[Hashable, Hashable]
) -> Places | None:
    after: dict[Key, Key | None] = {}
    for pk, one in before.items():
        key = None if one is None else rows.keys.get(one, live.rows.keys.get(one))
        if one is not None and key is None:
            return None
        after[rows.keys[pk]] = key
    leaving = [live.rows.keys[pk] for pk in gone if pk in live.rows.keys]
    return Places(after=after) if live.rows.view.fits(after, leaving) else None


def _listed(
    live: LiveView, gone: Collection[Hashable], rows: Rows, recorder: Recorder, pacer: Pacer
) -> Places | None:
    recorder.expect_own()
    ordered = reading.ordered_pks(live.query, pacer)
    known = {pk: key for pk, key in live.rows.keys.items() if pk not in gone} | rows.keys
    if any(pk not in known for pk in ordered) or len(ordered) != len(known):
        return None
    return Places(listed=[known[pk] for pk in ordered])
