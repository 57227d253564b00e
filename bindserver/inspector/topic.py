"""The rows of one of the inspector's tables, as those see them who have asked for them alike."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from bindserver.cycle.inbox import Caller, SubscriptionRef
from bindserver.engine.frames import DEFAULT_PAGE_SIZE, Frame, FrameEncoder
from bindserver.engine.view import Fresh, View
from bindserver.inspector.asked import EVENT, KEY, Inquiry

Row = Mapping[str, Any]

NO_CURSOR = "none"
"""Names no state: whoever comes back is sent all rows, which are few."""

RING_BYTES = 1
"""Nothing is kept of what was sent: whoever lags is sent all rows too."""


class Topic:
    """What some subscribers are told.

    Args:
        asked: what they have asked for.

    Attributes:
        refs: the subscriptions, and who has each.
    """

    def __init__(self, asked: Inquiry) -> None:
        self.asked = asked
        self.refs: dict[SubscriptionRef, Caller] = {}
        self._view = View(sortable=False, ring_bytes=RING_BYTES)
        self._encoder = FrameEncoder(event=EVENT, params=asked.text, key=KEY)

    @property
    def version(self) -> int:
        """Rises with each change."""
        return self._view.version

    def take(self, rows: Iterable[Row]) -> tuple[Frame, ...]:
        """Take the rows there are now, in order; return the frames that say what has changed."""
        fresh = {row[KEY]: Fresh(json.dumps(row, separators=(",", ":")), None) for row in rows}
        delta = self._view.load(fresh)
        return () if delta is None else self._encoder.delta(delta, NO_CURSOR)

    def all(self) -> tuple[Frame, ...]:
        """Return the frames that say all rows."""
        return self._encoder.sync(self._view.texts(), NO_CURSOR, DEFAULT_PAGE_SIZE)
