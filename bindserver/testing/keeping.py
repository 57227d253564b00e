"""A binding that is kept live in a test, and hears its changes as `message()`."""

from __future__ import annotations

from typing import Any

from bindserver.bindings.binding import Binding
from bindserver.engine.events import Answered, Ended, Event, Published, Rejected
from bindserver.engine.frames import changes_in
from bindserver.testing.subscriber import Refused


class Keeping:
    """Calls a binding's `message` for each change, in the test itself.

    Args:
        binding: the binding, in its context.
        problems: takes what `message` raises.
    """

    loop: Any = None  # nobody brings events to one but the test itself

    def __init__(self, binding: Binding[Any], problems: list[Exception]) -> None:
        self._binding = binding
        self._problems = problems
        self._pages: list[Any] = []

    def hear(self, number: int, event: Event) -> None:
        """Take an event about the binding."""
        match event:
            case Published(frames=frames) | Answered(frames=frames):
                for frame in frames:
                    for action, payload in changes_in(frame, self._pages):
                        self._call(action, payload)
            case Rejected(code=code, detail=detail):
                self._problems.append(Refused(code, detail))
            case Ended(code=code):
                self._problems.append(Refused(code))

    def fail(self) -> None:
        """Nothing to give up: what raises here raises in the test."""

    def settle(self, state: str) -> None:
        """Nothing: a binding wants no commit marks."""

    def _call(self, action: str, payload: Any) -> None:
        try:
            self._binding.message(action, payload)
        except Exception as problem:  # handed on: it must not keep others from hearing
            self._problems.append(problem)
