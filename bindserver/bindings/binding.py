"""`Binding`: a named queryset with a serializer, as a Django team declares it."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self, TypeVar

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Model, Q, QuerySet
from rest_framework import serializers
from rest_framework.settings import api_settings

from bindserver.bindings import params as params_room
from bindserver.bindings.binding_context import CONTEXT, RefusedRequest, copied_unasked, remembered
from bindserver.bindings.columns import has_dicts, is_said, names_in, serializer_for
from bindserver.bindings.live_rows import LiveRows
from bindserver.bindings.model_serializers import every_field, plain_serializer
from bindserver.exceptions import BindingError

M = TypeVar("M", bound=Model)

IMPORTED_AT = time.time()
"""What the body of a binding has from a clock is later, in seconds since 1970."""

DECLARED = frozenset(
    {
        "aggregate",
        "depends_on",
        "event",
        "excludes",
        "fields",
        "filters",
        "limit",
        "max_rows",
        "ordering",
        "queryset",
        "refresh_seconds",
        "serializer_class",
        "using",
    }
)
"""What `Binding(model=..., ...)` may declare beside the model, in place of a subclass."""

UNSAID = "{} has an event or a group, and does not say which fields it publishes."
SAY = (
    'Write `fields = ["id", "name"]` or a serializer_class; "__all__" is allowed and must be '
    "written out."
)
"""What is wrong with a binding that would send every column, and what to write."""


class Binding(LiveRows[M]):
    """A named queryset with a serializer.

    Subclass it in an app's `bindings.py`. With an `event` it is published to subscribers; without,
    it is Python's alone. One instance has one context, like a DRF view: `self.user`, `self.auth`
    and `self.params`. In Python it is a live cache: `.all()` answers from memory, and reads only
    what changed since.

    `Binding(model=Product, filters={"active": True})` is one without a subclass.

    Attributes:
        model: the model whose rows it serves.
        event: its name on the wire.
        fields: names of model fields to serve, or "__all__"; or else a serializer_class.
        serializer_class: a DRF serializer.
        aggregate: has one row in place of all, as `queryset.aggregate()` has: a dict of names and
            expressions, a method or a property.
        filters: lookups that rows must match: a dict, a method or a property.
        excludes: lookups that rows must not match, in the same forms.
        queryset: where to begin, in place of the model's default manager.
        ordering: names of fields as `order_by` takes them; the key is always added.
        limit: serve only the first so many rows; params called `limit` and `offset` let
            subscribers choose.
        max_rows: refuse to serve more rows than this; None for the setting MAX_ROWS.
        params: named arguments: serializer fields, or int, str, bool for ones that must be given.
        using: the database's alias; None for "default".
        depends_on: models whose rows it reads in a way that its SQL does not show, as those that
            stand behind a database view do: classes, or texts such as "app.Model".
        refresh_seconds: read the rows whole at least so often while somebody wants them, for what
            cannot be followed; None where all can.
        permission_classes: DRF's permission classes, which decide who may subscribe; None for
            DRF's setting. Python code is not asked.
        request: None says that rows and serializer are right without a request.
        given_params: the arguments as they were given: their form on the wire may say less.

    Args:
        user: who it is for; None for an anonymous user.
        auth: how the user proved it, as DRF's `request.auth`.
        params: the arguments, not checked yet.
        model: the model, in place of the class's own.
        declared: the same for any other of the attributes above but `params`.

    Raises:
        InvalidParams: the params are not what it takes.
        TypeError: `declared` names something else.
    """

    model: ClassVar[type[Model] | None] = None
    event: ClassVar[str | None] = None
    fields: ClassVar[Sequence[str] | str | None] = None
    serializer_class: ClassVar[type[serializers.BaseSerializer[Any]] | None] = None
    aggregate: ClassVar[Any] = None
    filters: ClassVar[Any] = None
    excludes: ClassVar[Any] = None
    queryset: ClassVar[QuerySet[Any] | None] = None
    ordering: ClassVar[Sequence[Any] | str | None] = None
    limit: ClassVar[int | None] = None
    max_rows: ClassVar[int | None] = None
    params: Any = {}
    using: ClassVar[str | None] = None
    depends_on: ClassVar[Sequence[type[Model] | str] | None] = None
    refresh_seconds: ClassVar[float | None] = None
    permission_classes: ClassVar[Sequence[Any] | None] = None
    request: ClassVar[Any] = RefusedRequest()

    _subclassed: ClassVar[list[Callable[[type[Binding[Any]]], None]]] = []

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for hear in Binding._subclassed:
            hear(cls)

    def __init__(
        self,
        *,
        user: Any = None,
        auth: Any = None,
        params: Mapping[str, Any] | None = None,
        model: type[M] | None = None,
        **declared: Any,
    ) -> None:
        if unknown := sorted(declared.keys() - DECLARED):
            raise TypeError(
                f"{type(self).__name__}() takes no {', '.join(unknown)}; "
                f"it takes user, auth, params, model, {', '.join(sorted(DECLARED))}."
            )
        if model is not None:
            declared["model"] = model
        vars(self).update(declared)
        self._user = user
        self.auth: Any = auth
        self.given_params: dict[str, Any] = dict(params or {})
        self.params, self.wire_params = params_room.validate(type(self).params, self.given_params)

    @property
    def user(self) -> Any:
        """Who it is for; an anonymous user where nobody was named."""
        if self._user is None:
            # Models cannot be imported while apps are still being loaded, and we are.
            from django.contrib.auth.models import AnonymousUser

            self._user = AnonymousUser()
        return self._user

    @user.setter
    def user(self, user: Any) -> None:
        self._user = user

    def seen_by(self, user: Any) -> Self:
        """Return the same binding in the context of another user."""
        twin = copy.copy(self)
        for name in remembered(self):
            del vars(twin)[name]
        twin.user = user
        return twin

    def unasked(self) -> Self:
        """Return the same binding in the same context, as it was before it was asked anything:
        what its user, its `auth` and its cached properties come to remember, this one does not
        know."""
        twin = self.seen_by(copied_unasked(self.user))
        twin.auth = copied_unasked(self.auth)
        return twin

    def is_plain(self) -> bool:
        """Return whether class and context say all there is to know of this instance."""
        return not self.own_attributes()

    def own_attributes(self) -> dict[str, Any]:
        """Return the attributes that this instance has of its own, beside its class's."""
        if vars(self).keys() <= CONTEXT:
            return {}  # as of nearly all, and each is asked several times
        passing = CONTEXT | remembered(self)
        return {name: value for name, value in vars(self).items() if name not in passing}

    def message(self, action: str, payload: Any) -> None:
        """Hear what a subscriber would: called after each cycle, once for each change.

        Override it, and the server keeps the binding live, in the context of nobody and without
        params, and calls this on a thread of its own. With several server processes, each calls it.

        Args:
            action: "sync" first, then "create", "update" or "delete".
            payload: the rows, the row, or what is left of it: its key.
        """

    @classmethod
    def hears_messages(cls) -> bool:
        """Return whether it is kept live for `message`: by default where that is overridden."""
        return cls.message is not Binding.message

    # What it declares.

    def get_queryset(self) -> QuerySet[Any]:
        """Return the rows to begin with; filters, excludes, `get_q` and ordering come after.

        What it reads from the database is watched: when that changes, it is asked again.
        """
        if self.queryset is not None:
            return self.queryset.all()
        return self.get_model()._default_manager.all()

    def get_q(self) -> Q:
        """Return a further condition; by default none."""
        return Q()

    def get_window(self) -> tuple[int | None, int]:
        """Return how many rows are served, None for all of them, and how many are left out before
        these.

        By default, what the params `limit` and `offset` say, where the binding takes them, and
        `limit` where not.
        """
        limit = self.params.get("limit")
        return self.limit if limit is None else limit, self.params.get("offset") or 0

    def get_serializer_context(self) -> dict[str, Any]:
        """Return what the serializer gets as its context: there is no request.

        It is a part of the view's identity: views are shared by those whose contexts are equal, by
        type and content. A value that is neither plain data nor a model instance is equal to
        nothing but itself. Put the user here if, and only if, rows render differently for
        different users.
        """
        return {}

    def get_permissions(self) -> list[Any]:
        """Return the permissions that a subscriber must have, as a DRF view does.

        What they read from the database is watched: when that changes, they are asked again.
        """
        classes: Any = self.permission_classes
        if classes is None:
            classes = api_settings.DEFAULT_PERMISSION_CLASSES
        return [permission() for permission in classes]

    def get_serializer_class(self) -> type[serializers.BaseSerializer[Any]]:
        """Return the serializer: the class's own, or one made from `fields`.

        Where nothing is said, Python gets every field, and nobody else anything.

        Raises:
            BindingError: it is sent to others, and does not say which fields.
        """
        if self.serializer_class is not None:
            return self.serializer_class
        if (declared := declared_columns(self)) is not None:
            return serializer_for(declared[0], self.fields, said=declared[1])
        if self.fields is not None:
            return plain_serializer(self.get_model(), self.fields)
        if is_sent(self):
            raise BindingError(f"{UNSAID.format(type(self).__name__)} {SAY}")
        return every_field(self.get_model())

    def get_model(self) -> type[M]:
        """Return the model, the queryset's where none is named.

        Raises:
            BindingError: neither is there.
        """
        model: type[M] = model_of(self)
        return model

    def conditions(self, name: str) -> Mapping[str, Any]:
        """Return `filters`, `excludes` or `aggregate`, called where it is a method.

        Raises:
            BindingError: it is no mapping.
        """
        value = getattr(self, name)
        if callable(value):
            value = value()
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            what = "names and expressions" if name == "aggregate" else "lookups"
            raise BindingError(f"{type(self).__name__}.{name} is a dict of {what}.")
        return value


