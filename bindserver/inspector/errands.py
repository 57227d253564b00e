"""Work of the inspector that may have to wait for a database: on a thread of its own, in order."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

from django.db import connections

from bindserver.forks import working
from bindserver.user_code import contained

STOP_SECONDS = 5.0
"""How long the end waits for an errand that is under way: a database may be silent for ever."""

Errand = tuple[Callable[[], None], Callable[[Exception], None]]


class Errands:
    """One thread, which is there from the first errand on. No client depends on it, so it is not
    supervised: a server must not end because its inspector fails.

    Args:
        name: the thread's.
        most: so many errands may wait.
    """

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._most = most
        self.forget()

    def forget(self) -> None:
        """Begin without a thread, as a process must after a fork."""
        self._queue: SimpleQueue[Errand | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._waiting = 0

    def send(self, work: Callable[[], None], fail: Callable[[Exception], None]) -> bool:
        """Have something done, soon; return whether it will be: not too many others wait.

        Called by one thread.

        Args:
            work: what is done.
            fail: told what it raised.
        """
        if self._waiting >= self._most:
            return False
        self._waiting += 1
        self._queue.put((work, fail))
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        return True

    def done(self) -> None:
        """Take note that one is done; called by the thread that sends."""
        self._waiting -= 1

    def stop(self) -> None:
        """End the thread; errands that wait are dropped."""
        thread, queue = self._thread, self._queue
        self.forget()
        if thread is None:
            return
        while not queue.empty():
            queue.get()
        queue.put(None)
        thread.join(STOP_SECONDS)

    def _run(self) -> None:
        queue = self._queue
        while (errand := queue.get()) is not None:
            work, fail = errand
            try:
                with working, contained():
                    work()
            except Exception as problem:
                fail(problem)
            finally:
                connections.close_all()  # this thread's: nobody knows when the next errand comes
