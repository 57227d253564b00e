"""What the inspector's feed has to wait for: who may see it, and the answers to questions.

Each has a thread of its own, as a database may be silent. What it came to is handed back to the
feed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from bindserver.cycle.inbox import Caller, SubscriptionRef
from bindserver.exceptions import Refusal, Unavailable
from bindserver.inspector.access import admit
from bindserver.inspector.answers import answer
from bindserver.inspector.asked import EVENT, Inquiry
from bindserver.inspector.errands import Errands
from bindserver.inspector.topic import Row
from bindserver.logs import Repeats

_repeats = Repeats(logging.getLogger("bindserver.inspector"))

MOST_QUESTIONS = 5
MOST_CALLERS = 200

BUSY = "too many others are asking; ask again in a while"


@dataclass(frozen=True, slots=True)
class Admitted:
    """Somebody may follow, or ask, what they want."""

    ref: SubscriptionRef
    caller: Caller
    asked: Inquiry


@dataclass(frozen=True, slots=True)
class Declined:
    """Somebody may not, or there is no answer; where they had it before, it ends."""

    ref: SubscriptionRef
    refusal: Refusal


@dataclass(frozen=True, slots=True)
class Found:
    """The answer to a question."""

    ref: SubscriptionRef
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Done:
    """An errand is done."""

    errands: Errands


LookedUp = Admitted | Declined | Found | Done


class Lookups:
    """Finds out who may have what they want, and answers questions.

    Args:
        hand_in: takes what was found, on the threads that look.
    """

    def __init__(self, hand_in: Callable[[LookedUp], None]) -> None:
        self._hand_in = hand_in
        self._doors = Errands("bindserver-inspector-door", MOST_CALLERS)
        self._questions = Errands("bindserver-inspector-questions", MOST_QUESTIONS)

    def forget(self) -> None:
        """Begin without threads, as a process must after a fork."""
        self._doors.forget()
        self._questions.forget()

    def stop(self) -> None:
        """End the threads."""
        self._doors.stop()
        self._questions.stop()

    # Who may, as the database has it now.

    def admit(self, wanted: Mapping[SubscriptionRef, tuple[Caller, Inquiry]]) -> None:
        """Have it found out who may have what they want.

        Raises:
            Unavailable: too many others ask.
        """
        work, fail = partial(self._find_out, wanted), partial(self._fail_all, tuple(wanted))
        if not self._doors.send(work, fail):
            raise Unavailable(BUSY)

    def admit_again(self, wanted: Mapping[SubscriptionRef, tuple[Caller, Inquiry]]) -> None:
        """Have it found out who may still have what they follow."""
        self._doors.send(partial(self._find_out, wanted), self._keep)

    def _find_out(self, wanted: Mapping[SubscriptionRef, tuple[Caller, Inquiry]]) -> None:
        for ref, (caller, asked) in wanted.items():
            try:
                admit(EVENT, caller.user)
            except Refusal as refusal:
                self._hand_in(Declined(ref, refusal))
            else:
                self._hand_in(Admitted(ref, caller, asked))
        self._hand_in(Done(self._doors))

    def _keep(self, problem: Exception) -> None:
        """Have those go on of whom nobody can tell now, as a database is lost: asked again soon."""
        what = "the inspector cannot tell who may still see it"
        _repeats.note(what, problem, logging.WARNING, traceback=False)
        self._hand_in(Done(self._doors))

    def _fail_all(self, refs: Iterable[SubscriptionRef], problem: Exception) -> None:
        _repeats.note("the inspector cannot tell who may see it", problem)
        for ref in refs:
            self._hand_in(Declined(ref, Unavailable()))
        self._hand_in(Done(self._doors))

    # Questions.

    def answer(self, ref: SubscriptionRef, caller: Caller, asked: Inquiry) -> None:
        """Have a question answered.

        Raises:
            Unavailable: too many others ask.
        """
        work, fail = partial(self._find, ref, caller, asked), partial(self._fail, ref)
        if not self._questions.send(work, fail):
            raise Unavailable(BUSY)

    def _find(self, ref: SubscriptionRef, caller: Caller, asked: Inquiry) -> None:
        """Find an answer, on the thread for that."""
        try:
            self._hand_in(Found(ref, tuple(answer(asked, caller))))
        except Refusal as refusal:
            self._hand_in(Declined(ref, refusal))
        self._hand_in(Done(self._questions))

    def _fail(self, ref: SubscriptionRef, problem: Exception) -> None:
        _repeats.note("the inspector has no answer", problem)
        kind = type(problem).__name__
        said = f"this cannot be answered now ({kind}); the server's log says why"
        self._hand_in(Declined(ref, Unavailable(said)))
        self._hand_in(Done(self._questions))
