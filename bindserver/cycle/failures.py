"""One view's failure is its own: it is set aside, and the others go on.

Whoever waits for the first rows of a view that fails is told so, and waits no more. Who has rows of
one hears that they may be old, and keeps them until it is well again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from bindserver.bindings.registry import BindingClass
from bindserver.capture.sources import Source
from bindserver.cycle.delivery import Outbound
from bindserver.cycle.inbox import Ended
from bindserver.cycle.live_view import LiveView, ViewState
from bindserver.cycle.outage import Desk, mark_stale
from bindserver.database.pacing import Pacer
from bindserver.database.snapshot import locked
from bindserver.engine.protocol import Code
from bindserver.exceptions import Overtaken, Refusal, TooManyRows, Unavailable
from bindserver.user_code import apart

RETRY_SECONDS = (0.5, 1.0, 2.0, 5.0, 15.0, 60.0)

LOCKED_SECONDS = 5.0
"""A view that could not be read because of a lock is tried again after so long at most: locks
end by themselves, and each try holds up the others for a moment."""

LOCKED = "it waits, as somebody has locked a table that it reads"
LOST = "it waits, as the connection that read it was lost"


def nobody(problem: Exception) -> None:
    """Hear what went wrong, and do nothing."""


class Failures:
    """Does something to one view after the other in a turn, whatever happens to one of them.

    Args:
        desk: what lasts.
        source: tells whether it is the database that is lost.
        pacer: stops what takes too long.
        outgoing: takes the word to a view's subscribers.
        note: hears what bindings and serializers have raised.

    Attributes:
        staying: the views that stay where they are until there is another snapshot: the turn's
            cannot show them as they were, or has been open for long enough.
    """

    def __init__(
        self,
        desk: Desk,
        source: Source,
        pacer: Pacer,
        outbound: Outbound,
        note: Callable[[Exception], None] = nobody,
    ) -> None:
        self._desk = desk
        self._source = source
        self._pacer = pacer
        self._outbound = outbound
        self._note = note
        self.staying: set[LiveView] = set()

    def attempt(
        self, live: LiveView, work: Callable[[LiveView], None], *, ours: bool = False
    ) -> None:
        """Do something to a view; if that fails, the view alone is set aside.

        Args:
            live: the view.
            work: what to do.
            ours: whether no code of the project's is called, which may set a language: a turn
                looks at every view, and making the surroundings neutral costs more than that.
        """
        self._pacer.restart()
        failures = live.failures
        try:
            if ours:
                work(live)
            else:
                apart(partial(work, live))
        except TooManyRows as problem:
            self._end(live, problem)
        except Overtaken:
            self.staying.add(live)
        except Exception as problem:
            self.see_database()
            self._set_aside(live, problem)
        else:
            if failures and not live.failures:
                self._desk.failures.healed(live.number)

    def see_database(self) -> None:
        """See, after a failure, that the database is there.

        Raises:
            Exception: it is the database that is lost.
        """
        self._source.position()

    def failed(self, problem: Exception, kind: BindingClass, *, given: bool = False) -> Refusal:
        """Log what a binding raised when it was asked, and return what may be said of it.

        Args:
            problem: what was raised.
            kind: the binding's class.
            given: whether it was given params.
        """
        self._note(problem)
        return self._desk.failures.refusal(kind, problem, given=given)

    def _set_aside(self, live: LiveView, problem: Exception) -> None:
        self._note(problem)
        delay = RETRY_SECONDS[min(live.failures, len(RETRY_SECONDS) - 1)]
        failures, view = self._desk.failures, live.number
        live.refusal = None
        if locked(self._desk.alias, problem):
            delay = min(delay, LOCKED_SECONDS)
            failures.note(live.binding, problem, view, words=LOCKED)
        elif isinstance(problem, Unavailable):
            failures.note(live.binding, problem, view, words=LOST)
        else:
            given = live.given and not live.loaded  # params that rows were read by are right
            live.refusal = failures.refusal(live.binding, problem, view, given=given)
            self._refuse(live, live.refusal)
        live.state = ViewState.FAILED
        live.failures += 1
        live.retry_at = time.monotonic() + delay
        if live.audience or live.openings:
            mark_stale(live, self._outbound)
        live.fail_readers(live.refusal or Unavailable())

    def _refuse(self, live: LiveView, refusal: Refusal) -> None:
        """Tell those who wait for a view's first rows why there are none; they wait no more. Who
        has rows keeps them."""
        for opening in [opening for opening in live.openings if not opening.has_rows]:
            self._desk.refuse_rows(opening.ref, refusal, self._outbound)

    def _end(self, live: LiveView, problem: TooManyRows) -> None:
        """End the subscriptions of a view that has outgrown its limit."""
        self._desk.failures.note(live.binding, problem, words=str(problem))
        refs = [*live.audience, *(opening.ref for opening in live.openings)]
        self._outbound.add(refs, Ended(code=Code.TOO_LARGE))
        live.fail_readers(problem)
        live.openings.clear()
        live.audience.clear()
        live.state = ViewState.NEW
