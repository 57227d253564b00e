"""Which load comes next: loads of living views and first loads by turns, and a first load of each
client before another of one; an audit, for which nobody waits, after all of them.

One client that asks for forty dear views then holds up the other clients by one of them, and
nobody's updates wait for more than one first load.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from typing import Generic, TypeVar

T = TypeVar("T")
A = TypeVar("A")


class LoadQueue(Generic[T, A]):
    """Loads and audits that wait for one thread. Any thread may put some in."""

    def __init__(self) -> None:
        self._bell = threading.Condition()
        self._living: deque[T] = deque()
        self._first: OrderedDict[object, deque[T]] = OrderedDict()
        self._audits: deque[A] = deque()
        self._living_next = True
        self._closed = False

    def put(self, load: T, client: object | None) -> None:
        """Have a load wait.

        Args:
            load: the load.
            client: who waits for first rows; None where subscribers have rows already.
        """
        with self._bell:
            if client is None:
                self._living.append(load)
            else:
                self._first.setdefault(client, deque()).append(load)
            self._bell.notify()

    def put_last(self, audit: A) -> None:
        """Have an audit wait until there are no loads."""
        with self._bell:
            self._audits.append(audit)
            self._bell.notify()

    def get(self) -> T | A | None:
        """Wait for the next load or audit and return it; None once the queue is closed."""
        with self._bell:
            self._bell.wait_for(lambda: self._closed or self._has_loads() or self._audits)
            if self._closed:
                return None
            return self._next() if self._has_loads() else self._audits.popleft()

    def _has_loads(self) -> bool:
        return bool(self._living or self._first)

    def __len__(self) -> int:
        """Return how many loads wait."""
        with self._bell:
            return len(self._living) + sum(map(len, self._first.values()))

    def close(self) -> None:
        """Have `get` return None from now on; what waits is forgotten."""
        with self._bell:
            self._closed = True
            self._bell.notify_all()

    def _next(self) -> T:
        living = bool(self._living) and (self._living_next or not self._first)
        self._living_next = not living
        if living:
            return self._living.popleft()
        client, loads = self._first.popitem(last=False)
        load = loads.popleft()
        if loads:
            self._first[client] = loads
        return load
