"""Checks of bindings: what was declared, and cannot be served."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from django.core import checks
from django.core.checks import CheckMessage, Error

from bindserver.bindings.importing import (
    REMEDY,
    ImportQuery,
    all_asked,
    asked_for,
    is_preparing,
    load_views,
    problem_of,
)
from bindserver.bindings.registry import BindingClass, registry
from bindserver.checks.audience import check_event, check_groups, check_permissions, check_session
from bindserver.checks.clock import check_clock, check_now
from bindserver.checks.columns import (
    check_aggregate,
    check_columns,
    check_sources,
    check_union,
)
from bindserver.checks.following import check_depends_on, check_refresh
from bindserver.checks.querysets import (
    check_limits,
    check_model,
    check_query,
    check_using,
    check_window,
)
from bindserver.checks.rendering import (
    check_database,
    check_key,
    check_list,
    check_passwords,
    check_thread,
)
from bindserver.checks.serializers import check_params, check_serializer
from bindserver.user_code import apart

OF_VIEWS = frozenset(f"bindserver.{name}" for name in ("E003", "E018", "E030", "W002", "W030"))
"""What may be wrong with a websocket view itself, and not with the binding that it names."""
Check = Callable[[BindingClass], Iterator[CheckMessage]]


def check_bindings(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """Check every binding, those of the urlconf's views among them."""
    load_views()
    found: list[CheckMessage] = []
    for binding in registry.all():
        found.extend(problems_of(binding))
    seen: list[object] = []
    for binding in registry.published():
        if binding.event in seen:
            found.extend(twins_of(binding, registry.published()))
        seen.append(binding.event)
    return [*found, *_unheard({str(message.msg) for message in found})]


def _unheard(told: set[str]) -> Iterator[CheckMessage]:
    """Tell of modules that asked the database, and whose bindings do not tell of it themselves."""
    for asked in all_asked():
        if not any(asked.place in text for text in told):
            yield _asked_too_early(asked.module, asked, asked.module)


def problems_of(binding: BindingClass) -> list[CheckMessage]:
    """Return what is wrong with a binding by itself; of its errors the first alone."""
    found: list[CheckMessage] = []
    for check in CHECKS:
        try:
            # What making a serializer does to this thread must not stay.
            apart(partial(found.extend, check(binding)))
        except Exception as problem:  # the project's own code; it must harm no other binding
            found.append(
                Error(
                    f"{binding.__name__} cannot be checked: {problem!r}.",
                    hint="What is declared in a class is looked at without a subscriber: see that "
                    "it raises nothing.",
                    obj=binding,
                    id="bindserver.E019",
                )
            )
        if any(message.level >= checks.ERROR for message in found):
            break  # what comes after builds on what failed
    _say_where(binding, found)
    return found


def _say_where(binding: BindingClass, found: Sequence[CheckMessage]) -> None:
    """Have what is wrong with a websocket view's binding mended there, and not in the view."""
    view = vars(binding).get("view")
    if view is None:
        return
    declared = view.binding if isinstance(view.binding, type) else type(view.binding)
    for message in found:
        if message.id not in OF_VIEWS:
            message.hint = (
                f"{message.hint} That belongs into {declared.__name__}, the view's binding."
            )


def twins_of(binding: BindingClass, published: Sequence[BindingClass]) -> Sequence[CheckMessage]:
    """Return what is wrong where another binding has the same event: neither can be meant."""
    if binding.event is None:
        return []
    return [
        Error(
            f"{' and '.join(_told_apart(binding, other))} have the same event {binding.event!r}.",
            hint="Give one of them another event.",
            obj=binding,
            id="bindserver.E002",
        )
        for other in published
        if other.event == binding.event and other is not binding
    ][:1]


def _told_apart(*bindings: BindingClass) -> list[str]:
    """Return the names of bindings, with their modules where one name is several's."""
    names = [binding.__name__ for binding in bindings]
    if len(set(names)) == len(names):
        return names
    return [f"{binding.__module__}.{binding.__qualname__}" for binding in bindings]


def _check_import(binding: BindingClass) -> Iterator[CheckMessage]:
    asked = asked_for(binding)
    if asked is not None:
        yield _asked_too_early(binding.__name__, asked, binding)


def _asked_too_early(name: str, asked: ImportQuery, obj: object) -> CheckMessage:
    problem = f"{name}: {problem_of(asked)}"
    if is_preparing():  # nobody may be kept from making the tables that were asked for
        return checks.Warning(problem, hint=REMEDY, obj=obj, id="bindserver.W022")
    return Error(problem, hint=REMEDY, obj=obj, id="bindserver.E022")


CHECKS: tuple[Check, ...] = (
    _check_import,
    check_event,
    check_model,
    check_params,
    check_serializer,
    check_limits,
    check_window,
    check_using,
    check_depends_on,
    check_refresh,
    check_permissions,
    check_query,
    check_groups,
    check_session,
    check_database,
    check_union,
    check_aggregate,
    check_columns,
    check_sources,
    check_list,
    check_key,
    check_passwords,
    check_thread,
    check_clock,
    check_now,
)
