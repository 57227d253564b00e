"""One view's failure is its own: it is set aside, and the others go on."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable

from bindserver.courier import Outgoing
from bindserver.desk import mark_stale
from bindserver.engine.protocol import Code
from bindserver.exceptions import Overtaken, TooManyRows, Unavailable
from bindserver.live import LiveView, State
from bindserver.pace import Pacer
from bindserver.snapshot import locked
from bindserver.sources import Source
from bindserver.wishes import Ended

logger = logging.getLogger("bindserver")

RETRY_SECONDS = (0.5, 1.0, 2.0, 5.0, 15.0, 60.0)

LOCKED_SECONDS = 5.0
"""A view that could not be read because of a lock is tried again after so long at most: locks
end by themselves, and each try holds up the others for a moment."""


def nobody(problem: Exception) -> None:
    """Hear what went wrong, and do nothing."""


class Isolation:
    """Does something to one view after the other in a turn, whatever happens to one of them.

    Args:
        alias: the database.
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
        alias: str,
        source: Source,
        pacer: Pacer,
        outgoing: Outgoing,
        note: Callable[[Exception], None] = nobody,
    ) -> None:
        self._alias = alias
        self._source = source
        self._pacer = pacer
        self._outgoing = outgoing
        self._note = note
        self.staying: set[LiveView] = set()

    def attempt(self, live: LiveView, work: Callable[[LiveView], None]) -> None:
        """Do something to a view; if that fails, the view alone is set aside."""
        self._pacer.restart()
        try:
            work(live)
        except TooManyRows as problem:
            self._end(live, problem)
        except Overtaken:
            self.staying.add(live)
        except Exception as problem:
            self.see_database()
            self._set_aside(live, problem)

    def see_database(self) -> None:
        """See, after a failure, that the database is there.

        Raises:
            Exception: it is the database that is lost.
        """
        self._source.position()

    def failed(self, problem: Exception) -> str:
        """Log what a binding raised, and return what may be said of it to whoever asked."""
        self._note(problem)
        reference = secrets.token_hex(4)
        logger.error("bindserver: a binding failed (reference %s)", reference, exc_info=problem)
        return f"the server failed; reference {reference}"

    def _set_aside(self, live: LiveView, problem: Exception) -> None:
        self._note(problem)
        delay = RETRY_SECONDS[min(live.failures, len(RETRY_SECONDS) - 1)]
        name = live.query.model.__name__
        if locked(self._alias, problem):
            delay = min(delay, LOCKED_SECONDS)
            logger.warning(
                "bindserver: %s is set aside for %g s: somebody has locked a table that it reads",
                *(name, delay),
            )
        else:
            logger.error(
                "bindserver: %s is set aside for %g s (reference %s)",
                *(name, delay, secrets.token_hex(4)),
                exc_info=problem,
            )
        live.state = State.FAILED
        live.failures += 1
        live.retry_at = time.monotonic() + delay
        mark_stale(live, self._outgoing)
        live.fail_readers(Unavailable())

    def _end(self, live: LiveView, problem: TooManyRows) -> None:
        """End the subscriptions of a view that has outgrown its limit."""
        logger.error("bindserver: %s: %s", live.query.model.__name__, problem)
        refs = [*live.audience, *(opening.ref for opening in live.openings)]
        self._outgoing.add(refs, Ended(code=Code.TOO_LARGE))
        live.fail_readers(problem)
        live.openings.clear()
        live.audience.clear()
        live.state = State.NEW
