"""The frames of one committed state, gathered for a client that wants them between two marks.

Whether a state touches several of a client's subscriptions is known when the last of its frames is
here. So they wait for that, within one slice of the event loop, and a mark goes first only where
it is needed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bindserver.engine.frames import Frame


@dataclass(slots=True, kw_only=True)
class Turn:
    """What a turn of the cycle has brought to one client, and is not in its outbox yet.

    Attributes:
        wanted: whether the client asked for marks before and behind.
        begun: whether the mark before was queued, and the one behind was not yet.
        deltas: frames and version, by subscription.
        answers: the pages of answers, by subscription.
    """

    wanted: bool = False
    begun: bool = False
    deltas: dict[int, tuple[tuple[Frame, ...], int]] = field(default_factory=dict)
    answers: dict[int, tuple[Frame, ...]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.deltas or self.answers)

    def clear(self) -> None:
        """Let go of all, as it is in the outbox."""
        self.deltas.clear()
        self.answers.clear()

    def forget(self, number: int) -> None:
        """Let go of what is for a subscription that has ended."""
        self.deltas.pop(number, None)
        self.answers.pop(number, None)
