"""What waits to be written to one client: bounded in bytes, whatever the client's speed.

Two lanes. `queue` holds messages in order; `push` refuses shared frames that would pass the limit,
and the session turns that subscription lazy. `answers` holds answers in pages, which are shared by
all who get them, so that they cost no memory of this client's. An answer first takes its place in
the queue, so that it overtakes nothing that was said before it; from there on its pages go out one
at a time, in turn with the queue, so that neither lane waits for all of the other.
"""

from __future__ import annotations

from collections.abc import Iterator

from bindserver.engine.frames import Frame


class Answer:
    """One answer on its way.

    Attributes:
        subscription: the number of the subscription that it answers.
        dropped: whether it is wanted no more.
    """

    __slots__ = ("_frames", "dropped", "subscription")

    def __init__(self, subscription: int, frames: tuple[Frame, ...]) -> None:
        self.subscription = subscription
        self.dropped = False
        self._frames: Iterator[Frame] = iter(frames)

    def next_page(self) -> Frame | None:
        return next(self._frames, None)


class Private:
    """A message for this client alone."""

    __slots__ = ("frame",)

    def __init__(self, frame: Frame) -> None:
        self.frame = frame


class Outbox:
    """The two lanes of one client.

    Args:
        limit: how many bytes of shared frames may wait in the queue, and how many of private ones.
    """

    __slots__ = (
        "_answers", "_answers_turn", "_current", "_limit", "_private", "_queue", "_shared"
    )  # fmt: skip

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # Lists, as they are empty nearly always: a deque takes 760 bytes even then. To take from
        # the front of the longest there can be costs some microseconds.
        self._queue: list[Frame | Private | Answer] = []
        self._answers: list[Answer] = []
        self._current: dict[int, Answer] = {}
        self._answers_turn = False
        self._shared = 0
        self._private = 0

    def __bool__(self) -> bool:
        return bool(self._queue or self._answers)

    @property
    def waiting(self) -> int:
        """How many bytes wait in the queue."""
        return self._shared + self._private

    def push(self, *frames: Frame) -> bool:
        """Queue all `frames`, or none when they do not fit. What waits alone always fits."""
        size = sum(frame.size for frame in frames)
        if self._shared and self._shared + size > self._limit:
            return False
        self._queue.extend(frames)
        self._shared += size
        return True

    def tell(self, frame: Frame) -> bool:
        """Queue a private message, unless too many of these wait.

        Shared frames leave them their room: else a ping behind a full queue would be the end.
        """
        if self._private and self._private + frame.size > self._limit:
            return False
        self._queue.append(Private(frame))
        self._private += frame.size
        return True

    def mark(self, frame: Frame) -> None:
        """Queue a mark, whatever waits: there is never more than one without its counterpart."""
        self._queue.append(Private(frame))
        self._private += frame.size

    def answer(self, subscription: int, frames: tuple[Frame, ...]) -> None:
        """Send an answer's pages, in place of an older one of the same subscription."""
        self.forget(subscription)
        self._current[subscription] = answer = Answer(subscription, frames)
        self._queue.append(answer)

    def forget(self, subscription: int) -> None:
        """Send no further page to the subscription."""
        answer = self._current.pop(subscription, None)
        if answer is not None:
            answer.dropped = True

    def clear(self) -> None:
        """Let go of everything, as the client is gone."""
        self._queue.clear()
        self._answers.clear()
        self._current.clear()
        self._shared = self._private = 0

    def pop(self) -> Frame | int | None:
        """Return the next frame to write, or the number of a subscription whose answer has just
        been written whole, or None when nothing waits."""
        while self._queue or self._answers:
            if self._answers and (self._answers_turn or not self._queue):
                item = self._pop_answers()
            else:
                item = self._pop_queue()
            if item is not None:
                return item
        return None

    def _pop_answers(self) -> Frame | int | None:
        answer = self._answers[0]
        page = None if answer.dropped else answer.next_page()
        if page is not None:
            self._answers_turn = False
            return page
        del self._answers[0]
        if answer.dropped:
            return None
        del self._current[answer.subscription]
        return answer.subscription

    def _pop_queue(self) -> Frame | None:
        self._answers_turn = True
        match self._queue.pop(0):
            case Answer() as answer:
                self._answers.append(answer)
                return None
            case Private(frame=frame):
                self._private -= frame.size
                return frame
            case frame:
                self._shared -= frame.size
                return frame
