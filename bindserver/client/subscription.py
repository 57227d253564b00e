"""A subscription as people hold it: rows, and the changes that lead to them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

from bindserver.engine.changes import Key

if TYPE_CHECKING:
    from bindserver.client.feed import Feed

Row = dict[str, Any]

MOST_WAITING = 10_000
"""So many changes wait for who does not take them; past that there is one `sync` in their place."""


class Status(StrEnum):
    """What a subscription's rows are."""

    CONNECTING = "connecting"
    """There are none yet."""
    LIVE = "live"
    """They are what the server says that they are now."""
    STALE = "stale"
    """They may be old: the connection is lost, or the server cannot read them."""
    CLOSED = "closed"
    """They are the last ones."""


@dataclass(frozen=True, slots=True)
class Change:
    """One step of a subscription's rows.

    Attributes:
        action: "sync", "create", "update" or "delete".
        payload: all rows in order for a sync, the row, or for a delete its key as `{key: value}`.
    """

    action: str
    payload: Any


@dataclass(frozen=True, slots=True)
class Problem:
    """Why there are no rows, or no new ones.

    Attributes:
        code: the wire contract's code, or "unreachable".
        detail: a sentence for people.
        passing: whether it is tried again.
    """

    code: str
    detail: str = ""
    passing: bool = True

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}" if self.detail else self.code


class SubscriptionEnded(Exception):
    """The server does not serve a subscription, or no longer, and will not by itself.

    Attributes:
        code: the wire contract's code, such as "forbidden".
        detail: a sentence for people.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.code = problem.code
        self.detail = problem.detail


class Subscription:
    """One subscription. `Client.subscribe` makes it.

        async with client.subscribe("products") as products:
            await products.ready()
            async for change in products:
                ...

    `rows` is always at the newest state; changes come in order, and may be behind it. Whoever takes
    none holds up nobody, and nothing is kept for them without bound.

    Attributes:
        event: the binding's event.
    """

    def __init__(self, feed: Feed, release: Callable[[Subscription], None]) -> None:
        self.event = feed.event
        self._feed = feed
        self._release = release
        self._changes: deque[Change] = deque()
        self._missed = feed.has_rows  # what has come before is told as a sync
        self._is_closed = False
        self._news = asyncio.Event()
        feed.holders.append(self)
        self.tell()

    # The rows.

    @property
    def rows(self) -> list[Row]:
        """The rows in the binding's order; none before the first answer."""
        replica = self._feed.replica
        return [] if replica is None else replica.rows

    def get(self, key: Key) -> Row | None:
        """Return the row with a key, None if there is none."""
        replica = self._feed.replica
        return None if replica is None else replica.get(key)

    @property
    def key(self) -> str | None:
        """The name of the row field that holds the key; None before the first answer."""
        replica = self._feed.replica
        return None if replica is None else replica.key

    @property
    def status(self) -> Status:
        """What the rows are: "connecting", "live", "stale" or "closed"."""
        return Status.CLOSED if self._is_closed else self._feed.status

    @property
    def error(self) -> Problem | None:
        """Why there are no rows, or no new ones; None while all is well."""
        return self._feed.problem

    async def ready(self) -> list[Row]:
        """Return the rows as soon as they are the server's. What may pass is waited out, however
        long it lasts; `asyncio.timeout` is for who will not, and `error` says what is the matter.

        Raises:
            SubscriptionEnded: there will be none.
        """
        while self.status is not Status.LIVE:
            self._demand()
            self._news.clear()
            await self._news.wait()
        return self.rows

    # The changes.

    def __aiter__(self) -> AsyncIterator[Change]:
        return self

    async def __anext__(self) -> Change:
        """Return the next change; it waits for that.

        Raises:
            SubscriptionEnded: there will be none: the server has ended it.
            StopAsyncIteration: it was closed here.
        """
        while True:
            if self._missed and self._feed.has_rows:
                self._missed = False
                return Change("sync", self.rows)
            if self._changes:
                return self._changes.popleft()
            if self._is_closed:
                raise StopAsyncIteration
            self._demand()
            self._news.clear()
            await self._news.wait()

    def put_back(self, change: Change) -> None:
        """Have a change be the next one again: it was taken, but never came to who wants it."""
        if not self._missed:
            self._changes.appendleft(change)
            self.tell()

    def _demand(self) -> None:
        if self._is_closed:
            raise SubscriptionEnded(Problem("closed", "closed by the client", passing=False))
        if self._feed.status is Status.CLOSED:
            assert self._feed.problem is not None
            raise SubscriptionEnded(self._feed.problem)

    # The end.

    def close(self) -> None:
        """Want the rows no more. The last ones stay."""
        if not self._is_closed:
            self._is_closed = True
            self._release(self)
            self.tell()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *problem: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Subscription to {self.event!r}, {self.status}, {len(self.rows)} rows>"

    # What the feed tells.

    def take(self, changes: Sequence[tuple[str, Any]]) -> None:
        """Called when the rows have changed, or have been confirmed."""
        if len(self._changes) + len(changes) > MOST_WAITING:
            self._changes.clear()
            self._missed = True
        elif not self._missed:
            self._changes.extend(Change(action, payload) for action, payload in changes)
        self.tell()

    def tell(self) -> None:
        """Called when something is otherwise than before."""
        self._news.set()

    def join(self, feed: Feed) -> None:
        """Called when another feed has turned out to be the same; it is the one that stays."""
        self._feed = feed
        self._changes.clear()
        self._missed = True
        feed.holders.append(self)
        self.tell()