def named_user(binding: Binding[Any]) -> Any:
    """Return who was named as a binding's user; None for nobody, of whom nobody can know more."""
    return binding._user


def model_of(binding: Binding[Any] | type[Binding[Any]]) -> type[Any]:
    """Return the model of a binding, or of a class of bindings.

    Raises:
        BindingError: it names neither a model nor a queryset.
    """
    if binding.model is not None:
        return binding.model
    if binding.queryset is not None:
        return binding.queryset.model
    name = (binding if isinstance(binding, type) else type(binding)).__name__
    raise BindingError(f"{name} has no model; write `model = YourModel` in it.")


def declared_columns(
    binding: Binding[Any] | type[Binding[Any]],
) -> tuple[Sequence[str], bool] | None:
    """Return the names of the columns that a binding's rows have, as its class says, and whether
    somebody has named them; None for one of model instances, or one that only a method tells of."""
    if isinstance(binding.aggregate, Mapping):
        return tuple(binding.aggregate), True
    queryset = binding.queryset
    if binding.aggregate is not None or queryset is None or not has_dicts(queryset):
        return None
    return names_in(queryset), is_said(queryset)


def alias_of(binding: Binding[Any] | type[Binding[Any]]) -> str:
    """Return the alias of the database that a binding, or a class of bindings, is on."""
    return binding.using or DEFAULT_DB_ALIAS


def is_sent(binding: Binding[Any] | type[Binding[Any]]) -> bool:
    """Return whether others than Python code are sent a binding's rows: subscribers or groups."""
    return (
        binding.event is not None
        or bool(getattr(binding, "groups", ()))
        or bool(getattr(binding, "group", None))
    )
