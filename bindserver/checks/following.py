"""Checks of how a binding says that it is followed: what stands behind it, how often it is read."""

from __future__ import annotations

from collections.abc import Iterator

from django.core.checks import CheckMessage, Error

from bindserver.bindings.refreshing import SAY_SECONDS, refresh_of
from bindserver.bindings.registry import BindingClass
from bindserver.exceptions import BindingError
from bindserver.queries.depends_on import SAY_MODELS, tables_behind


def check_depends_on(binding: BindingClass) -> Iterator[CheckMessage]:
    """Check that a binding names models on its own database as what stands behind it."""
    try:
        tables_behind(binding)
    except BindingError as problem:
        yield Error(str(problem), hint=SAY_MODELS, obj=binding, id="bindserver.E064")


def check_refresh(binding: BindingClass) -> Iterator[CheckMessage]:
    """Check that a binding says in seconds how often it is read."""
    try:
        refresh_of(binding)
    except BindingError as problem:
        yield Error(str(problem), hint=SAY_SECONDS, obj=binding, id="bindserver.E065")
