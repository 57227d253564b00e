"""One view's failure is its own: it is set aside, and the others go on.

Whoever waits for the first rows of a view that fails is told so, and waits no more. Who has rows of
one hears that they may be old, and keeps them until it is well again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from bindserver.bindings.registry import BindingClass
from bindserver.cycle.admission import refuse_rows
from bindserver.cycle.answers import stale_frame
from bindserver.cycle.context import TurnContext
from bindserver.cycle.delivery import Outbound
from bindserver.cycle.live_view import LiveView, ViewState
from bindserver.database.snapshot import locked
from bindserver.engine.events import Ended, Staled
from bindserver.engine.protocol import Code
from bindserver.exceptions import (
    Interrupted,
    NoRoom,
    Overtaken,
    Refusal,
    TooManyRows,
    Unavailable,
)
from bindserver.user_code import apart, contained

RETRY_SECONDS = (0.5, 1.0, 2.0, 5.0, 15.0, 60.0)

LOCKED_SECONDS = 5.0
"""A view that could not be read because of a lock is tried again after so long at most: locks
end by themselves, and each try holds up the others for a moment."""

LOCKED = "it waits, as somebody has locked a table that it reads"
LOST = "it waits, as the connection that read it was lost"
INTERRUPTED = "it waits, as the thread that read it has failed"


class Failures:
    """Does something to one view after the other in a turn, whatever happens to one of them.

    Args:
        context: the turn's.
    """

    def __init__(self, context: TurnContext) -> None:
        self._context = context

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
        if live.is_dropped:
            return  # others needed its room meanwhile
        self._context.pacer.restart()
        failures = live.failures
        try:
            if ours:
                with contained():  # fields and lookups of the project's own may be asked
                    work(live)
            else:
                apart(partial(work, live))
        except TooManyRows as problem:
            self._end(live, problem)
        except NoRoom as problem:
            self._turn_away(live, problem)
        except Overtaken:
            self._context.stay(live)
        except Exception as problem:
            self.see_database()
            self._set_aside(live, problem)
        else:
            if failures and not live.failures:
                self._context.failure_log.healed(live.number)

    def see_database(self) -> None:
        """See, after a failure, that the database is there.

        Raises:
            Exception: it is the database that is lost.
        """
        self._context.source.position()

    def failed(self, problem: Exception, kind: BindingClass, *, given: bool = False) -> Refusal:
        """Log what a binding raised when it was asked, and return what may be said of it.

        Args:
            problem: what was raised.
            kind: the binding's class.
            given: whether it was given params.
        """
        self._context.note(problem)
        return self._context.failure_log.refusal(kind, problem, given=given)

    def _set_aside(self, live: LiveView, problem: Exception) -> None:
        self._context.note(problem)
        delay = RETRY_SECONDS[min(live.failures, len(RETRY_SECONDS) - 1)]
        failures, view = self._context.failure_log, live.number
        live.refusal = None
        if locked(self._context.alias, problem):
            delay = min(delay, LOCKED_SECONDS)
            failures.note(live.binding, problem, view, words=LOCKED)
        elif isinstance(problem, Unavailable):
            words = INTERRUPTED if isinstance(problem, Interrupted) else LOST
            failures.note(live.binding, problem, view, words=words)
        else:
            given = live.given and not live.loaded  # params that rows were read by are right
            live.refusal = failures.refusal(live.binding, problem, view, given=given)
            self._refuse(live, live.refusal)
        live.state = ViewState.FAILED
        live.failures += 1
        live.retry_at = time.monotonic() + delay
        if live.audience or live.openings:
            mark_stale(live, self._context.outbound)
        live.fail_readers(live.refusal or Unavailable())

    def _refuse(self, live: LiveView, refusal: Refusal) -> None:
        """Tell those who wait for a view's first rows why there are none; they wait no more. Who
        has rows keeps them."""
        for opening in [opening for opening in live.openings if not opening.has_rows]:
            refuse_rows(self._context, opening.ref, refusal)

    def _end(self, live: LiveView, problem: TooManyRows) -> None:
        """End the subscriptions of a view that has outgrown its limit."""
        self._context.failure_log.note(live.binding, problem, words=str(problem))
        self._context.outbound.add(live.release_all(), Ended(code=Code.TOO_LARGE))
        live.fail_readers(problem)
        live.state = ViewState.NEW

    def _turn_away(self, live: LiveView, problem: NoRoom) -> None:
        """Tell all who wait for a view's first rows that there is no room for them, and forget
        these: nobody has them."""
        for opening in list(live.openings):
            if opening.moved:  # it was accepted long ago
                self._context.store.release(opening.ref)
                self._context.outbound.add([opening.ref], Ended(code=problem.code))
            else:
                refuse_rows(self._context, opening.ref, problem)
        live.fail_readers(problem)
        live.empty()
        self._context.store.room.weigh(live)


def mark_stale(live: LiveView, outbound: Outbound) -> None:
    """Tell a view's subscribers, once, that its rows may be old."""
    if live.stale:
        return
    live.stale = True
    refs = [*live.audience, *(opening.ref for opening in live.openings)]
    outbound.add(refs, Staled(frame=stale_frame(live)))
