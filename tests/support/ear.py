"""A listener of the hub's in the tests' own process."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable

from bindserver.client.replica import Replica
from bindserver.engine.events import Accepted, Answered, Arrived, Event, Published, Staled


class Ear:
    """A listener on this loop, with a replica of what it hears."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.replica = Replica("id")
        self.actions: list[str] = []
        self.heard = asyncio.Event()

    def hear(self, number: int, event: Event) -> None:
        if isinstance(event, (Answered, Published)):
            for frame in event.frames:
                data = json.loads(frame.text)["data"]
                self.actions.append(data["action"])
                self.replica.apply(data)
        else:
            assert isinstance(event, Accepted | Arrived | Staled)
        self.heard.set()

    def settle(self, state: str) -> None:
        """Nothing to do."""

    def fail(self) -> None:
        raise

    async def until(self, done: Callable[[], object]) -> float:
        """Listen until `done()`; return how long it took, in seconds."""
        began = time.monotonic()
        async with asyncio.timeout(10):
            while not done():
                self.heard.clear()
                await self.heard.wait()
        return time.monotonic() - began
