"""Pings for very many connections, with one timer for all of them: one each costs 900 bytes."""

from __future__ import annotations

import asyncio
import secrets
from typing import Protocol

from bindserver.server.deadline import Deadline

TICK_SECONDS = 0.5
"""Pings that are due within so long are sent together."""


class Beating(Protocol):
    """A connection that is asked now and then whether it is still there."""

    def ping(self, data: bytes) -> None:
        """Ask."""

    def give_up(self) -> None:
        """Called when it has not answered in time."""


class KeepAlive:
    """Asks each connection every so often, all on one event loop's thread.

    All wait equally long, so each of both dicts is in the order of what is due first.

    Args:
        loop: the event loop.
        interval: so many seconds after an answer a connection is asked again.
        timeout: how many seconds it may take to answer; None for any number.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, interval: float, timeout: float | None
    ) -> None:
        self._loop = loop
        self._interval = interval
        self._timeout = timeout
        self._resting: dict[Beating, float] = {}
        self._asked: dict[Beating, tuple[float, bytes]] = {}
        self._timer: Deadline | None = None

    def join(self, one: Beating) -> None:
        """Ask a connection from now on."""
        self._resting[one] = self._loop.time() + self._interval
        self._wait()

    def leave(self, one: Beating) -> None:
        """Ask it no more."""
        self._resting.pop(one, None)
        self._asked.pop(one, None)

    def hear(self, one: Beating, data: bytes) -> None:
        """Take an answer; one to no question of ours is none."""
        asked = self._asked.get(one)
        if asked is not None and asked[1] == data:
            del self._asked[one]
            self.join(one)

    def _wait(self) -> None:
        if self._timer is None and (self._resting or self._asked):
            due = [next(iter(self._resting.values()), None)]
            due.append(next(iter(self._asked.values()), (None,))[0])
            first = min(one for one in due if one is not None)
            seconds = first + TICK_SECONDS - self._loop.time()
            self._timer = Deadline(self._loop, seconds, self._beat)

    def _beat(self) -> None:
        self._timer = None
        try:
            self._ask(self._loop.time())
        finally:
            self._wait()  # whatever one connection raises, all others are asked

    def _ask(self, now: float) -> None:
        """Give those up who have not answered, and ask those whose time has come."""
        for late in [one for one, (until, _) in self._asked.items() if until <= now]:
            del self._asked[late]
            if self._timeout is None:
                self.join(late)
            else:
                late.give_up()
        data = secrets.token_bytes(4)  # nobody can answer who has not read it
        asked = (now + (self._interval if self._timeout is None else self._timeout), data)
        for one in [one for one, due in self._resting.items() if due <= now]:
            del self._resting[one]
            self._asked[one] = asked
            one.ping(data)
