"""Big messages are read in a thread, so that others are written to meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from bindserver.forks import on_fork

T = TypeVar("T")


class Readers:
    """One thread, which does nothing else: two would take the interpreter from each other, and from
    the event loop."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin without the thread, as a process must after a fork."""
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="bindserver-reads")

    async def __call__(self, function: Callable[[str], T], text: str) -> T:
        """Call a function with a client's text, and return what it does."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, text)


in_readers_thread = Readers()
"""This process's."""

on_fork(in_readers_thread.forget)
