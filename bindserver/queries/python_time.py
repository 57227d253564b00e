"""Bindings that compare with the time at which they are asked, as Python knows it.

`filter(end__gt=timezone.now())` compiles to another argument each time: every subscriber would have
a view of their own, whose rows neither leave nor enter when time passes. It is told by asking twice
with another time on the clock.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterable
from functools import partial
from itertools import zip_longest
from typing import Any

from bindserver.bindings.ambient import names_of
from bindserver.bindings.binding import Binding
from bindserver.bindings.clock import clock_at
from bindserver.exceptions import BindingError
from bindserver.queries.compiler import conditioned
from bindserver.queries.moments import MOMENTS, moments_in
from bindserver.queries.query import Query

LATER = datetime.timedelta(days=1001, hours=5, seconds=7, microseconds=11).total_seconds()
"""So much later it is another year, day, hour and second."""

CLOCKS = frozenset({"Now", "localdate", "localtime", "now", "time", "today", "utcnow"})
"""How code names a clock, of Python's, Django's or the database's."""

SAY_NOW = (
    "Let the database compare with its own clock: `from django.db.models.functions import Now`, "
    "then `filter(end__gt=Now())` or `filter(start__lte=Now() + timedelta(hours=1))`. What cannot "
    "be written so wants `refresh_seconds = 30`, say."
)


def why_never_right(name: str, found: object) -> str:
    """Return what is wrong with a binding that compares with a moment of Python's clock."""
    return (
        f"{name} compares with the time at which it is asked ({found}): its rows would neither "
        "leave nor enter as time passes, and every subscriber would have a view of their own."
    )


def names_clock(binding: type[Binding[Any]]) -> bool:
    """Return whether a binding's code names a clock, itself or in what it calls by name."""
    return not CLOCKS.isdisjoint(names_of(binding))


def compared_with(binding: Binding[Any]) -> object:
    """Return a moment that a binding's queryset compares with for no other reason than that it is
    asked now; None if there is none.

    Raises:
        Exception: whatever the binding raises.
    """
    ask = partial(_moments_asked, binding)
    first = ask()
    if not first:
        return None
    with clock_at(time.time() + LATER):
        later = ask()
    for one, other in zip_longest(first, later):
        if one != other:
            return one if one is not None else other
    return _today(binding, first)


def demand_timeless(binding: Binding[Any], query: Query) -> None:
    """See that a binding does not compare with the time at which it is asked, unless it says how
    old its rows may be.

    Args:
        binding: the binding, in its context.
        query: what it has come to.

    Raises:
        BindingError: it does.
    """
    if query.refresh_seconds is not None or not _has_moments(query):
        return
    if (found := compared_with(binding)) is not None:
        raise BindingError(f"{why_never_right(type(binding).__name__, found)} {SAY_NOW}")


def _has_moments(query: Query) -> bool:
    return query.plan.has_moments or any(isinstance(one, MOMENTS) for one in query.slot)


def _moments_asked(binding: Binding[Any]) -> list[Any]:
    return moments_in(conditioned(binding.unasked()))


def _today(binding: Binding[Any], found: Iterable[Any]) -> object:
    """Return the present day, where code asks Python for it and no clock of Django's has a say."""
    if "today" not in names_of(type(binding)):
        return None
    today, given = datetime.date.today(), list(binding.params.values())  # noqa: DTZ011
    return next(
        (one for one in found if type(one) is datetime.date and one == today and one not in given),
        None,
    )
