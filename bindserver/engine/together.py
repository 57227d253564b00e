"""What of one committed state belongs together for a client, and the marks around it.

Whether a state touches several of a client's subscriptions is known when the last of its frames is
here. So for a client that wants a mark before them too, they wait for that, within one slice of the
event loop, and the marks are sent only where they are needed.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field

from bindserver.engine.frames import Frame


@dataclass(slots=True, kw_only=True)
class Turn:
    """What a turn of the cycle has brought to one client.

    Attributes:
        marks: whether the client asked for a mark behind.
        gathers: whether it asked for one before as well.
        midway: whether frames of a state are here, and perhaps not all of them.
        begun: whether a mark before was queued, and the one behind was not yet.
        due: the state whose mark behind is due.
        touched: the subscriptions that the state has touched so far.
        deltas: frames and version, by subscription, that are not in the outbox yet.
        answers: the pages of answers, by subscription, that are not in the outbox yet.
    """

    marks: bool = False
    gathers: bool = False
    midway: bool = False
    begun: bool = False
    due: str | None = None
    touched: set[int] = field(default_factory=set)
    deltas: dict[int, tuple[tuple[Frame, ...], int]] = field(default_factory=dict)
    answers: dict[int, tuple[Frame, ...]] = field(default_factory=dict)

    def want(self, wanted: Set[str]) -> None:
        """Take the client's word which extras it wants."""
        self.marks = "commit" in wanted
        self.gathers = {"commit", "begin"} <= wanted

    def __bool__(self) -> bool:
        return bool(self.deltas or self.answers)

    @property
    def together(self) -> bool:
        """Whether the client is to see what is here together, or with what it still lacks."""
        return len(self.touched) > 1 or self.due is not None

    def settle(self, state: str) -> None:
        """Take the word that all of a state is here."""
        if self.marks and (self.together or self.begun):
            self.due = state
        self.touched.clear()

    def end(self) -> str | None:
        """Return the state whose mark behind is to be sent now, and take it as sent."""
        if self.due is None or self.midway:
            return None
        state, self.due = self.due, None
        self.begun = False
        return state

    def clear(self) -> None:
        """Let go of all that was gathered, as it is in the outbox."""
        self.deltas.clear()
        self.answers.clear()

    def forget(self, number: int) -> None:
        """Let go of what is for a subscription that has ended."""
        self.deltas.pop(number, None)
        self.answers.pop(number, None)
