"""The original's websocket views: `BoundWebsocketView` and `WebsocketBinding`.

    class ProductWebsocketView(BoundWebsocketView):
        event = "products"
        binding = ProductBinding()
        groups = ["products"]

    urlpatterns = [re_path(r"^products", ProductWebsocketView.as_view())]

A view publishes a binding of its own, made of the one that it names: its event is served like any
other's. Whoever wants to hear of its changes in code joins one of its channel-layer groups.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar, cast

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.generic import View

from bindserver.binding import Binding, M
from bindserver.conf import conf
from bindserver.exceptions import BindingError
from bindserver.groups import send_to_groups
from bindserver.registry import BindingClass

logger = logging.getLogger("bindserver")

CONTEXT = frozenset({"user", "_user", "auth", "params", "wire_params"})
"""What an instance of a binding has of its context; all else was declared for it."""


class WebsocketBinding(Binding[M]):
    """A binding whose changes channel-layer groups hear, too.

    Attributes:
        groups: the names of the groups. They are told what nobody in particular may see, the rows
            of an anonymous user; who may join a group is for the consumers that do.
        group: the same for one group.
    """

    groups: Sequence[str] = ()
    group: str | None = None

    def get_user_group(self) -> str | None:
        """Return the group that hears it beside `groups`; by default `group`."""
        return self.group

    def serialize_message(self, action: str, payload: Any) -> Any:
        """Return what the groups get as a change's payload; by default the payload."""
        return payload

    def message(self, action: str, payload: Any) -> None:
        """Tell the groups of a change.

        Args:
            action: "sync" first, then "create", "update" or "delete".
            payload: the rows, the row, or what is left of it: its key.
        """
        tell_groups(self, self.event or "", action, payload)

    @classmethod
    def hears_messages(cls) -> bool:
        """Tell whether it is kept live for `message`: where it has groups, or an override."""
        return _tells(cls, WebsocketBinding) or bool(cls.group)


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """What a view's `self.request` is: who subscribed, and with which params.

    Attributes:
        user: the subscriber, or an anonymous user.
        auth: how they proved it.
        params: the arguments, checked.
    """

    user: Any
    auth: Any
    params: dict[str, Any]


