"""Checks of bindings that depend on the present time: whether their rows can be followed."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

from django.core import checks
from django.core.checks import CheckMessage, Error
from django.db.models import QuerySet

from bindserver.bindings.binding import IMPORTED_AT, is_sent, model_of
from bindserver.bindings.refreshing import refresh_of
from bindserver.bindings.registry import BindingClass
from bindserver.conf import conf
from bindserver.database.no_database import unasked
from bindserver.queries.compiler import conditioned
from bindserver.queries.moments import moments_in
from bindserver.queries.python_time import (
    SAY_NOW,
    compared_with,
    names_clock,
    why_never_right,
)
from bindserver.queries.ticking import clock_of
from bindserver.user_code import apart

R = TypeVar("R")


def check_clock(binding: BindingClass) -> Iterator[CheckMessage]:
    """Check that a binding does not compare with the time at which it is asked, or declared."""
    found = _of_declaration(binding)
    if found is None and refresh_of(binding) is None and names_clock(binding):
        found = _asked(lambda: compared_with(binding()))
    if found is None:
        return
    problem = f"{why_never_right(binding.__name__, found)}"
    if is_sent(binding) or binding.hears_messages():
        yield Error(problem, hint=SAY_NOW, obj=binding, id="bindserver.E066")
    else:
        yield checks.Warning(problem, hint=SAY_NOW, obj=binding, id="bindserver.W066")


def check_now(binding: BindingClass) -> Iterator[CheckMessage]:
    """Check that it can be told when the present time will matter to a binding's rows."""
    if refresh_of(binding) is not None:
        return
    asks = binding.queryset is not None or names_clock(binding)
    queryset = _asked(lambda: conditioned(binding())) if asks else None
    why = "" if queryset is None else clock_of(queryset, "").unfollowed
    if why:
        yield checks.Warning(
            f"{binding.__name__} depends on the present time, and nobody can tell when it matters: "
            f"{why}. All rows are compared every {conf.COMPARE_SECONDS:g} s, and read for each "
            "who asks.",
            hint="Compare a moment of the row's own with Now(), plus or minus a fixed interval; or "
            "say in refresh_seconds how old rows may be.",
            obj=binding,
            id="bindserver.W067",
        )


def _asked(ask: Callable[[], R]) -> R | None:
    """Return what a binding says to nobody in particular, without a database; None where it needs
    one, or a user, or params."""
    try:
        with unasked():
            return apart(ask)
    except Exception:  # the project's code; when it is asked for somebody, that is told
        return None


def _of_declaration(binding: BindingClass) -> object:
    """Return a moment that a class body has from a clock; None if there is none."""
    rows: QuerySet[Any] = QuerySet(model_of(binding))
    declared = [binding.queryset if isinstance(binding.queryset, QuerySet) else rows]
    for name in ("filters", "excludes"):
        value = getattr(binding, name)
        if isinstance(value, dict):
            asked = _asked(partial(rows.filter, **value))
            declared += [] if asked is None else [asked]
    moments = [moment for queryset in declared for moment in moments_in(queryset)]
    return next(filter(_is_from_clock, moments), None)


def _is_from_clock(moment: Any) -> bool:
    """Return whether nobody can have written a moment, since it is of this process's life."""
    known = isinstance(moment, datetime.datetime) and moment.microsecond
    return bool(known) and IMPORTED_AT <= moment.timestamp() <= time.time()
