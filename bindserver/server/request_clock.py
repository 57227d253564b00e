"""How long a client may take to send a request: its head in all, its body piece by piece.

A connection costs little, but a server has only so many handles: whoever says nothing, or one byte
a minute, must not keep one. What waits for us instead is nobody's fault but ours: a body that the
application does not read, and what stands behind an answer that is not written yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum

from bindserver.conf import conf
from bindserver.server.deadline import Deadline

LEAST_BYTES = 8 * 1024
"""So much of a body must come in BODY_SECONDS, or its end."""


class RequestPart(Enum):
    """What is to come of a request."""

    NOTHING = "nothing"
    HEAD = "head"
    BODY = "body"


class RequestClock:
    """Looks at the clock while a request comes.

    Args:
        loop: the connection's event loop.
        late: called when a request is late, with the part that did not come.
        waits_for_us: tells whether the client has a right to wait with that.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        late: Callable[[RequestPart], None],
        waits_for_us: Callable[[RequestPart], bool],
    ) -> None:
        self._loop = loop
        self._late = late
        self._waits_for_us = waits_for_us
        self._part = RequestPart.NOTHING
        self._of: object = None
        self._bytes = 0
        self._timer: Deadline | None = None

    def expect(self, part: RequestPart, of: object, size: int = 0) -> None:
        """Take note of what is to come now; what was to come before has come, if that is another.

        Args:
            part: what is to come.
            of: tells one request from the next.
            size: how many bytes have come.
        """
        self._bytes += size
        if (part, of) != (self._part, self._of):
            self.end()
            self._part, self._of = part, of
            self._begin()

    def end(self) -> None:
        """Look no more: another protocol reads, or nobody."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _begin(self) -> None:
        self._bytes = 0
        if self._part is not RequestPart.NOTHING:
            is_head = self._part is RequestPart.HEAD
            seconds = conf.HEAD_SECONDS if is_head else conf.BODY_SECONDS
            self._timer = Deadline(self._loop, seconds, self._look)

    def _look(self) -> None:
        """Say that the request is late, unless enough has come of a body."""
        enough = self._part is RequestPart.BODY and self._bytes >= LEAST_BYTES
        if enough or self._waits_for_us(self._part):
            self._begin()
        else:
            self._late(self._part)
