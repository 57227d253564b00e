"""How often a binding is read whole by itself: its `refresh_seconds`."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bindserver.bindings.binding import Binding
from bindserver.bindings.clock import clock_at
from bindserver.exceptions import BindingError

LEAST_SECONDS = 1.0
"""What is to be newer than that is to be followed, and not read again and again."""

SAY_SECONDS = "For example `refresh_seconds = 30`: the rows are then never older than that."


ASKED = ("get_queryset", "get_q", "filters", "excludes", "get_serializer_context")
"""By what code of its own a binding may say its rows."""


def asks_code(kind: type[Binding[Any]]) -> bool:
    """Return whether code of the project says what a binding's rows are, so that it may say
    something else the next time."""
    return any(
        getattr(kind, name) is not getattr(Binding, name)
        and not isinstance(getattr(kind, name), dict)
        for name in ASKED
    )


def refresh_of(binding: Binding[Any] | type[Binding[Any]]) -> float | None:
    """Return after how many seconds a binding's rows are to be read whole, changed or not; None
    where it leaves that to what it depends on.

    Raises:
        BindingError: it says something else.
    """
    said: object = binding.refresh_seconds
    if said is None:
        return None
    number = said if isinstance(said, (int, float)) and not isinstance(said, bool) else 0
    if not LEAST_SECONDS <= number < math.inf:
        name = (binding if isinstance(binding, type) else type(binding)).__name__
        raise BindingError(
            f"{name}.refresh_seconds is a number of seconds, {LEAST_SECONDS:g} at least, not "
            f"{said!r}."
        )
    return float(number)


@contextmanager
def clock_of_period(binding: Binding[Any]) -> Iterator[float]:
    """Ask a binding as if it were the beginning of the present period of `refresh_seconds`, by
    Django's clock: all who ask in that period are told the same, and can share a view.

    Yields:
        Until when what it says is as new as it must be, on the monotonic clock.

    Raises:
        BindingError: as for `refresh_of`.
    """
    seconds = refresh_of(binding)
    if seconds is None or not asks_code(type(binding)):
        yield math.inf
        return
    now, ticking = time.time(), time.monotonic()
    begun = now - now % seconds
    with clock_at(begun):
        yield ticking + begun + seconds - now
