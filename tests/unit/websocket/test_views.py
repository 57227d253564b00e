"""`BoundWebsocketView` and `WebsocketBinding`: the original's way to publish a binding."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import User
from django.core.checks import CheckMessage
from django.core.exceptions import ImproperlyConfigured
from django.test import Client, RequestFactory, override_settings
from django.urls import path, re_path

from bindserver import Binding, BoundWebsocketView, WebsocketBinding
from bindserver.bindings.registry import registry
from bindserver.checks import check_bindings
from bindserver.exceptions import BindingError
from bindserver.hub.hub import hub
from bindserver.testing import Live, Refused
from tests.app.models import Product
from tests.support.registered import keep_out

LAYER = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}


@pytest.fixture(autouse=True)
def known_bindings() -> Iterator[None]:
    before = list(registry._classes)
    yield
    hub.stop()  # who connected has started it
    registry._classes[:] = before


class PlainBinding(Binding[Product]):
    model = Product
    fields = ["id", "name"]


def make_view(name: str = "GoodsView", **declared: Any) -> type[BoundWebsocketView]:
    declared = {"event": "goods", "binding": PlainBinding(), **declared}
    return type(name, (BoundWebsocketView,), {"__module__": __name__, **declared})


def published_by(view: type[BoundWebsocketView]) -> Any:
    assert view.published is not None
    return view.published()


def problems() -> list[CheckMessage]:
    return check_bindings()


def heard_by(group: str, tell: Any) -> list[dict[str, Any]]:
    """Return what a consumer of a group hears while something is told."""

    async def listen() -> list[dict[str, Any]]:
        layer = get_channel_layer()
        assert layer is not None
        name = await layer.new_channel()
        await layer.group_add(group, name)
        await asyncio.to_thread(tell)
        await layer.send(name, {"type": "end"})
        heard = []
        while (message := await layer.receive(name))["type"] != "end":
            heard.append(message)
        return heard

    return async_to_sync(listen)()


# Publishing.


@pytest.mark.django_db
def test_a_view_s_event_is_served_like_any_other() -> None:
    view = make_view()
    pen = Product.objects.create(name="pen")
    live = Live()
    c = live.subscribe(view)
    assert c.rows == [{"id": pen.pk, "name": "pen"}]
    assert registry.get("goods") is view.published
    assert not problems()


@pytest.mark.django_db
def test_a_binding_s_class_will_do() -> None:
    make_view(binding=PlainBinding)
    Product.objects.create(name="pen")
    assert len(Live().subscribe("goods")) == 1


def test_what_is_wrong_with_a_view_s_binding_is_to_be_mended_there() -> None:
    class Bare(Binding[Product]):
        model = Product

    make_view(binding=Bare())
    [error] = problems()
    assert error.id == "bindserver.E008"
    assert "That belongs into Bare, the view's binding." in str(error.hint)


@pytest.mark.django_db
def test_a_binding_may_be_published_under_several_events() -> None:
    make_view()
    type("Other", (BoundWebsocketView,), {"event": "others", "binding": PlainBinding()})
    live = Live()
    Product.objects.create(name="pen")
    assert live.subscribe("goods").rows == live.subscribe("others").rows
    assert not problems()


@pytest.mark.django_db
def test_each_subscriber_brings_their_own_context() -> None:
    class OwnBinding(Binding[Product]):
        model = Product
        fields = ["id", "name"]

        def filters(self) -> dict[str, Any]:
            return {"name": self.user.username}

    make_view(binding=OwnBinding())
    Product.objects.create(name="ann")
    ann, bob = User.objects.create(username="ann"), User.objects.create(username="bob")
    live = Live()
    assert len(live.subscribe("goods", user=ann)) == 1
    assert len(live.subscribe("goods", user=bob)) == 0
    assert len(live.subscribe("goods")) == 0


class ByNameBinding(Binding[Product]):
    model = Product
    fields = ["id", "name"]
    params = {"name": str}

    def filters(self) -> dict[str, Any]:
        return {"name": self.params["name"]}


@pytest.mark.django_db
def test_params_that_the_binding_takes_are_the_subscriber_s() -> None:
    Product.objects.create(name="pen")
    Product.objects.create(name="ink")
    make_view(binding=ByNameBinding)
    live = Live()
    assert len(live.subscribe("goods", params={"name": "ink"})) == 1
    with pytest.raises(Refused):
        live.subscribe("goods")


@pytest.mark.django_db
def test_params_that_the_view_gives_are_nobody_else_s() -> None:
    Product.objects.create(name="pen")
    Product.objects.create(name="ink")
    make_view(binding=ByNameBinding(params={"name": "pen"}))
    live = Live()
    assert [row["name"] for row in live.subscribe("goods").rows] == ["pen"]
    with pytest.raises(Refused, match="known: none"):
        live.subscribe("goods", params={"name": "ink"})


def test_a_view_without_binding_or_event_is_a_base_of_others() -> None:
    base = make_view(event=None, binding=None)
    eventless = make_view(event=None)
    assert base.published is None
    assert eventless.published is None
    with pytest.raises(ImproperlyConfigured, match="needs a binding and an event"):
        base.as_view()


def test_what_is_no_binding_is_a_mistake() -> None:
    with pytest.raises(BindingError, match="such as `ProductBinding"):
        make_view(binding=Product)


@pytest.mark.django_db
def test_a_binding_with_a_user_is_a_mistake() -> None:
    with pytest.raises(BindingError, match="each subscriber brings their own"):
        make_view(binding=PlainBinding(user=User.objects.create(username="ann")))


def test_twins_are_named() -> None:
    make_view()
    type("Twin", (BoundWebsocketView,), {"event": "goods", "binding": PlainBinding()})
    (problem,) = problems()
    assert problem.id == "bindserver.E002"
    assert "Twin and GoodsView have the same event 'goods'" in problem.msg


def test_the_checks_look_at_a_view_s_binding() -> None:
    class BareBinding(Binding[Product]):
        model = Product

    make_view(binding=BareBinding())
    (problem,) = problems()
    assert problem.id == "bindserver.E008"
    assert problem.msg.startswith("GoodsView")


# Groups.


@override_settings(CHANNEL_LAYERS=LAYER)
def test_groups_hear_each_change() -> None:
    view = make_view(groups=["goods", "all"])
    binding = published_by(view)

    def tell() -> None:
        binding.message("sync", [{"id": 1, "name": "pen"}])
        binding.message("create", {"id": 2, "name": "ink"})
        binding.message("delete", {"id": 1})

    for group in ("goods", "all"):
        heard = heard_by(group, tell)
        assert [message["type"] for message in heard] == ["bindserver.message"] * 3
        assert [message["event"] for message in heard] == ["goods"] * 3
        assert [message["data"] for message in heard] == [
            {"action": "sync"},
            {"action": "create", "payload": {"id": 2, "name": "ink"}},
            {"action": "delete", "payload": {"id": 1}},
        ]


@override_settings(CHANNEL_LAYERS=LAYER)
def test_messages_and_their_group_can_be_overridden() -> None:
    class View(BoundWebsocketView):
        event = "goods"
        binding = PlainBinding()

        def get_user_group(self) -> str:
            return "shouted" if self.request.user.is_anonymous else "never"

        def serialize_message(self, action: str, payload: Any) -> Any:
            return {**payload, "name": payload["name"].upper()}

        def message(self, action: str, payload: Any) -> None:
            if payload["id"] > 1:
                super().message(action, payload)

    binding = published_by(View)

    def tell() -> None:
        binding.message("create", {"id": 1, "name": "pen"})
        binding.message("update", {"id": 2, "name": "ink"})

    heard = heard_by("shouted", tell)
    assert [message["data"]["payload"] for message in heard] == [{"id": 2, "name": "INK"}]


@override_settings(CHANNEL_LAYERS=LAYER)
def test_a_websocket_binding_has_groups_of_its_own() -> None:
    class GoodsBinding(WebsocketBinding[Product]):
        model = Product
        event = "goods"
        fields = ["id", "name"]
        group = "one"
        groups = ["two", "one"]

        def serialize_message(self, action: str, payload: Any) -> Any:
            return [payload]

    binding: Any = GoodsBinding()
    for group in ("one", "two"):
        (message,) = heard_by(group, lambda: binding.message("update", {"id": 1}))
        assert message["data"] == {"action": "update", "payload": [{"id": 1}]}
    assert not problems()


@override_settings(CHANNEL_LAYERS={})
def test_without_a_channel_layer_nobody_hears() -> None:
    view = make_view(groups=["goods"])
    published_by(view).message("create", {"id": 1})
    assert get_channel_layer() is None


def test_who_wants_to_hear_is_kept_and_nobody_else() -> None:
    class Told(BoundWebsocketView):
        event = "told"
        binding = PlainBinding()

        def message(self, action: str, payload: Any) -> None: ...

    class Quiet(WebsocketBinding[Product]):
        model = Product

    class Grouped(Quiet):
        group = "goods"

    def hears(binding: Any) -> bool:
        heard: bool = binding.hears_messages()
        return heard

    assert hears(make_view(groups=["goods"]).published)
    assert hears(Told.published)
    assert hears(Grouped)
    assert not hears(make_view().published)
    assert not hears(Quiet)


# In a urlconf.


def urls(view: type[BoundWebsocketView]) -> Any:
    """Return a urlconf with a view in it."""
    return type("Urls", (), {"urlpatterns": [re_path(r"^products", view.as_view())]})


@pytest.mark.parametrize("method", ["get", "post", "put", "delete", "options"])
def test_over_http_it_says_where_to_connect(method: str) -> None:
    with override_settings(ROOT_URLCONF=urls(make_view())):
        answer = getattr(Client(enforce_csrf_checks=True), method)("/products/")
    assert answer.status_code == 426
    assert answer.headers["Upgrade"] == "websocket"
    assert answer.content == b'Connect a WebSocket to /ws/ and send {"event": "goods"}.\n'


def test_django_knows_the_view_s_class() -> None:
    view = make_view()
    entry: Any = view.as_view()
    assert entry.view_class is view
    assert entry.__name__ == "GoodsView"
    assert entry(RequestFactory().get("/")).status_code == 426


@pytest.mark.django_db(transaction=True)
async def test_in_a_url_router_it_serves_websockets() -> None:
    router = URLRouter([path("products/", make_view().as_view())])
    client = WebsocketCommunicator(router, "/products/")
    connected, _ = await client.connect(timeout=60)
    assert connected
    await client.send_json_to({"event": "$ping", "data": 1})
    assert await client.receive_json_from(timeout=60) == {"event": "$pong", "data": 1}
    await client.disconnect(timeout=60)


keep_out(globals())
