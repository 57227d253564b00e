"""When a client's time is over: not before what it has sent meanwhile has been read.

A process that stood still, on a machine that was paused or has no time for it, finds deadlines that
have passed and input that has come. uvloop calls timers first, so that whoever had sent all in time
was cut off unheard.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

READ_SECONDS = 0.01
"""For so long input is read, and what waits is written, once the time is over."""


class Deadline:
    """Calls a function once some time is over, unless it is cancelled.

    Args:
        loop: the event loop.
        seconds: how long the time is.
        then: what to call.
        args: what to call it with.
    """

    __slots__ = ("_args", "_handle", "_loop", "_then")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        seconds: float,
        then: Callable[..., None],
        *args: Any,
    ) -> None:
        self._loop = loop
        self._then = then
        self._args = args
        self._handle = loop.call_later(seconds, self._over)

    def cancel(self) -> None:
        """Call nothing any more."""
        self._handle.cancel()

    def _over(self) -> None:
        self._handle = self._loop.call_later(READ_SECONDS, self._then, *self._args)