class BoundWebsocketView(View):
    """Publishes a binding under an event, from a urlconf.

    Over HTTP it answers where WebSockets connect. In a Channels `URLRouter` it serves WebSockets.

    Attributes:
        event: the event; None for the binding's own.
        binding: the binding, an instance or its class.
        groups: channel-layer groups that hear its changes, too: those that an anonymous user would
            be sent. They are no permission.
        permission_classes: DRF's permission classes, asked beside the binding's own.
        published: the binding that is served.
    """

    event: ClassVar[str | None] = None
    binding: ClassVar[Binding[Any] | BindingClass | None] = None
    groups: ClassVar[Sequence[str]] = ()
    permission_classes: ClassVar[Sequence[Any] | None] = None
    published: ClassVar[BindingClass | None] = None
    request: Any

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.published = _publish(cls)

    # What may be overridden.

    def get_binding(self) -> Binding[Any]:
        """Return the binding for `self.request`, a `Connection`: by default `binding`.

        It may read the database; when what it has read changes, it is asked again. It stays on
        `binding`'s database, and takes `binding`'s params.
        """
        binding = self.binding
        if binding is None:
            raise ImproperlyConfigured(f"{type(self).__name__} has no binding.")
        return binding(params=self.request.params) if isinstance(binding, type) else binding

    def get_user_group(self) -> str | None:
        """Return the group that hears it beside `groups`; by default the first of them."""
        return self.groups[0] if self.groups else None

    def serialize_message(self, action: str, payload: Any) -> Any:
        """Return what the groups get as a change's payload; by default the payload."""
        return payload

    def message(self, action: str, payload: Any) -> None:
        """Tell the groups of a change; called after each cycle, on a thread of its own.

        Args:
            action: "sync" first, then "create", "update" or "delete".
            payload: the rows, the row, or what is left of it: its key.
        """
        published = type(self).published
        tell_groups(self, (published and published.event) or "", action, payload)

    # In a urlconf.

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Callable[..., Any]:
        """Return a view for a urlconf, or an application for a `URLRouter`.

        Raises:
            ImproperlyConfigured: it has no binding or no event.
        """
        if cls.published is None:
            raise ImproperlyConfigured(
                f"{cls.__name__} publishes nothing: it needs a binding and an event."
            )
        answer = super().as_view(**initkwargs)

        def entry(first: Any, *args: Any, **kwargs: Any) -> Any:
            if isinstance(first, dict):  # an ASGI scope: a request is an object
                from bindserver.transports.websocket import BindingConsumer

                return BindingConsumer.as_asgi()(first, *args, **kwargs)
            return answer(first, *args, **kwargs)

        entry.__name__ = cls.__name__
        entry.__doc__ = cls.__doc__
        entry.view_class = cls  # type: ignore[attr-defined]
        return csrf_exempt(entry)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Say where to connect: there is nothing here over HTTP."""
        published = type(self).published
        event = published.event if published is not None else ""
        return HttpResponse(
            f'Connect a WebSocket to {conf.WEBSOCKET_PATH} and send {{"event": "{event}"}}.\n',
            status=426,
            headers={"Upgrade": "websocket", "Connection": "Upgrade"},
            content_type="text/plain; charset=utf-8",
        )


# What is served.


class _Bound(Binding[Model]):
    """A view's binding as it is published. The view's messages are its own."""

    view: ClassVar[type[BoundWebsocketView]]
    fixed: ClassVar[dict[str, Any]] = {}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if self.fixed:
            self.params = dict(self.fixed)

    def _view(self) -> BoundWebsocketView:
        view = self.view()
        view.request = Connection(user=self.user, auth=self.auth, params=self.params)
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
        return "view" in vars(cls) and _tells(cls.view, BoundWebsocketView)


def _is_usual(get_permissions: Any) -> bool:
    return get_permissions.__func__ is Binding.get_permissions


def _tells(teller: Any, base: Any) -> bool:
    """Tell whether a binding's or view's class has groups, or does something of its own."""
    overridden = any(
        getattr(teller, name) is not getattr(base, name) for name in ("message", "get_user_group")
    )
    return overridden or bool(teller.groups)


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
        if (chosen.using or "default") != (type(self).using or "default"):
            raise BindingError(
                f"{self.view.__name__}.get_binding() returns a binding of another database."
            )
        inner = copy.copy(chosen)  # it may be everybody's
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

    def conditions(self, name: str) -> Any:
        return self.inner.conditions(name)

    def get_serializer_class(self) -> Any:
        return self.inner.get_serializer_class()

    def get_serializer_context(self) -> dict[str, Any]:
        return self.inner.get_serializer_context()


CHOSEN = ("ordering", "limit", "max_rows")


def _publish(view: type[BoundWebsocketView]) -> BindingClass | None:
    """Return the binding that is served for a view; None for one that is only a base of others.

    Raises:
        BindingError: its binding is none, or cannot be published.
    """
    declared = view.binding
    if declared is None:
        return None
    kind = declared if isinstance(declared, type) else type(declared)
    if not issubclass(kind, Binding):
        raise BindingError(f"{view.__name__}.binding is a binding, such as `ProductBinding()`.")
    if view.event is None and kind.event is not None and _adds_nothing(view):
        return kind  # it is published by itself
    event = view.event or kind.event
    if event is None:
        return None
    namespace: dict[str, Any] = {}
    if isinstance(declared, Binding):
        namespace = _declared_for(view, declared)
    namespace |= {"event": event, "view": view, "groups": view.groups, "__doc__": view.__doc__}
    namespace |= {"__module__": view.__module__, "__qualname__": view.__qualname__}
    base: type[Binding[Any]] = _Bound
    if view.get_binding is not BoundWebsocketView.get_binding:
        base = _Chosen
        owns = {name: namespace.get(name, getattr(kind, name)) for name in CHOSEN}
        namespace |= {name: _Own(name, declared) for name, declared in owns.items()}
    return cast(BindingClass, type(view.__name__, (base, kind), namespace))


def _adds_nothing(view: type[BoundWebsocketView]) -> bool:
    usual = all(
        getattr(view, name) is getattr(BoundWebsocketView, name)
        for name in ("get_binding", "get_user_group", "message", "serialize_message")
    )
    declared = view.binding
    own = isinstance(declared, Binding) and (declared.params or vars(declared).keys() - CONTEXT)
    return usual and not view.groups and not own and view.permission_classes is None


def _declared_for(view: type[BoundWebsocketView], declared: Binding[Any]) -> dict[str, Any]:
    """Return the attributes that an instance has beside its class's."""
    if not getattr(declared.user, "is_anonymous", False):
        raise BindingError(
            f"{view.__name__}.binding has a user; each subscriber brings their own. "
            "For another, override get_binding()."
        )
    own = {name: value for name, value in vars(declared).items() if name not in CONTEXT}
    if declared.params:  # given once and for all: subscribers have none to give
        own |= {"fixed": dict(declared.params), "params": {}}
    return own


# Groups.


def groups_of(teller: WebsocketBinding[Any] | BoundWebsocketView) -> list[str]:
    """Return the groups that hear of a binding or view, each once."""
    own = teller.get_user_group()
    return list(dict.fromkeys([*teller.groups, *([own] if own else [])]))


def tell_groups(
    teller: WebsocketBinding[Any] | BoundWebsocketView, event: str, action: str, payload: Any
) -> None:
    """Send a change to the groups. Of a "sync" they get the word alone: what they know may be old,
    and layers carry small messages only."""
    data: dict[str, Any] = {"action": action}
    if action != "sync":
        data["payload"] = teller.serialize_message(action, payload)
    send_to_groups(groups_of(teller), {"type": "bindserver.message", "event": event, "data": data})


def load_views() -> None:
    """Import the project's urlconf, which is where views are: Django does so at the first HTTP
    request, and a WebSocket may come before any."""
    urlconf = getattr(settings, "ROOT_URLCONF", None)
    if urlconf is None:
        return
    try:
        import_module(urlconf)
    except Exception:  # the project's own code; HTTP fails by it, and bindings need not
        logger.exception("bindserver: the urlconf cannot be imported, so its views are not served")
