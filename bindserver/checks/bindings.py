"""Checks of bindings: what was declared, and cannot be served."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from channels.layers import get_channel_layer
from django.core import checks
from django.core.checks import CheckMessage, Error
from django.core.exceptions import FieldDoesNotExist, FieldError, ImproperlyConfigured
from django.db import NotSupportedError, connections
from django.db.models import CompositePrimaryKey, JSONField, Model, QuerySet
from django.db.models.constants import LOOKUP_SEP
from rest_framework import serializers
from rest_framework.permissions import OperandHolder, SingleOperandHolder
from rest_framework.settings import api_settings

from bindserver.bindings.binding import (
    SAY,
    UNSAID,
    Binding,
    alias_of,
    is_sent,
    model_of,
    plain_serializer,
)
from bindserver.bindings.importing import (
    REMEDY,
    Asked,
    all_asked,
    asked_for,
    is_preparing,
    load_views,
    problem_of,
)
from bindserver.bindings.params import RESERVED_NAMES, field_of
from bindserver.bindings.permissions import asks_about_objects
from bindserver.bindings.refreshing import SAY_SECONDS, refresh_of
from bindserver.bindings.registry import BindingClass, registry
from bindserver.checks.clock import check_clock, check_now
from bindserver.checks.rendering import (
    check_database,
    check_key,
    check_list,
    check_passwords,
    check_thread,
)
from bindserver.database import DATABASES
from bindserver.database.sessions import switcher_of
from bindserver.engine.protocol import MAX_EVENT_LENGTH, RESERVED_EVENTS
from bindserver.exceptions import BindingError
from bindserver.queries.behind import SAY_MODELS, tables_behind
from bindserver.queries.compiler import why_no_rows
from bindserver.user_code import apart

GROUP_NAME = re.compile(r"[a-zA-Z0-9\-_.]{1,99}")
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


def _asked_too_early(name: str, asked: Asked, obj: object) -> CheckMessage:
    problem = f"{name}: {problem_of(asked)}"
    if is_preparing():  # nobody may be kept from making the tables that were asked for
        return checks.Warning(problem, hint=REMEDY, obj=obj, id="bindserver.W022")
    return Error(problem, hint=REMEDY, obj=obj, id="bindserver.E022")


def _check_event(binding: BindingClass) -> Iterator[CheckMessage]:
    event: object = binding.event
    if event is None:
        return
    if (
        not isinstance(event, str)
        or not 0 < len(event) <= MAX_EVENT_LENGTH
        or event.startswith("$")
        or "/" in event
        or event in RESERVED_EVENTS
    ):
        yield Error(
            f"{binding.__name__}.event cannot be {event!r}.",
            hint='An event is a short name such as "products"; it has no slash, does not begin '
            'with "$", and is none of Socket.IO\'s own names.',
            obj=binding,
            id="bindserver.E003",
        )


def _check_model(binding: BindingClass) -> Iterator[CheckMessage]:
    own_queryset = "get_queryset" in vars(binding) and binding.model is None
    if binding.model is None and binding.queryset is None:
        hint = "Write `model = YourModel` in it."
        if own_queryset:
            hint = "Beside get_queryset(), write `model = YourModel` in it."
        yield Error(
            f"{binding.__name__} has no model.", hint=hint, obj=binding, id="bindserver.E004"
        )
    elif binding.model is not None and (problem := _why_no_model(binding.model)):
        yield Error(
            f"{binding.__name__}.model is {problem}.",
            hint="Write `model = YourModel`, the class itself.",
            obj=binding,
            id="bindserver.E004",
        )
    elif binding.queryset is not None and not isinstance(binding.queryset, QuerySet):
        yield Error(
            f"{binding.__name__}.queryset is no QuerySet.",
            hint="Write `queryset = YourModel.objects.all()`.",
            obj=binding,
            id="bindserver.E005",
        )
    elif binding.queryset is not None and (problem := why_no_rows(binding.queryset)):
        yield Error(
            f"{binding.__name__}.queryset is {problem}.",
            hint="Write `queryset = YourModel.objects.all()`; name the columns in `fields`.",
            obj=binding,
            id="bindserver.E051",
        )
    elif binding.queryset is not None and binding.queryset._result_cache is not None:
        yield Error(
            f"{binding.__name__}.queryset has been evaluated already.",
            hint="Iterating over it, len() and bool() read its rows; do that in a "
            "get_queryset() if you must.",
            obj=binding,
            id="bindserver.E023",
        )
    elif not _has_one_value(model_of(binding)._meta.pk):
        yield Error(
            f"{binding.__name__} serves a model whose primary key is no single value.",
            hint="A row is told apart by one key field that holds a number, a text, a UUID or the "
            "like; give the model one.",
            obj=binding,
            id="bindserver.E006",
        )


def _why_no_model(model: object) -> str:
    """Return what stands in a model's place, or nothing where it has a table."""
    if not (isinstance(model, type) and issubclass(model, Model)):
        return f"no model but {model!r}"
    return f"{model.__name__}, which is abstract" if model._meta.abstract else ""


