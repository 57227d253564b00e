"""A subscriber of a hub of its own, in the tests' process."""

from __future__ import annotations

import asyncio
from typing import Any

from bindserver.capture.sources import LogSource
from bindserver.cycle.inbox import Caller, SessionRequest
from bindserver.engine.effects import Ask
from bindserver.engine.protocol import Subscribe
from bindserver.hub.hub import Hub
from tests.support.ear import Ear
from tests.support.program import Program


class Follower:
    """A subscriber of a hub of its own, in this process."""

    def __init__(self, program: Program) -> None:
        self.hub, self.ear = Hub(), Ear()
        self._program = program
        self._stock = 0

    async def subscribe(self) -> None:
        """Follow the products."""
        request = Subscribe(event="by_stock", params={})
        self.hub.request(SessionRequest(self.ear, Caller(), Ask(number=1, message=request)))
        await self.ear.until(lambda: self.ear.actions)

    async def sees_writes(self) -> None:
        """Have another program write, and see it."""
        self._stock += 1
        await asyncio.to_thread(self._program.run, f"UPDATE app_product SET stock = {self._stock}")
        await self.ear.until(lambda: [row["stock"] for row in self.rows] == [self._stock])

    @property
    def rows(self) -> list[dict[str, Any]]:
        return self.ear.replica.rows

    @property
    def source(self) -> LogSource:
        found = self.hub._cycles["default"]._link.source
        assert isinstance(found, LogSource)
        return found

    async def until_it_rests(self, seconds: float) -> None:
        """Wait until it looks only so often."""
        await self.until(lambda: self.source.pause(quiet=False) == seconds)

    @staticmethod
    async def until(done: Any) -> None:
        async with asyncio.timeout(20):
            while not done():
                await asyncio.sleep(0.01)
