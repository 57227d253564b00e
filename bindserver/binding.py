"""`Binding`: a named queryset with a serializer, as a Django team declares it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from django.db.models import Model, Q, QuerySet
from rest_framework import serializers

from bindserver import params as params_room
from bindserver.exceptions import BindingError

M = TypeVar("M", bound=Model)


class Binding(Generic[M]):
    """A named queryset with a serializer.

    Subclass it in an app's `bindings.py`. With an `event` it is published to subscribers; without,
    it is Python's alone. One instance has one context, like a DRF view: `self.user`, `self.auth`
    and `self.params`.

    Attributes:
        model: the model whose rows it serves.
        event: its name on the wire.
        fields: names of model fields to serve, or "__all__"; or else a serializer_class.
        serializer_class: a DRF serializer.
        filters: lookups that rows must match: a dict, a method or a property.
        excludes: lookups that rows must not match, in the same forms.
        queryset: where to begin, in place of the model's default manager.
        ordering: names of fields as `order_by` takes them; the key is always added.
        limit: serve only the first so many rows.
        max_rows: refuse to serve more rows than this; None for the setting MAX_ROWS.
        params: named arguments: serializer fields, or int, str, bool for ones that must be given.
        using: the database's alias; None for "default".

    Args:
        user: who it is for; None for an anonymous user.
        auth: how the user proved it, as DRF's `request.auth`.
        params: the arguments, not checked yet.

    Raises:
        InvalidParams: the params are not what it takes.
    """

    model: ClassVar[type[Model] | None] = None
    event: ClassVar[str | None] = None
    fields: ClassVar[Sequence[str] | str | None] = None
    serializer_class: ClassVar[type[serializers.BaseSerializer[Any]] | None] = None
    filters: ClassVar[Any] = None
    excludes: ClassVar[Any] = None
    queryset: ClassVar[QuerySet[Any] | None] = None
    ordering: ClassVar[Sequence[Any] | str | None] = None
    limit: ClassVar[int | None] = None
    max_rows: ClassVar[int | None] = None
    params: Any = {}
    using: ClassVar[str | None] = None

    _subclassed: ClassVar[list[Callable[[type[Binding[Any]]], None]]] = []

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for hear in Binding._subclassed:
            hear(cls)

    def __init__(
        self, *, user: Any = None, auth: Any = None, params: Mapping[str, Any] | None = None
    ) -> None:
        if user is None:
            # Models cannot be imported while apps are still being loaded, and we are.
            from django.contrib.auth.models import AnonymousUser

            user = AnonymousUser()
        self.user: Any = user
        self.auth: Any = auth
        self.params, self.wire_params = params_room.validate(type(self).params, params or {})

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

    def get_serializer_context(self) -> dict[str, Any]:
        """Return what the serializer gets as its context: there is no request.

        It is a part of the view's identity, so only plain values and model instances may be in it.
        Put the user here if, and only if, rows render differently for different users.
        """
        return {}

    def get_serializer_class(self) -> type[serializers.BaseSerializer[Any]]:
        """Return the serializer: the class's own, or one made from `fields`."""
        if self.serializer_class is not None:
            return self.serializer_class
        return plain_serializer(self.get_model(), self.fields or "__all__")

    @classmethod
    def get_model(cls) -> type[Model]:
        """Return the model, the queryset's where none is named.

        Raises:
            BindingError: neither is there.
        """
        if cls.model is not None:
            return cls.model
        if cls.queryset is not None:
            return cls.queryset.model
        raise BindingError(f"{cls.__name__} has no model; write `model = YourModel` in it.")

    def conditions(self, name: str) -> Mapping[str, Any]:
        """Return `filters` or `excludes`, called where it is a method.

        Raises:
            BindingError: it is no mapping.
        """
        value = getattr(self, name)
        if callable(value):
            value = value()
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise BindingError(f"{type(self).__name__}.{name} is a dict of lookups.")
        return value


def plain_serializer(
    model: type[Model], fields: Sequence[str] | str
) -> type[serializers.ModelSerializer[Any]]:
    """Return a `ModelSerializer` of the model's named fields, or of "__all__"."""
    meta = type("Meta", (), {"model": model, "fields": fields})
    return type(f"{model.__name__}Row", (serializers.ModelSerializer,), {"Meta": meta})