def _has_one_value(pk: Any) -> bool:
    while pk.is_relation:
        pk = pk.target_field
    is_array = hasattr(pk, "base_field") and hasattr(pk, "size")  # its module wants the driver
    return not (isinstance(pk, CompositePrimaryKey | JSONField) or is_array)


def _check_serializer(binding: BindingClass) -> Iterator[CheckMessage]:
    if binding.fields is not None and binding.serializer_class is not None:
        yield Error(
            f"{binding.__name__} has both fields and a serializer_class.",
            hint="Keep one of them.",
            obj=binding,
            id="bindserver.E007",
        )
        return
    overridden = binding.get_serializer_class is not Binding.get_serializer_class
    if binding.fields is None and binding.serializer_class is None and not overridden:
        if is_sent(binding):
            yield Error(
                UNSAID.format(binding.__name__), hint=SAY, obj=binding, id="bindserver.E008"
            )
        return
    yield from _check_fields(binding)


def _check_fields(binding: BindingClass) -> Iterator[CheckMessage]:
    named = binding.fields is None or isinstance(binding.fields, list | tuple)
    if not named and binding.fields != "__all__":
        problem = f'{binding.__name__}.fields is a list of names, or "__all__".'
    else:
        problem = _serializer_problem(binding)
    if problem:
        yield Error(
            problem,
            hint="Name fields of the model, as in a DRF ModelSerializer.",
            obj=binding,
            id="bindserver.E009",
        )


def _serializer_problem(binding: BindingClass) -> str:
    """Return why a binding's serializer cannot be made, or nothing."""
    cls: Any = binding.serializer_class
    if cls is not None and not (
        isinstance(cls, type) and issubclass(cls, serializers.BaseSerializer)
    ):
        return f"{binding.__name__}.serializer_class is no DRF serializer."
    if binding.fields is None:
        return ""
    try:
        _ = plain_serializer(model_of(binding), binding.fields)().fields
    except (AssertionError, TypeError, ValueError, ImproperlyConfigured) as problem:
        # DRF goes on with the name of a class that we have made, and nobody has written.
        return f"{binding.__name__}.fields: {str(problem).partition(' in `')[0].rstrip('.')}."
    return ""


def _check_params(binding: BindingClass) -> Iterator[CheckMessage]:
    if not isinstance(binding.params, dict):
        yield Error(
            f"{binding.__name__}.params is a dict of names and fields.",
            hint='For example {"category": serializers.IntegerField(required=False)}.',
            obj=binding,
            id="bindserver.E010",
        )
        return
    for name, declared in binding.params.items():
        if name in RESERVED_NAMES:
            yield Error(
                f"{binding.__name__} has a param named {name!r}, which URLs use otherwise.",
                hint=f"None of these: {', '.join(sorted(RESERVED_NAMES))}.",
                obj=binding,
                id="bindserver.E011",
            )
        try:
            field_of(declared)
        except TypeError as problem:
            yield Error(
                f"{binding.__name__}.params[{name!r}]: {problem}.",
                hint='For example {"category": serializers.IntegerField(required=False)}.',
                obj=binding,
                id="bindserver.E012",
            )


