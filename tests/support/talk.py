"""A WebSocket client for tests: it says what it is told, and follows its subscriptions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from bindserver.client.replica import Replica

compression: str | None = None
"""What clients offer who say nothing of it: "deflate" for what browsers do."""

PATIENCE_SECONDS = 60.0
"""How long a test waits for what is on its way, on a machine that is busy with other things."""

Data = dict[str, Any]
Message = dict[str, Any]


class Following:
    """One subscription as its client has it.

    Attributes:
        accepted: the data of `$subscribed`.
        replica: the rows.
        frames: the data of every shared frame, in order.
    """

    def __init__(self, accepted: Data) -> None:
        self.accepted = accepted
        self.replica = Replica(accepted["key"])
        self.frames: list[Data] = []

    @property
    def cursor(self) -> str:
        assert self.replica.cursor is not None
        return self.replica.cursor

    @property
    def actions(self) -> list[str]:
        """The action of each frame, pages apart."""
        return [f["action"] for f in self.frames if f.get("page", 1) == f.get("pages", 1)]

    def take(self, data: Data) -> None:
        self.frames.append(data)
        self.replica.apply(data)

    def column(self, name: str) -> list[Any]:
        """Return one field of all rows, in order."""
        return [row[name] for row in self.replica.rows]


class Talk:
    """One connection. All that arrives goes to `heard`, shared frames to their `Following` too."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.heard: list[Message] = []
        self._followings: dict[str, Following] = {}

    async def say(self, event: str, **data: Any) -> None:
        """Send a message."""
        await self.socket.send(json.dumps({"event": event, "data": data}))

    async def say_text(self, text: str) -> None:
        """Send any text."""
        await self.socket.send(text)

    async def hear(self, seconds: float = PATIENCE_SECONDS) -> Message:
        """Return the next message."""
        async with asyncio.timeout(seconds):
            text = await self.socket.recv()
        assert isinstance(text, str)
        message: Message = json.loads(text)
        self.heard.append(message)
        event, data = message["event"], message["data"]
        if event == "$subscribed":
            name = _name(data["event"], data["params"])
            self._followings[name] = Following(data)
        elif not event.startswith("$") and data["action"] not in ("error", "disconnect"):
            self._followings[_name(event, data.get("params", {}))].take(data)
        return message

    async def hear_data(self, event: str, seconds: float = PATIENCE_SECONDS) -> Data:
        """Return the data of the next message, which must be of this event."""
        message = await self.hear(seconds)
        assert message["event"] == event, message
        data: Data = message["data"]
        return data

    async def shows(self, following: Following, column: str, values: list[Any]) -> None:
        """Hear messages until a subscription has these values in a column."""
        await self.until(lambda: following.column(column) == values)

    async def until(self, done: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> None:
        """Hear messages until `done()`."""
        async with asyncio.timeout(seconds):
            while not done():
                await self.hear(seconds)

    async def follow(self, event: str, **data: Any) -> Following:
        """Subscribe, and return when the first answer is here."""
        await self.say(event, **data)
        message = await self.hear()
        while message["event"] != "$subscribed":
            assert message["data"].get("action") != "error", message
            message = await self.hear()
        following = self.following(event, message["data"]["params"])
        await self.until(lambda: following.actions)
        return following

    def following(self, event: str, params: Mapping[str, Any] | None = None) -> Following:
        """Return a subscription that was accepted, by its canonical params."""
        return self._followings[_name(event, params or {})]

    async def ping(self, seconds: float = PATIENCE_SECONDS) -> None:
        """Say $ping, and hear until the answer: whatever was said before has been dealt with."""
        mark = f"ping {len(self.heard)}"
        await self.socket.send(json.dumps({"event": "$ping", "data": mark}))
        await self.until(
            lambda: bool(self.heard) and self.heard[-1] == {"event": "$pong", "data": mark}, seconds
        )

    async def silence(self, seconds: float) -> None:
        """Make sure that nothing arrives for a while."""
        try:
            message = await self.hear(seconds)
        except TimeoutError:
            return
        raise AssertionError(message)

    async def closed(self, seconds: float = PATIENCE_SECONDS) -> int | None:
        """Hear until the server closes the connection, and return the code."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    await self.hear(seconds)
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd is not None else None


@asynccontextmanager
async def talking(
    url: str, headers: Mapping[str, str] | None = None, **kwargs: Any
) -> AsyncIterator[Talk]:
    """Connect to a server's WebSocket for a while.

    No pings: on a machine that is busy with other things a server may well be silent for longer
    than they would allow, and whoever waits for something of it has a limit already.
    """
    options: dict[str, Any] = {
        "ping_interval": None, "open_timeout": PATIENCE_SECONDS, "compression": compression,
        **kwargs,
    }  # fmt: skip
    async with connect(url, additional_headers=headers, max_size=None, **options) as socket:
        yield Talk(socket)


def _name(event: str, params: Mapping[str, Any]) -> str:
    return json.dumps([event, params], sort_keys=True)
