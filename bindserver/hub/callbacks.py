"""Callbacks: a subscriber of our own tells bindings what happens to them.

    cycle  --events-->  a loop of its own  --frames-->  a thread of its own  -->  message()

What it calls is the project's code, and may be slow. So it is called on another thread than the one
that hears events, and what waits for it is bounded: past that a binding's waiting frames are
dropped, and it is told all its rows anew when its turn has come.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from queue import SimpleQueue
from typing import Any

from bindserver.bindings.binding import Binding
from bindserver.cycle.inbox import Caller, SessionRequest
from bindserver.cycle.waiting import EVERYTHING
from bindserver.engine.effects import Ask, HubEffect, Release
from bindserver.engine.events import Answered, Ended, Event, Published, Rejected
from bindserver.engine.frames import Frame, changes_in
from bindserver.engine.protocol import Code, canonical
from bindserver.logs import Repeats
from bindserver.supervision import Supervised
from bindserver.user_code import apart

logger = logging.getLogger("bindserver.hub")
_repeats = Repeats(logger)

AGAIN_SECONDS = 5.0
"""How long to wait before a binding is tried again that could not be kept."""


@dataclass(slots=True, kw_only=True)
class _Keeping:
    """One binding that is kept live.

    Attributes:
        waiting: how many bytes of frames wait for its `message`.
        lost: whether frames were dropped, so that it must be told all anew.
        pages: the rows of a sync that is still coming.
        told: why it could not be kept, as the log was told.
    """

    binding: Binding[Any]
    number: int
    waiting: int = 0
    lost: bool = False
    pages: list[Any] = field(default_factory=list)
    told: Code | None = None


class MessageCallbacks:
    """Keeps bindings live, and calls their `message` for each change.

    Args:
        request: hands a request to the hub.
        limit: how many bytes may wait for one binding.
    """

    def __init__(self, request: Callable[[SessionRequest], None], limit: int) -> None:
        self.loop = asyncio.new_event_loop()
        self._request = request
        self._limit = limit
        self._lock = threading.Lock()
        self._numbers = count(1)
        self._known: set[Any] = set()
        self._keepings: dict[int, _Keeping] = {}
        self._frames: SimpleQueue[tuple[_Keeping, tuple[Frame, ...]] | None] = SimpleQueue()
        self._heard: _Keeping | None = None
        self._at_hand: tuple[_Keeping, int] | None = None
        self._threads = [
            Supervised("bindserver-callbacks", "callbacks", self.loop.run_forever),
            Supervised("bindserver-messages", "messages", self._call_all, recover=self._recover),
        ]
        for thread in self._threads:
            thread.start()

    def keep(self, binding: Binding[Any]) -> None:
        """Keep a binding, once for each context."""
        caller = _caller_of(binding).identity()
        plain = (type(binding), caller, canonical(binding.wire_params))
        identity = plain if binding.is_plain() else binding
        with self._lock:
            if identity in self._known:
                return
            self._known.add(identity)
        self._begin(_Keeping(binding=binding, number=0))

    def stop(self) -> None:
        """Let go of all, and end the threads; frames that wait are not told any more."""
        for keeping in list(self._keepings.values()):
            self._want(keeping, Release(number=keeping.number))
        self._keepings.clear()
        for thread in self._threads:
            thread.stop()
        self._frames.put(None)
        self.loop.call_soon_threadsafe(self.loop.stop)
        for thread in self._threads:
            thread.join()
        self.loop.close()

    def _begin(self, keeping: _Keeping) -> None:
        keeping.number = next(self._numbers)
        keeping.lost = False
        self._keepings[keeping.number] = keeping
        self._want(keeping, Ask(number=keeping.number, message=EVERYTHING))

    def _want(self, keeping: _Keeping, effect: HubEffect) -> None:
        caller = _caller_of(keeping.binding)
        self._request(SessionRequest(self, caller, effect, keeping.binding))

    def _leave(self, keeping: _Keeping) -> None:
        self._want(keeping, Release(number=keeping.number))
        self._keepings.pop(keeping.number, None)

    def _begin_later(self, keeping: _Keeping) -> None:
        self._leave(keeping)
        self.loop.call_later(AGAIN_SECONDS, self._begin, keeping)

    # A listener's part, on a loop of its own.

    def hear(self, number: int, event: Event) -> None:
        """Take an event about a kept binding."""
        self._heard = keeping = self._keepings.get(number)
        if keeping is None:
            return
        match event:
            case Published(frames=frames) | Answered(frames=frames):
                keeping.told = None
                self._queue(keeping, frames)
            case Rejected(code=code) | Ended(code=code):
                name = type(keeping.binding).__name__
                if keeping.told is not code:  # once, however often it is tried
                    keeping.told = code
                    logger.error("bindserver: %s cannot be kept live for now: %s", name, code)
                self._begin_later(keeping)
            case _:
                pass

    def _queue(self, keeping: _Keeping, frames: tuple[Frame, ...]) -> None:
        size = sum(frame.size for frame in frames)
        if keeping.lost:
            return
        if keeping.waiting and keeping.waiting + size > self._limit:
            keeping.lost = True
            self._leave(keeping)
            self._frames.put((keeping, ()))
            return
        keeping.waiting += size
        self._frames.put((keeping, frames))

    def fail(self) -> None:
        """Hearing an event raised: its binding is told anew of all its rows, a while later, since
        what has failed once may fail again."""
        problem = sys.exception() or RuntimeError()
        _repeats.note("an event for a binding's message() is lost", problem)
        keeping, self._heard = self._heard, None
        if keeping is not None and keeping.number in self._keepings:
            self._begin_later(keeping)

    def settle(self, state: str) -> None:
        """Nothing: it wants no commit marks."""

    # On the caller's thread.

    def _call_all(self) -> None:
        while (item := self._frames.get()) is not None:
            keeping, frames = item
            size = sum(frame.size for frame in frames)
            self._at_hand = keeping, size
            for frame in frames:
                for action, payload in changes_in(frame, keeping.pages):
                    self._call(keeping.binding, action, payload)
            self._at_hand = None
            self.loop.call_soon_threadsafe(self._told, keeping, size)

    def _recover(self) -> None:
        """Have the binding told anew of all its rows whose frames were at hand when the thread
        failed."""
        if self._at_hand is not None:
            (keeping, size), self._at_hand = self._at_hand, None
            self.loop.call_soon_threadsafe(self._drop, keeping, size)

    def _drop(self, keeping: _Keeping, size: int) -> None:
        keeping.pages.clear()
        if not keeping.lost:
            keeping.lost = True
            self._leave(keeping)
        self._told(keeping, size)

    def _told(self, keeping: _Keeping, size: int) -> None:
        keeping.waiting -= size
        if keeping.lost and not keeping.waiting:
            self._begin(keeping)

    @staticmethod
    def _call(binding: Binding[Any], action: str, payload: Any) -> None:
        try:
            apart(lambda: binding.message(action, payload))
        except Exception as problem:  # the project's own code, which must harm nobody else's
            _repeats.note(f"{type(binding).__name__}.message() failed", problem)


def _caller_of(binding: Binding[Any]) -> Caller:
    return Caller(user=binding.user, auth=binding.auth)
