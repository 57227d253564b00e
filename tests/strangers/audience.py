"""Those who look on: each has a connection, and follows every view that it may see."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import urllib.parse
from collections.abc import Callable, Iterable
from typing import Any

from tests.strangers.names import name_of
from tests.strangers.tally import Rows
from tests.support.process import get
from tests.support.talk import Talk

PATIENCE_SECONDS = float(os.environ.get("STRANGERS_PATIENCE", "60"))
"""How long the right rows are waited for, where others are held."""

REFUSED = (401, 403)
MARKS = name_of("marks", {})


class Onlooker:
    """One visitor: a WebSocket, and the session's cookie for HTTP.

    Args:
        name: whose it is, "" for nobody.
        talk: the open connection.
        views: each view's event and params.
        headers: what tells the server who it is.
    """

    def __init__(
        self,
        name: str,
        talk: Talk,
        views: Iterable[tuple[str, dict[str, Any]]],
        headers: dict[str, str],
    ) -> None:
        self.name = name
        self.talk = talk
        self._views = {name_of(event, params): (event, params) for event, params in views}
        self._headers = headers
        self._ended: set[str] = set()
        self._asked: set[str] = set()
        self._midway = False

    async def hear(self) -> None:
        """Take the next message."""
        message = await self.talk.hear(PATIENCE_SECONDS)
        event, data = message["event"], message["data"]
        if event in ("$begin", "$commit"):
            self._midway = event == "$begin"
        elif event == "$subscribed":
            self._ended.discard(name_of(data["event"], data["params"]))
        elif not event.startswith("$") and data["action"] in ("error", "disconnect"):
            self._ended.add(name_of(event, data.get("params", {})))
            self._asked.discard(name_of(event, data.get("params", {})))

    async def ask(self, names: Iterable[str]) -> None:
        """Subscribe to views that are not followed."""
        for name in names:
            if name not in self._asked:
                self._asked.add(name)
                event, params = self._views[name]
                await self.talk.say(event, **({"params": params} if params else {}))

    async def begin(self) -> None:
        """Follow the mark, and all views."""
        await self.talk.say("$hello", want=["commit", "begin"])
        await self.talk.follow("marks")
        await self.ask(self._views)

    def mark(self) -> int:
        """Return the number of the mark that has come, in a state that is whole."""
        number: int = [*self.talk.following("marks").column("number"), -1][0]  # none comes yet
        return -1 if self._midway else number

    def held(self, name: str) -> Rows | None:
        """Return a view's rows as they are held, None where it is not followed."""
        if name in self._ended:
            return None
        try:
            following = self.talk.following(*self._views[name])
        except KeyError:
            return None
        return following.replica.rows if following.frames else None

    def is_stale(self, name: str) -> bool:
        """Return whether a view's rows are said to be old."""
        return self.held(name) is not None and (
            self.talk.following(*self._views[name]).replica.stale
        )

    async def until(self, done: Callable[[], bool]) -> None:
        """Hear until something is so, or patience has ended; what is compared then tells which."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not done():
                    await self.hear()

    async def settle(self, mark: int, truth: dict[str, Rows | None]) -> int:
        """Hear until all is right, or patience has ended.

        Whoever may see a view since now asks for it, as a page would.

        Returns:
            How many views were not right yet when the mark came.
        """
        if MARKS in self._ended:  # as all that a user follows, when a right is taken away
            self._ended.discard(MARKS)
            await self.talk.say("marks")
        await self.until(lambda: MARKS in self._ended or self.mark() >= mark)
        late = len([name for name in truth if not self._is_right(name, truth)])
        await self.ask([name for name, rows in truth.items() if rows is not None])
        await self.until(lambda: all(self._is_right(name, truth) for name in truth))
        return late

    def _is_right(self, name: str, truth: dict[str, Rows | None]) -> bool:
        return self.held(name) == truth[name] and not self.is_stale(name)

    async def fetch(self, port: int, name: str) -> Rows | None:
        """Return a view's rows over HTTP, None where they are refused."""
        event, params = self._views[name]
        query = urllib.parse.urlencode(params)
        url = f"http://127.0.0.1:{port}/bindings/{urllib.parse.quote(event)}/?{query}"
        status, text = await asyncio.to_thread(get, url, **self._headers)
        if status in REFUSED:
            return None
        rows: Rows = json.loads(text) if status == 200 else [{"status": status, "text": text}]
        return rows
