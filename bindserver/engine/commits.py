"""What of one committed state belongs together for a client, and the marks around it.

Whether a state touches several of a client's subscriptions is known when the last of its frames is
here. So for a client that wants a mark before them too, they wait for that, within one slice of the
event loop, and the marks are sent only where they are needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field

from bindserver.engine import protocol
from bindserver.engine.frames import Frame
from bindserver.engine.outbox import Outbox
from bindserver.engine.subscription import Subscription, SubscriptionState


@dataclass(slots=True, kw_only=True)
class OpenGroup:
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
    # A dict, as an empty set takes three times as much, and there is one for each client.
    touched: dict[int, None] = field(default_factory=dict)
    deltas: dict[int, tuple[tuple[Frame, ...], int]] = field(default_factory=dict)
    answers: dict[int, tuple[Frame, ...]] = field(default_factory=dict)

    def want(self, wanted: Set[str]) -> None:
        """Note which extras the client wants."""
        self.marks = "commit" in wanted
        self.gathers = {"commit", "begin"} <= wanted

    def __bool__(self) -> bool:
        return bool(self.deltas or self.answers)

    @property
    def commits(self) -> bool:
        """Whether the client is to see what is here together, or with what it still lacks."""
        return len(self.touched) > 1 or self.due is not None

    def settle(self, state: str) -> None:
        """Called when all of a state is here."""
        if self.marks and (self.commits or self.begun):
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


class CommitGroups:
    """Brings one client's shared frames into its outbox, those of one committed state together.

    Args:
        outbox: the client's outbox.
        subscriptions: the client's subscriptions by number, as they are at any time.
    """

    __slots__ = ("_outbox", "_subscriptions", "_turn")

    def __init__(self, outbox: Outbox, subscriptions: Mapping[int, Subscription]) -> None:
        self._outbox = outbox
        self._subscriptions = subscriptions
        self._turn = OpenGroup()

    def __bool__(self) -> bool:
        """Whether anything waits for the rest of its state."""
        return bool(self._turn)

    def want(self, wanted: Set[str]) -> None:
        """Note which extras the client wants."""
        self._turn.want(wanted)

    def answer(self, number: int, frames: tuple[Frame, ...]) -> None:
        """Take the pages of an answer to a subscription."""
        self._turn.midway = True
        if self._gathers():
            self._turn.answers[number] = frames
        else:
            self._outbox.answer(number, frames)

    def publish(self, subscription: Subscription, frames: tuple[Frame, ...], version: int) -> None:
        """Take a delta's frames, which bring the subscription to `version`."""
        number = subscription.number
        self._turn.touched[number] = None
        self._turn.midway = True
        if not self._gathers():
            self._push(subscription, frames, version)
            return
        if number in self._turn.deltas:
            self.hand_over()
        self._turn.deltas[number] = (frames, version)

    def pass_by(self, number: int) -> bool:
        """Take note that a delta is written at once; return whether it may be, or belongs together
        with others that are here, or are to come."""
        turn = self._turn
        if turn.deltas or turn.answers or (turn.gathers and len(self._subscriptions) > 1):
            return False
        turn.touched[number] = None
        turn.midway = True
        return True

    @property
    def is_midway(self) -> bool:
        """Whether frames of a state are here, and perhaps not all of them."""
        return self._turn.midway

    def rests(self) -> bool:
        """Return whether no part of a state is here, and no mark is due."""
        turn = self._turn
        return not (turn or turn.midway or turn.touched or turn.begun or turn.due is not None)

    def settle_quietly(self) -> bool:
        """Take it, as `settle` does, that all frames of a state have been given, if no mark is due
        for that, and nothing was gathered; return whether that is so."""
        turn = self._turn
        if turn.deltas or turn.answers or turn.begun or turn.due is not None:
            return False
        if len(turn.touched) > 1:
            return False
        turn.midway = False
        turn.touched.clear()
        return True

    def let_pass(self, number: int) -> None:
        """Queue what was gathered if some of it must stand before what a subscription hears now."""
        if number in self._turn.deltas:
            self.hand_over()

    def hand_over(self) -> None:
        """Queue what was gathered, though perhaps not all of its state is here: a mark says so."""
        if self._turn:
            self._hand_over(begin=True)

    def settle(self, state: str) -> None:
        """Called when all frames of one committed state have been given."""
        self._turn.midway = False
        if self._turn:
            self._hand_over(begin=self._turn.commits)
        self._turn.settle(state)

    def end(self) -> str | None:
        """Return the state whose mark behind is to be sent now, and take it as sent.

        None where none is due, where one of the subscriptions still lags, and where others are
        ahead: some frames of the next state are here, and not yet all.
        """
        if self._turn.due is None or any(sub.lags for sub in self._subscriptions.values()):
            return None
        return self._turn.end()

    def forget(self, number: int) -> None:
        """Let go of what is for a subscription that has ended."""
        self._turn.forget(number)

    def _gathers(self) -> bool:
        """Return whether frames wait for the rest of their state, so that a mark can stand
        first."""
        return self._turn.gathers and len(self._subscriptions) > 1

    def _hand_over(self, *, begin: bool) -> None:
        """Queue what was gathered: a mark if more belongs to it, the deltas, and then the answers.
        A first answer behind the deltas shows no earlier state beside a later one."""
        turn = self._turn
        if (begin or turn.due is not None) and turn and not turn.begun:
            self._outbox.mark(Frame.of(protocol.begin()))
            turn.begun = True
        for number, (frames, version) in turn.deltas.items():
            self._push(self._subscriptions[number], frames, version)
        for number, frames in turn.answers.items():
            self._outbox.answer(number, frames)
        turn.clear()

    def _push(self, subscription: Subscription, frames: tuple[Frame, ...], version: int) -> None:
        if subscription.state is SubscriptionState.LIVE and self._outbox.push(*frames):
            subscription.version = version
            return
        if subscription.state is SubscriptionState.LIVE:
            subscription.state = SubscriptionState.LAZY
        subscription.behind = True
