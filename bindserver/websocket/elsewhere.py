"""Big messages are read and compressed in a thread, so that others are written to meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from bindserver.forks import on_fork

S = TypeVar("S")
T = TypeVar("T")


class Elsewhere:
    """One thread, which does nothing else: two would take the interpreter from each other, and from
    the event loop."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin without the thread, as a process must after a fork."""
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="bindserver-messages")

    async def __call__(self, function: Callable[[S], T], message: S) -> T:
        """Call a function with a message, and return what it does."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, message)


elsewhere = Elsewhere()
"""This process's."""

on_fork(elsewhere.forget)