def _check_query(binding: BindingClass) -> Iterator[CheckMessage]:
    """Check class-level lookups and ordering; methods run for subscribers only."""
    queryset = _rows_to_begin_with(binding)
    for name in ("filters", "excludes"):
        value = vars(binding).get(name)
        if value is None or callable(value) or isinstance(value, property):
            continue
        if not isinstance(value, dict):
            problem: object = "it is a dict of lookups, a method or a property"
        else:
            known = {key: item for key, item in value.items() if not _may_annotate(binding, key)}
            problem = _problem_of(partial(queryset.filter, **known))
        if problem:
            yield Error(
                f"{binding.__name__}.{name}: {problem}.",
                hint='For example {"active": True}.',
                obj=binding,
                id="bindserver.E013",
            )
    ordering: Any = binding.ordering
    if ordering is not None:
        items = [ordering] if isinstance(ordering, str) else list(ordering)
        items = [item for item in items if not _may_annotate(binding, item)]
        random = any(item in ("?", "-?") for item in items if isinstance(item, str))
        problem = (
            "a random order is no order"
            if random
            else _problem_of(lambda: str(queryset.order_by(*items).query))
        )
        if problem:
            yield Error(
                f"{binding.__name__}.ordering: {problem}.",
                hint='For example ["-created", "name"]; the key is added by itself.',
                obj=binding,
                id="bindserver.E014",
            )


def _rows_to_begin_with(binding: BindingClass) -> QuerySet[Any]:
    """Return a queryset to try lookups on. The manager of a model whose binding asks by a method of
    its own is not asked: it may refuse to answer outside of what that method does."""
    if binding.queryset is not None:
        return binding.queryset.all()
    if _asks_itself(binding):
        return QuerySet(model_of(binding))
    rows: QuerySet[Any] = model_of(binding)._default_manager.all()
    return rows


def _asks_itself(binding: BindingClass) -> bool:
    return binding.get_queryset is not Binding.get_queryset


def _may_annotate(binding: BindingClass, lookup: object) -> bool:
    """Return whether a lookup may begin with what a binding's `get_queryset` annotates."""
    if not _asks_itself(binding) or not isinstance(lookup, str) or lookup in ("?", "-?"):
        return False
    model = model_of(binding)
    first = lookup.lstrip("-").split(LOOKUP_SEP)[0]
    try:
        QuerySet[Any](model).query.names_to_path([first], model._meta)
    except FieldError:
        return True
    return False


def _problem_of(build: Callable[[], object]) -> str:
    try:
        build()
    except (FieldError, FieldDoesNotExist, NotSupportedError, TypeError, ValueError) as problem:
        return str(problem).rstrip(".")
    return ""


def _check_limits(binding: BindingClass) -> Iterator[CheckMessage]:
    for name in ("limit", "max_rows"):
        value: object = getattr(binding, name)
        if value is None or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
            continue
        yield Error(
            f"{binding.__name__}.{name} is a positive number of rows, not {value!r}.",
            obj=binding,
            id="bindserver.E015",
        )


def _check_refresh(binding: BindingClass) -> Iterator[CheckMessage]:
    try:
        refresh_of(binding)
    except BindingError as problem:
        yield Error(str(problem), hint=SAY_SECONDS, obj=binding, id="bindserver.E061")


def _check_depends_on(binding: BindingClass) -> Iterator[CheckMessage]:
    try:
        tables_behind(binding)
    except BindingError as problem:
        yield Error(str(problem), hint=SAY_MODELS, obj=binding, id="bindserver.E060")


