"""Clients of the soak: some stay for good and come back after each break, others come and go."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from bindserver.client.replica import Replica
from tests.support.process import get
from tests.support.server import Server

BREAKS = (ConnectionClosed, InvalidHandshake, OSError, TimeoutError, EOFError)
"""How a connection ends, or does not begin, while servers are killed."""

BACK_SECONDS = 0.2
VISIT_SECONDS = 10.0


@dataclass
class Counts:
    """What clients have done.

    Attributes:
        connects: connections that were opened.
        subscribes: subscriptions that were asked for.
        frames: frames that came.
        requests: HTTP requests that were answered.
    """

    connects: int = 0
    subscribes: int = 0
    frames: int = 0
    requests: int = 0


def opened(url: str, headers: dict[str, str] | None = None) -> Any:
    """Return a connection to be opened."""
    return connect(
        url,
        additional_headers=headers,
        compression=None,
        max_size=None,
        ping_interval=None,
        close_timeout=1,
        open_timeout=VISIT_SECONDS,
    )


@dataclass
class Staying:
    """A client that follows one binding for good.

    Attributes:
        server: where it connects.
        event: the binding's.
        counts: what it has done, together with others.
        replica: its copy.
    """

    server: Server
    event: str
    counts: Counts
    replica: Replica = field(default_factory=lambda: Replica("id"))

    async def run(self) -> None:
        """Follow, and come back with the cursor after each break."""
        while True:
            try:
                async with opened(self.server.ws) as socket:
                    self.counts.connects += 1
                    await self._subscribe(socket)
                    async for text in socket:
                        await self._hear(socket, json.loads(text))
            except BREAKS:
                pass
            await asyncio.sleep(BACK_SECONDS * (1 + random.random()))

    async def _subscribe(self, socket: ClientConnection) -> None:
        self.counts.subscribes += 1
        data: dict[str, Any] = {}
        if self.replica.cursor is not None:
            data = {"cursor": self.replica.cursor, "held": self.replica.held}
        await socket.send(json.dumps({"event": self.event, "data": data}))

    async def _hear(self, socket: ClientConnection, message: dict[str, Any]) -> None:
        self.counts.frames += 1
        if message["event"] != self.event:
            return
        action = message["data"].get("action")
        if action in ("error", "disconnect"):  # the database is away
            await asyncio.sleep(BACK_SECONDS)
            await self._subscribe(socket)
        else:
            self.replica.apply(message["data"])


async def visit(
    servers: Sequence[Server], headers: Sequence[dict[str, str]], counts: Counts, rng: random.Random
) -> None:
    """Connect, subscribe to views that few others have, hear a little, and leave somehow."""
    server, caller = rng.choice(servers), rng.choice([None, *headers])
    try:
        async with asyncio.timeout(VISIT_SECONDS), opened(server.ws, caller) as socket:
            counts.connects += 1
            for number in range(rng.randint(1, 5)):
                counts.subscribes += 1
                event, data = _wish(rng)
                await socket.send(json.dumps({"event": event, "data": {**data, "ref": number}}))
            for _ in range(rng.randint(0, 8)):
                await socket.recv()
                counts.frames += 1
            if rng.random() < 0.4:
                socket.transport.abort()
    except BREAKS:
        pass


def _wish(rng: random.Random) -> tuple[str, dict[str, Any]]:
    wishes: Sequence[Callable[[], tuple[str, dict[str, Any]]]] = (
        lambda: ("catalogue", {"params": {"q": str(rng.randint(0, 500))}}),
        lambda: ("part", {"params": {"category": rng.randint(1, 20)}}),
        lambda: ("members", {}),
        lambda: ("products", {}),
        lambda: ("guarded", {}),
        lambda: ("no such event", {}),
    )
    return rng.choice(wishes)()


async def look(
    servers: Sequence[Server], headers: Sequence[dict[str, str]], counts: Counts, rng: random.Random
) -> None:
    """Ask for a snapshot over HTTP."""
    url = rng.choice(servers).http + rng.choice(["products/", "catalogue/?q=1", "members/", ""])
    try:
        await asyncio.to_thread(get, url, **rng.choice([{}, *headers]))
        counts.requests += 1
    except OSError:
        pass
