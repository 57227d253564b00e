"""An end for asynchronous tests that wait for what never comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

SECONDS = 120.0


@asynccontextmanager
async def nobody_waits_without_end(seconds: float = SECONDS) -> AsyncIterator[None]:
    """Cancel all that the loop is at when the time is over. A fixture runs in another task than its
    test, so that a time limit in it would be the fixture's own."""
    loop = asyncio.get_running_loop()

    def end() -> None:
        for task in asyncio.all_tasks(loop):
            task.cancel("a test waits without end")

    ending = loop.call_later(seconds, end)
    try:
        yield
    finally:
        ending.cancel()
