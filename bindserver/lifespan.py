"""The ASGI lifespan: our own start and end, and those of the application inside, if it has them.

A server calls us once for its whole life. An application that knows no lifespan raises, which the
ASGI specification allows; then we answer for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class Lifespan:
    """Answers a server's lifespan messages.

    Args:
        inner: the application inside; None when it takes no lifespan.
        start: begins what serves before anybody has asked; called on the server's event loop.
        stop: ends what we have started; it may block.
        check: tells what is so wrong that no server should start; it may block.
    """

    def __init__(
        self,
        inner: Callable[[Any, Receive, Send], Awaitable[None]] | None,
        start: Callable[[], None],
        stop: Callable[[], None],
        check: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._inner = inner
        self._check = check
        self._start = start
        self._stop = stop
        self._started = False
        self._begun = False

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Live as long as the server does."""
        problems = await asyncio.get_running_loop().run_in_executor(None, self._check)
        if problems:
            await receive()
            await send({"type": "lifespan.startup.failed", "message": "\n".join(problems)})
            return
        self._start()
        if self._inner is not None and await self._live_with(self._inner, scope, receive, send):
            return
        if not self._begun:
            await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._end()
        await send({"type": "lifespan.shutdown.complete"})

    async def _live_with(self, inner: Any, scope: Any, receive: Receive, send: Send) -> bool:
        """Hand the messages on; False when the application turns out to take none."""

        async def receiving() -> Any:
            message = await receive()
            self._begun = True
            if message["type"] == "lifespan.shutdown":
                await self._end()
            return message

        async def sending(message: Any) -> None:
            self._started = True
            await send(message)

        try:
            await inner(scope, receiving, sending)
        except Exception:
            if self._started:
                raise
            return False
        return self._started

    async def _end(self) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self._stop)
