"""How many bytes a view takes in memory: its texts by count, all else by what was measured."""

from __future__ import annotations

from bindserver.cycle.live_view import LiveView

VIEW_BYTES = 2_700
"""What a view takes without any row: its query, binding, viewer, and places in indexes."""

ROW_BYTES = 320
"""What a row takes beside its text: its keys, its place and sort values."""

INSTANCE_BYTES = 600
"""What a model instance takes beside its values."""

VALUE_BYTES = 80
"""About what one value of an instance takes."""


def weight_of(live: LiveView) -> int:
    """Return about how many bytes a view takes. A text that views share counts in each of them."""
    rows = live.rows
    weight = VIEW_BYTES + rows.view.bytes + ROW_BYTES * len(rows.view) + rows.frames_bytes
    if rows.instances:
        fields = len(live.query.model._meta.concrete_fields)
        weight += len(rows.instances) * (INSTANCE_BYTES + VALUE_BYTES * fields)
    return weight
