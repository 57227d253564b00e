"""Who is connected is looked at again, many in one go: each go connects to databases and lets go of
them, which costs several times what is asked there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from channels.db import DatabaseSyncToAsync

from bindserver.conf import conf
from bindserver.forks import on_fork
from bindserver.user_code import contained

THREADS = 4
"""So many goes may hang before the others wait for them."""

AT_ONCE = 50
"""So many are asked about in one go at most: each waits for all of them."""

LONGEST_SECONDS = 0.25
"""So long the first of them waits for others at most."""

Call = Callable[..., Awaitable[Any]]
"""Calls a function, with what else it is given, in a thread, and returns what it does."""

Outcome = tuple[Any, Exception | None]


async def in_thread(function: Callable[..., Any], *args: Any) -> Any:
    """Call a project's code that may wait, without holding up others that do, in one of the threads
    that all of these share.

    Raises:
        BindingError: it wants to end the thread.
        Exception: whatever it raises.
    """
    return await DatabaseSyncToAsync(_held(function, args), thread_sensitive=False)()


async def in_usual_thread(function: Callable[..., Any], *args: Any) -> Any:
    """Call what reads the session of a client that comes, in the thread that Django's own sessions
    are read in: functions that prove tokens may hold all the others.

    Raises:
        BindingError: it wants to end the thread.
        Exception: whatever it raises.
    """
    return await DatabaseSyncToAsync(_held(function, args))()


def _held(function: Callable[..., Any], args: tuple[Any, ...]) -> Callable[[], Any]:
    """Return the call, which fails where it would end the thread."""

    def call() -> Any:
        with contained():
            return function(*args)

    return call


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
    """Calls that are made together with others, in threads for nothing else: who comes, and whoever
    proves tokens, neither waits for them nor holds them up."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin without threads, as a process must after a fork."""
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="bindserver-looks")
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
            going = loop.create_task(self._make(waiting[start : start + AT_ONCE]))
            self._going.add(going)
            going.add_done_callback(self._going.discard)

    async def _make(self, calls: Sequence[_Asked]) -> None:
        wanted = [call for call in calls if not call.answer.done()]  # the others have left
        make = DatabaseSyncToAsync(_made, thread_sensitive=False, executor=self._threads)
        try:
            outcomes = await make(wanted)
        except Exception as problem:  # as where there are no threads to be had
            outcomes = [(None, problem)] * len(wanted)
        for call, outcome in zip(wanted, outcomes, strict=True):
            call.tell(outcome)


def _made(calls: Sequence[_Asked]) -> list[Outcome]:
    return [call.made() for call in calls]


def _patience() -> float:
    """Return for how long a look waits for others."""
    others = float(conf.REVALIDATE_SECONDS), float(conf.AUTHENTICATE_SECONDS)
    return min(LONGEST_SECONDS, min(others) / 20)


together = Together()
"""This process's."""

on_fork(together.forget)
