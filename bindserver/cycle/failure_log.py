"""What bindings have raised: logged once, with their names, and told with a reference."""

from __future__ import annotations

import logging
import secrets
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from types import FrameType, TracebackType

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import DataError

from bindserver.bindings.registry import BindingClass
from bindserver.cycle.figures import CycleFigures
from bindserver.exceptions import (
    Failed,
    InvalidParams,
    Refusal,
    ShownByRow,
    TooManyRows,
    Unavailable,
    Unsound,
)
from bindserver.logs import one_line
from bindserver.user_code import text_of

logger = logging.getLogger("bindserver.cycle")

AGAIN_SECONDS = 3600.0
"""How long a failure that goes on is not spoken of again."""

REMEMBERED = 500
"""So many failures are known at a time; the oldest is forgotten for a new one."""

MAX_TEXT = 500
"""How much of an error's text tells it from others, and is told in debug mode."""

WRONG_VALUE = "a param's value is none that the database takes"

ADAPTING = ("django.db.backends.", "django.db.models.fields", "django.db.models.lookups")
"""Where Django turns a value into one that a column or a driver takes."""

DRIVERS = ("psycopg", "psycopg2", "MySQLdb")

Key = tuple[str, ...]
"""A binding's name first, and what it failed by."""

NEUTRAL = ("django.utils.", "django.core.validators", "django.db.utils")
"""Code that converts values for whoever asks."""


@dataclass(slots=True, kw_only=True)
class _Failure:
    """One failure: what somebody raised for one binding, in one sentence.

    Attributes:
        reference: what subscribers are told, and the log.
        told_at: when the log was, on the monotonic clock.
        unsaid: how often it has happened since.
        views: the views that have it now.
    """

    reference: str
    told_at: float
    unsaid: int = 0
    views: set[Hashable] = field(default_factory=set)


class FailureLog:
    """The failures of one cycle's bindings.

    Args:
        clock: tells the time in seconds, and only rises.
        figures: count each failure.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        figures: CycleFigures | None = None,
    ) -> None:
        self._clock = clock
        self._figures = figures or CycleFigures()
        self._known: OrderedDict[Key, _Failure] = OrderedDict()

    def note(
        self,
        kind: BindingClass,
        problem: Exception,
        view: Hashable = None,
        *,
        words: str | None = None,
    ) -> str:
        """Take a failure, and return its reference. The log hears of it once, with the traceback,
        and again when it has gone on for an hour.

        Args:
            kind: the binding's class.
            problem: what was raised.
            view: names the view that has failed; None where none was made.
            words: what there is to say of it, where the traceback says nothing.
        """
        name = name_of(kind)
        self._figures.count_failure(kind.event or kind.__name__, _sort_of(problem, words))
        cause = cause_of(problem)
        key = (name, words) if words else (name, repr(type(cause)), text_of(cause)[:MAX_TEXT])
        known, now = self._known.get(key), self._clock()
        if known is None:
            known = self._known[key] = _Failure(reference=secrets.token_hex(4), told_at=now)
            self._tell(name, known.reference, problem, words)
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        else:
            known.unsaid += 1
        if now - known.told_at >= AGAIN_SECONDS:
            reason = words or f"{type(cause).__name__}: {one_line(text_of(cause))}"
            said = "bindserver: %s has failed %d times more (reference %s): %s"
            logger.error(said, name, known.unsaid, known.reference, reason)
            known.told_at, known.unsaid = now, 0
        if view is not None:
            known.views.add(view)
        return known.reference

    @staticmethod
    def _tell(name: str, reference: str, problem: Exception, words: str | None) -> None:
        if isinstance(problem, ShownByRow):
            logger.error("bindserver: %s is not served: %s (reference %s)", name, words, reference)
        elif words is not None:
            logger.warning("bindserver: %s (reference %s): %s", name, reference, words)
        else:
            said = "bindserver: %s is set aside, as it failed (reference %s); tried again later"
            logger.error(said, name, reference, exc_info=problem)

    def healed(self, view: Hashable) -> None:
        """Called when a view is well; when it was the last, the log hears that."""
        for key, known in list(self._known.items()):
            if view in known.views:
                known.views.discard(view)
                if not known.views:
                    del self._known[key]
                    said = "bindserver: %s is well again (reference %s)"
                    logger.warning(said, key[0], known.reference)

    def refusal(
        self, kind: BindingClass, problem: Exception, view: Hashable = None, *, given: bool = False
    ) -> Refusal:
        """Return what may be said of a failure to whoever asked.

        Args:
            kind: the binding's class.
            problem: what was raised.
            view: as for `note`.
            given: whether the binding was given params, which may be what is wrong.
        """
        if given and is_of_values(problem):
            words = f"{WRONG_VALUE} ({type(problem).__name__})"
            self.note(kind, problem, view, words=words)
            return InvalidParams(WRONG_VALUE)
        if isinstance(problem, ShownByRow):
            reference = self.note(kind, problem, view, words=str(problem))
            return Unsound(reference, str(problem), debug=settings.DEBUG)
        return Failed(self.note(kind, problem, view), _reason(problem))


def _sort_of(problem: Exception, words: str | None) -> str:
    """Return what kind of failure it is, in one of a few words."""
    if isinstance(problem, TooManyRows):
        return "too_large"
    if isinstance(problem, ShownByRow):
        return "unsound"
    if isinstance(problem, Unavailable):
        return "connection_lost"
    if words is None:
        return "failed"
    return "wrong_value" if words.startswith(WRONG_VALUE) else "locked"


def name_of(kind: BindingClass) -> str:
    """Return what people call a binding: its event, and where its class is."""
    path = f"{kind.__module__}.{kind.__qualname__}"
    return path if kind.event is None else f"{kind.event} ({path})"


def cause_of(problem: Exception) -> BaseException:
    """Return what the project's own code has raised, if an error of ours says that it has."""
    ours = type(problem).__module__.startswith("bindserver.")
    return problem.__cause__ if ours and problem.__cause__ is not None else problem


def _reason(problem: Exception) -> str:
    """Return what is said of the reason: nothing but in debug mode."""
    if not settings.DEBUG:
        return ""
    cause = cause_of(problem)
    return f"{type(cause).__name__}: {text_of(cause)[:MAX_TEXT]}"


def is_of_values(problem: BaseException) -> bool:
    """Return whether an error says that a column or the driver cannot take a value."""
    if isinstance(problem, DataError):
        return True
    if not isinstance(problem, (OverflowError, ValueError, ValidationError)):
        return False
    for frame in reversed(list(_frames(problem.__traceback__))):
        module = str(frame.f_globals.get("__name__", ""))
        if module.partition(".")[0] in DRIVERS or module.startswith(ADAPTING):
            return True
        if not (module.partition(".")[0] in sys.stdlib_module_names or module.startswith(NEUTRAL)):
            return False
    return False


def is_of_proof(problem: BaseException, said: str) -> bool:
    """Return whether an error of those who look into a proof says no more than that it is none: a
    column or a driver cannot take it, or they stumble over what no proof of theirs looks like.

    Args:
        problem: what was raised.
        said: the token or key that a stranger has shown.
    """
    is_plain = said.isascii() and said.isprintable()
    return is_of_values(problem) or (isinstance(problem, ValueError) and not is_plain)


def _frames(traceback: TracebackType | None) -> Iterator[FrameType]:
    while traceback is not None:
        yield traceback.tb_frame
        traceback = traceback.tb_next
