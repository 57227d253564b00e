"""What a thread has set that changes how values are written: language, time zone, decimals."""

from __future__ import annotations

import asyncio
import decimal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from datetime import tzinfo
from typing import NamedTuple, TypeVar

from django.conf import settings
from django.utils import timezone, translation

from bindserver.exceptions import BindingError

R = TypeVar("R")


@contextmanager
def contained() -> Iterator[None]:
    """Run a project's code, and take its wish to end the thread for a failure: the thread is ours,
    and works for all.

    Raises:
        BindingError: the code has called `sys.exit()`, or says that it was cancelled.
    """
    try:
        yield
    except (SystemExit, asyncio.CancelledError) as problem:
        raise BindingError(
            f"A binding's code has raised {type(problem).__name__}, which ends threads; raise an "
            "Exception in its place."
        ) from problem


def apart(work: Callable[[], R]) -> R:
    """Run a project's code by itself: in LANGUAGE_CODE and TIME_ZONE, and as a new thread does
    arithmetic.

    What the code sets ends with it, as with a request, also in context variables, where libraries
    keep a tenant or a scope: the next that runs in this thread does not inherit it.

    Raises:
        BindingError: the code wants to end the thread.
        Exception: whatever it raises.
    """
    return copy_context().run(_in_neutral, work)


def _in_neutral(work: Callable[[], R]) -> R:
    with neutral():
        return work()


@contextmanager
def neutral() -> Iterator[None]:
    """Run a block in LANGUAGE_CODE and TIME_ZONE, and as a new thread does arithmetic; these end
    with it, and other context variables do not."""
    with (
        translation.override(settings.LANGUAGE_CODE),
        timezone.override(None),
        decimal.localcontext(decimal.DefaultContext),
        contained(),
    ):
        yield


class Surroundings(NamedTuple):
    """The language and the time zone of a thread: what one part of a binding has set holds for the
    others, as within a request, whenever these run.

    Attributes:
        language: the language; None where translations are off.
        zone: the time zone.
    """

    language: str | None
    zone: tzinfo

    @classmethod
    def now(cls) -> Surroundings:
        """Return those of this thread."""
        return cls(translation.get_language(), timezone.get_current_timezone())

    @contextmanager
    def around(self) -> Iterator[None]:
        """Run a project's code in these; what it sets itself ends with the block."""
        with translation.override(self.language), timezone.override(self.zone):
            yield