def _check_using(binding: BindingClass) -> Iterator[CheckMessage]:
    alias = alias_of(binding)
    if alias in connections and connections[alias].vendor not in DATABASES:
        yield Error(
            f"{binding.__name__} is on {connections[alias].display_name}, which this version does "
            "not support.",
            hint=f"It supports {', '.join(sorted(DATABASES))}.",
            obj=binding,
            id="bindserver.E017",
        )
    if alias not in connections:
        yield Error(
            f"{binding.__name__}.using names no database: {binding.using!r}.",
            hint="Use an alias of DATABASES.",
            obj=binding,
            id="bindserver.E016",
        )


def _check_groups(binding: BindingClass) -> Iterator[CheckMessage]:
    """Check the channel-layer groups of a websocket view or a `WebsocketBinding`."""
    groups: Any = getattr(binding, "groups", ())
    group = getattr(binding, "group", None)
    if isinstance(groups, str) or not all(_names_group(name) for name in groups):
        yield Error(
            f"{binding.__name__}.groups cannot be {groups!r}.",
            hint='A list such as ["products"]: names of at most 99 letters, digits and "-_.".',
            obj=binding,
            id="bindserver.E030",
        )
    elif group is not None and not _names_group(group):
        yield Error(
            f"{binding.__name__}.group cannot be {group!r}.",
            hint='A name such as "products", of at most 99 letters, digits and "-_.".',
            obj=binding,
            id="bindserver.E030",
        )
    elif (groups or group) and get_channel_layer() is None:
        yield checks.Warning(
            f"{binding.__name__} has groups, and there is no channel layer to tell them.",
            hint="Set CHANNEL_LAYERS, or take the groups away.",
            obj=binding,
            id="bindserver.W030",
        )


def _names_group(name: object) -> bool:
    return isinstance(name, str) and GROUP_NAME.fullmatch(name) is not None


def _check_permissions(binding: BindingClass) -> Iterator[CheckMessage]:
    classes: object = binding.permission_classes
    if classes is None:
        classes = api_settings.DEFAULT_PERMISSION_CLASSES
    if not isinstance(classes, (list, tuple)) or not all(map(_is_permission, classes)):
        yield Error(
            f"{binding.__name__}.permission_classes is no list of permission classes.",
            hint="For example [IsAuthenticated], from rest_framework.permissions.",
            obj=binding,
            id="bindserver.E018",
        )
    elif binding.event is not None and asks_about_objects(classes):
        yield checks.Warning(
            f"{binding.__name__}: has_object_permission of a permission class filters no rows.",
            hint="Rows that a user may not see are left out by get_queryset().",
            obj=binding,
            id="bindserver.W002",
        )


def _is_permission(kind: object) -> bool:
    return isinstance(kind, (OperandHolder, SingleOperandHolder)) or (
        isinstance(kind, type) and hasattr(kind, "has_permission")
    )


def _check_session(binding: BindingClass) -> Iterator[CheckMessage]:
    """Check that all who are served read the same database: the server reads as nobody."""
    alias = alias_of(binding)
    if binding.event is None and not binding.hears_messages():
        return  # Python's alone, which asks the caller's own connection
    if switcher := switcher_of(alias):
        yield Error(
            f"{binding.__name__} is served from database {alias!r}, where the {switcher} switches "
            "schemas: subscribers would be sent the rows of the schema that the server is in, "
            "whoever they are.",
            hint="Take its event away, and use `.all()` or a viewset: they ask the connection of "
            "whoever calls. Or name in `using` another alias of DATABASES with Django's own "
            "backend, whose search_path is fixed: one for each schema that is to be served.",
            obj=binding,
            id="bindserver.E050",
        )


CHECKS: tuple[Check, ...] = (
    _check_import,
    _check_event,
    _check_model,
    _check_params,
    _check_serializer,
    _check_limits,
    _check_using,
    _check_depends_on,
    _check_refresh,
    _check_permissions,
    _check_query,
    _check_groups,
    _check_session,
    check_database,
    check_list,
    check_key,
    check_passwords,
    check_thread,
    check_clock,
    check_now,
)
