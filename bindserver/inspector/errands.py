"""Work of the inspector that may have to wait for a database: on a thread of its own, in order."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from django.db import connections

from bindserver.forks import working
from bindserver.user_code import contained


class Errands:
    """One thread, which is there from the first errand on.

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
        self._pool: ThreadPoolExecutor | None = None
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
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix=self._name)
        self._waiting += 1
        self._pool.submit(self._do, work, fail)
        return True

    def done(self) -> None:
        """Take note that one is done; called by the thread that sends."""
        self._waiting -= 1

    def stop(self) -> None:
        """End the thread; errands that wait are dropped."""
        pool = self._pool
        self.forget()
        if pool is not None:
            pool.shutdown(cancel_futures=True)

    @staticmethod
    def _do(work: Callable[[], None], fail: Callable[[Exception], None]) -> None:
        try:
            with working, contained():
                work()
        except Exception as problem:
            fail(problem)
        finally:
            connections.close_all()  # this thread's: nobody knows when the next errand comes
