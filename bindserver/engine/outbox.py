"""What waits to be written to one client: bounded in bytes, whatever the client's speed.

Two lanes. `queue` holds messages in order; `push` refuses what would pass the limit, and the
session turns that subscription lazy. `answers` holds answers in pages, which are shared by all who
get them, so that they cost no memory of this client's; one page goes out at a time, in turn with
the queue, so that neither lane waits for all of the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from bindserver.engine.frames import Frame


class Answer:
    """One answer on its way.

    Attributes:
        subscription: the number of the subscription that it answers.
    """

    def __init__(self, subscription: int, frames: tuple[Frame, ...]) -> None:
        self.subscription = subscription
        self._frames: Iterator[Frame] = iter(frames)

    def next_page(self) -> Frame | None:
        return next(self._frames, None)


class Outbox:
    """The two lanes of one client.

    Args:
        limit: how many bytes may wait in the queue.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._queue: deque[Frame] = deque()
        self._answers: deque[Answer] = deque()
        self._answers_turn = False
        self.waiting = 0

    def __bool__(self) -> bool:
        return bool(self._queue or self._answers)

    def push(self, *frames: Frame) -> bool:
        """Queue all `frames`, or none when they do not fit. One that waits alone always fits."""
        size = sum(frame.size for frame in frames)
        if self._queue and self.waiting + size > self._limit:
            return False
        self._queue.extend(frames)
        self.waiting += size
        return True

    def answer(self, subscription: int, frames: tuple[Frame, ...]) -> None:
        """Send an answer's pages, in place of an older one of the same subscription."""
        self.forget(subscription)
        self._answers.append(Answer(subscription, frames))

    def forget(self, subscription: int) -> None:
        """Send no further page to the subscription."""
        self._answers = deque(a for a in self._answers if a.subscription != subscription)

    def clear(self) -> None:
        """Let go of everything, as the client is gone."""
        self._queue.clear()
        self._answers.clear()
        self.waiting = 0

    def pop(self) -> Frame | int | None:
        """Return the next frame to write, or the number of a subscription whose answer has just
        been written whole, or None when nothing waits."""
        if self._answers and (self._answers_turn or not self._queue):
            self._answers_turn = False
            answer = self._answers[0]
            page = answer.next_page()
            if page is None:
                self._answers.popleft()
                return answer.subscription
            return page
        self._answers_turn = True
        if not self._queue:
            return None
        frame = self._queue.popleft()
        self.waiting -= frame.size
        return frame
