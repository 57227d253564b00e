"""A client that holds views and comes back by itself; it is looked at when all is at rest."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from websockets.exceptions import WebSocketException

from bindserver.client.replica import Replica
from tests.oracle.shapes import UNORDERED, Rows
from tests.oracle.tally import Tally
from tests.oracle.truth import Name, canonical
from tests.support.client import Client

AGAIN_SECONDS = 0.1
QUIET_CODES = ("unavailable",)


class Watcher:
    """One client of one server.

    Args:
        label: its name in the report.
        url: the server's WebSocket.
        names: the views that it follows.
        tally: takes what was found.
    """

    def __init__(self, label: str, url: str, names: Sequence[Name], tally: Tally) -> None:
        self.label = label
        self._url = url
        self._names = names
        self._tally = tally
        self._replicas: dict[Name, Replica] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Connect, and again whenever the connection is lost."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Go."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def rows(self, name: Name) -> Rows | None:
        """Return what is held of a view, None if nothing is yet."""
        replica = self._replicas.get(name)
        if replica is None or replica.cursor is None:
            return None
        if (listed := UNORDERED.get(name.event)) is not None:
            return [{**row, listed: sorted(row[listed])} for row in replica.rows]
        return replica.rows

    async def _run(self) -> None:
        while True:
            try:
                await self._follow()
            except (OSError, WebSocketException):
                await asyncio.sleep(AGAIN_SECONDS)
            except Exception as problem:
                self._tally.differs(f"{self.label} met {problem!r}")
                raise

    async def _follow(self) -> None:
        client = await Client.open(self._url)
        self._tally.seen["connections"] += 1
        try:
            for name in self._names:
                await self._ask(client, name)
            while True:
                event, data = await client.receive()
                await self._take(client, event, data)
        finally:
            client.abort()

    async def _ask(self, client: Client, name: Name) -> None:
        data: dict[str, Any] = {"params": name.parsed()} if name.parsed() else {}
        replica = self._replicas.get(name)
        if replica is not None and replica.cursor is not None:
            data |= {"cursor": replica.cursor, "held": replica.held}
        await client.send(name.event, data)

    async def _take(self, client: Client, event: str, data: dict[str, Any]) -> None:
        if event == "$subscribed":
            name = Name(data["event"], canonical(data["params"] or {}))
            if name not in self._replicas:
                self._replicas[name] = Replica(data["key"])
            return
        name = Name(event, canonical(data.get("params") or {}))
        action = data["action"]
        self._tally.actions[action] += 1
        if action in ("error", "disconnect"):
            code = data.get("code") or data["payload"]["code"]
            if code not in QUIET_CODES:
                self._tally.differs(f"{self.label} heard {event} {json.dumps(data)}")
            await asyncio.sleep(AGAIN_SECONDS)
            await self._ask(client, name)
            return
        self._replicas[name].apply(data)
