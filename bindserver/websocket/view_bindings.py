"""The bindings that websocket views publish: each made of the binding that its view names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, cast

from django.db.models import Model, Q, QuerySet

from bindserver.bindings.binding import Binding, alias_of
from bindserver.bindings.registry import BindingClass
from bindserver.bindings.serializers import context_of
from bindserver.exceptions import BindingError
from bindserver.websocket.groups import tells


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewRequest:
    """What a view's `self.request` is: who subscribed, and with which params.

    Attributes:
        user: the subscriber, or an anonymous user.
        auth: how they proved it.
        params: the arguments, checked.
    """

    user: Any
    auth: Any
    params: dict[str, Any]


class Publisher(Protocol):
    """A view, as its binding knows it: see `views.BoundWebsocketView`."""

    event: ClassVar[str | None]
    binding: ClassVar[Binding[Any] | BindingClass | None]
    groups: ClassVar[Sequence[str]]
    permission_classes: ClassVar[Sequence[Any] | None]
    request: Any

    def get_binding(self) -> Binding[Any]:
        """Return the binding for `self.request`."""

    def message(self, action: str, payload: Any) -> None:
        """Hear of a change."""


class _Bound(Binding[Model]):
    """A view's binding as it is published. The view's messages are its own."""

    view: ClassVar[type[Publisher]]
    usual: ClassVar[type[Publisher]]
    fixed: ClassVar[dict[str, Any]] = {}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if self.fixed:
            self.params = dict(self.fixed)

    def _view(self) -> Publisher:
        view = self.view()
        view.request = ViewRequest(user=self.user, auth=self.auth, params=self.params)
        return view

    def get_permissions(self) -> list[Any]:
        """Return the view's permissions, and those that the binding itself demands."""
        classes, bound = self.view.permission_classes, super().get_permissions
        if classes is None:
            return bound()
        own = [permission() for permission in classes]
        usual = self.permission_classes is None and _is_usual(bound)
        return own if usual else [*own, *bound()]

    def message(self, action: str, payload: Any) -> None:
        self._view().message(action, payload)

    @classmethod
    def hears_messages(cls) -> bool:
        return "view" in vars(cls) and tells(cls.view, cls.usual)


def _is_usual(get_permissions: Any) -> bool:
    return get_permissions.__func__ is Binding.get_permissions


class _Own:
    """An attribute that the class declares, and that an instance has from `get_binding()`."""

    def __init__(self, name: str, declared: Any) -> None:
        self._name = name
        self._declared = declared

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self._declared if instance is None else getattr(instance.inner, self._name)


class _Chosen(_Bound):
    """A binding that the view chooses anew for each subscriber, in `get_binding()`."""

    @property
    def inner(self) -> Binding[Any]:
        """The chosen binding, in the subscriber's context where it has none of its own."""
        chosen = self._view().get_binding()
        if not isinstance(chosen, Binding):
            raise BindingError(f"{self.view.__name__}.get_binding() returns a binding.")
        if alias_of(chosen) != alias_of(type(self)):
            raise BindingError(
                f"{self.view.__name__}.get_binding() returns a binding of another database."
            )
        inner = chosen.unasked()  # it may be everybody's
        if getattr(inner.user, "is_anonymous", False):
            inner.user, inner.auth = self.user, self.auth
        if not inner.params:
            inner.params = self.params
        return inner

    def get_permissions(self) -> list[Any]:
        """Return the permissions of the one that is declared, and of the one that is chosen."""
        declared, inner = super().get_permissions(), self.inner
        usual = inner.permission_classes is None and _is_usual(inner.get_permissions)
        return declared if usual else [*declared, *inner.get_permissions()]

    def get_queryset(self) -> QuerySet[Any]:
        return self.inner.get_queryset()

    def get_q(self) -> Q:
        return self.inner.get_q()

    def get_window(self) -> tuple[int | None, int]:
        return self.inner.get_window()

    def conditions(self, name: str) -> Any:
        return self.inner.conditions(name)

    def get_serializer_class(self) -> Any:
        return self.inner.get_serializer_class()

    def get_serializer_context(self) -> Any:
        return context_of(self.inner)


CHOSEN = ("ordering", "limit", "max_rows")


def publish(view: type[Publisher], usual: type[Publisher]) -> BindingClass | None:
    """Return the binding that is served for a view; None for one that is only a base of others.

    Args:
        view: the view's class.
        usual: the class that views derive from, by which to see what one overrides.

    Raises:
        BindingError: its binding is none, or cannot be published.
    """
    declared = view.binding
    if declared is None:
        return None
    kind = declared if isinstance(declared, type) else type(declared)
    if not issubclass(kind, Binding):
        raise BindingError(f"{view.__name__}.binding is a binding, such as `ProductBinding()`.")
    if view.event is None and kind.event is not None and _adds_nothing(view, usual):
        return kind  # it is published by itself
    event = view.event or kind.event
    if event is None:
        return None
    namespace: dict[str, Any] = {}
    if isinstance(declared, Binding):
        namespace = _declared_for(view, declared)
    namespace |= {"event": event, "view": view, "usual": usual, "groups": view.groups}
    namespace |= {
        "__doc__": view.__doc__,
        "__module__": view.__module__,
        "__qualname__": view.__qualname__,
    }
    base: type[Binding[Any]] = _Bound
    if view.get_binding is not usual.get_binding:
        base = _Chosen
        owns = {name: namespace.get(name, getattr(kind, name)) for name in CHOSEN}
        namespace |= {name: _Own(name, declared) for name, declared in owns.items()}
    return cast(BindingClass, type(view.__name__, (base, kind), namespace))


def _adds_nothing(view: type[Publisher], usual: type[Publisher]) -> bool:
    same = all(
        getattr(view, name) is getattr(usual, name)
        for name in ("get_binding", "get_user_group", "message", "serialize_message")
    )
    declared = view.binding
    own = isinstance(declared, Binding) and (declared.params or declared.own_attributes())
    return same and not view.groups and not own and view.permission_classes is None


def _declared_for(view: type[Publisher], declared: Binding[Any]) -> dict[str, Any]:
    """Return the attributes that an instance has beside its class's."""
    if not getattr(declared.user, "is_anonymous", False):
        raise BindingError(
            f"{view.__name__}.binding has a user; each subscriber brings their own. "
            "For another, override get_binding()."
        )
    own = declared.own_attributes()
    if declared.params:  # given once and for all: subscribers have none to give
        own |= {"fixed": dict(declared.params), "params": {}}
    return own
