"""Who is connected is looked at again, many in one go: each go connects to databases and lets go of
them, which costs several times what is asked there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from channels.db import DatabaseSyncToAsync

from bindserver.conf import conf
from bindserver.user_code import contained

AT_ONCE = 50
"""So many are asked about in one go at most: each waits for all of them."""

LONGEST_SECONDS = 0.25
"""So long the first of them waits for others at most."""

Call = Callable[..., Awaitable[Any]]
"""Calls a function, with what else it is given, in a thread, and returns what it does."""

Outcome = tuple[Any, Exception | None]


async def in_thread(function: Callable[..., Any], *args: Any) -> Any:
    """Call what may wait for the database, without holding up others that do.

    Raises:
        BindingError: it wants to end the thread.
        Exception: whatever it raises.
    """

    def call() -> Any:
        with contained():
            return function(*args)

    return await DatabaseSyncToAsync(call, thread_sensitive=False)()


@dataclass(frozen=True, slots=True)
class _Asked:
    """A call that waits, in whose context it is made, and who hears what it came to."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    context: Context
    answer: asyncio.Future[Any]

    def made(self) -> Outcome:
        """Make it, and return what it came to."""
        return self.context.run(self._made)

    def _made(self) -> Outcome:
        try:
            with contained():
                return self.function(*self.args), None
        except Exception as problem:
            return None, problem

    def tell(self, outcome: Outcome) -> None:
        """Tell who waits, if anybody still does."""
        found, problem = outcome
        if self.answer.done():
            return
        if problem is None:
            self.answer.set_result(found)
        else:
            self.answer.set_exception(problem)


class Together:
    """Calls that are made together with others, as `in_thread` makes one."""

    def __init__(self) -> None:
        self._waiting: WeakKeyDictionary[asyncio.AbstractEventLoop, list[_Asked]]
        self._waiting = WeakKeyDictionary()
        self._going: set[asyncio.Task[None]] = set()

    async def __call__(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call what may wait for the database; others may come first.

        Raises:
            BindingError: it wants to end the thread.
            Exception: whatever it raises.
        """
        loop = asyncio.get_running_loop()
        asked = _Asked(function, args, copy_context(), loop.create_future())
        waiting = self._waiting.setdefault(loop, [])
        waiting.append(asked)
        if len(waiting) == 1:
            loop.call_later(_patience(), self._go, loop)
        return await asked.answer

    def _go(self, loop: asyncio.AbstractEventLoop) -> None:
        waiting = self._waiting.pop(loop)
        for start in range(0, len(waiting), AT_ONCE):
            going = loop.create_task(_make(waiting[start : start + AT_ONCE]))
            self._going.add(going)
            going.add_done_callback(self._going.discard)


def _patience() -> float:
    """Return for how long a look waits for others."""
    others = float(conf.REVALIDATE_SECONDS), float(conf.AUTHENTICATE_SECONDS)
    return min(LONGEST_SECONDS, min(others) / 20)


async def _make(calls: Sequence[_Asked]) -> None:
    wanted = [call for call in calls if not call.answer.done()]  # the others have left
    try:
        outcomes = await in_thread(lambda: [call.made() for call in wanted])
    except Exception as problem:  # as where there are no threads to be had
        outcomes = [(None, problem)] * len(wanted)
    for call, outcome in zip(wanted, outcomes, strict=True):
        call.tell(outcome)


together = Together()
"""This process's."""
