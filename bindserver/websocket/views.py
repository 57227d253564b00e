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

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.generic import View

from bindserver.bindings.binding import Binding, M
from bindserver.bindings.registry import BindingClass
from bindserver.conf import conf
from bindserver.websocket.groups import tell_groups, tells
from bindserver.websocket.view_bindings import publish


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
        """Return whether it is kept live for `message`: where it has groups, or an override."""
        return tells(cls, WebsocketBinding) or bool(cls.group)


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
        cls.published = publish(cls, BoundWebsocketView)

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
                from bindserver.websocket.consumer import BindingConsumer

                return BindingConsumer.as_asgi()(first, *args, **kwargs)
            return answer(first, *args, **kwargs)

        named: Any = entry
        named.__name__, named.__doc__, named.view_class = cls.__name__, cls.__doc__, cls
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
