"""What lies in a cycle's inbox, and the bell that wakes its thread."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence

from bindserver.cycle.inbox import ReadRequest, Request, SnapshotRequest
from bindserver.cycle.load_messages import Result


class RequestQueue:
    """Takes requests, and what the loader has read, from any thread, for the cycle's own.

    Attributes:
        is_closed: whether nobody is to wait any more.
    """

    def __init__(self) -> None:
        self.is_closed = False
        self._items: deque[Request | Result] = deque()
        self._asking: dict[int, SnapshotRequest | ReadRequest] = {}
        self._bell = threading.Condition()
        self._rung = False

    def __bool__(self) -> bool:
        """Return whether there is anything to do, be it to end."""
        return bool(self._items) or self.is_closed

    def put(self, item: Request | Result) -> None:
        """Add something, and wake who waits."""
        if isinstance(item, SnapshotRequest | ReadRequest):
            self._asking[id(item)] = item
            item.answer.add_done_callback(lambda _: self._asking.pop(id(item), None))
        with self._bell:
            self._items.append(item)
            self._bell.notify()

    def put_back(self, items: Sequence[Request | Result]) -> None:
        """Put back what was taken, before all else; nobody is woken for it."""
        with self._bell:
            self._items.extendleft(reversed(items))

    def take(self) -> list[Request | Result]:
        """Return all there is, and have it no more."""
        with self._bell:
            items = list(self._items)
            self._items.clear()
            return items

    def unanswered(self) -> list[SnapshotRequest | ReadRequest]:
        """Return those who wait for rows and whose requests were taken."""
        with self._bell:
            waiting = {id(item) for item in self._items}
        return [asked for number, asked in list(self._asking.items()) if number not in waiting]

    def ring(self) -> None:
        """Have a waiting thread look at once, or the present look followed by another."""
        with self._bell:
            self._rung = True
            self._bell.notify()

    def close(self) -> None:
        """Have nobody wait any more."""
        with self._bell:
            self.is_closed = True
            self._bell.notify()

    def sleep(self, seconds: float | None) -> None:
        """Wait until there is something to do, somebody rings, or a time is over; None for ever."""
        with self._bell:
            if self:
                return
            if not self._rung:
                self._bell.wait(seconds)
            self._rung = False
