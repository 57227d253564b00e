"""A serializer that asks for the request is told that there is none, however it asks."""

from __future__ import annotations

import copy
from collections import ChainMap
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from django.test import override_settings
from rest_framework import serializers
from rest_framework.test import APIRequestFactory

from bindserver import Binding, BoundModelViewSet, BoundWebsocketView
from bindserver.exceptions import BindingError
from bindserver.hub import hub
from bindserver.registry import registry
from bindserver.testing import Live
from tests.app.models import Category, Product

Ask = Callable[[Any], Any]


def by_pattern(context: Any) -> Any:
    match context:
        case {"request": request}:
            return request
    return None


def spread(**context: Any) -> Any:
    return context.get("request")


WAYS: dict[str, Ask] = {
    "[]": lambda context: context["request"],
    "get": lambda context: context.get("request"),
    "get with a default": lambda context: context.get("request", None),
    "in": lambda context: "request" in context,
    "not in": lambda context: "request" not in context,
    "pop": lambda context: context.pop("request", None),
    "setdefault": lambda context: context.setdefault("request", None),
    "keys": lambda context: "request" in context.keys(),
    "values": lambda context: list(context.values()),
    "items": lambda context: dict(context.items()).get("request"),
    "iteration": lambda context: "request" in list(context),
    "reversed": lambda context: "request" in list(reversed(context)),
    "a comprehension": lambda context: {name: context[name] for name in context},
    "copy": lambda context: context.copy().get("request"),
    "copy.copy": lambda context: copy.copy(context).get("request"),
    "copy.deepcopy": lambda context: copy.deepcopy(context).get("request"),
    "dict": lambda context: dict(context).get("request"),
    "update of another": lambda context: {}.update(context),
    "**": lambda context: {**context}.get("request"),
    "arguments": lambda context: spread(**context),
    "|": lambda context: (context | {"x": 1}).get("request"),
    "| from the left": lambda context: ({"x": 1} | context).get("request"),
    "popitem": lambda context: context.popitem(),
    "==": lambda context: context == {},
    "len": len,
    "bool": bool,
    "a chain": lambda context: ChainMap({}, context).get("request"),
    "a pattern": by_pattern,
    "the view": lambda context: context.get("view"),
    "the view's name": lambda context: "view" in context,
    "the format": lambda context: context.get("format"),
    "the format's name": lambda context: context["format"],
}


@pytest.fixture(autouse=True)
def known_bindings() -> Any:
    before = list(registry._classes)
    yield
    hub.stop()
    registry._classes[:] = before


def asking(ask: Ask) -> type[serializers.ModelSerializer[Any]]:
    """Return a serializer that hides a field if there is a request."""

    class Hiding(serializers.ModelSerializer[Any]):
        class Meta:
            model = Product
            fields = ("id", "price")

        def to_representation(self, product: Any) -> Any:
            data = super().to_representation(product)
            if ask(self.context):
                data.pop("price")
            return data

    return Hiding


def binding_of(serializer_class: Any, **more: Any) -> type[Binding[Any]]:
    body = {"model": Product, "event": "hidden", "serializer_class": serializer_class, **more}
    return type("Hidden", (Binding,), body)


@pytest.mark.django_db
@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_ask_fails_and_says_what_to_do(way: str) -> None:
    Product.objects.create(name="pen")
    with pytest.raises(BindingError, match="say `request = None` in the binding"):
        Live().subscribe(binding_of(asking(WAYS[way])))


@pytest.mark.django_db
@pytest.mark.parametrize("way", sorted(set(WAYS) - {"copy.deepcopy", "copy.copy"}))
def test_a_binding_may_answer_knowingly(way: str) -> None:
    Product.objects.create(name="pen")
    live = Live()
    live.subscribe(binding_of(asking(WAYS[way]), request=None))
    returned = binding_of(
        asking(lambda context: context.get("request") or context.get("view")),
        event="returned",
        __qualname__="Returned",
        get_serializer_context=lambda self: {"request": None},
    )
    assert live.subscribe(returned).rows[0]["price"] == "0.00"


@pytest.mark.django_db
def test_the_answer_is_known_to_what_is_made_of_the_binding() -> None:
    Product.objects.create(name="pen")
    answers = binding_of(asking(WAYS["get"]), request=None, event=None)
    body = {"event": "hidden", "binding": answers}
    live = Live()
    assert len(live.subscribe(type("HiddenView", (BoundWebsocketView,), body))) == 1
    silent = binding_of(asking(WAYS["get"]), event=None, __qualname__="Silent")
    body = {"event": "chosen", "binding": silent, "get_binding": lambda self: answers()}
    assert len(live.subscribe(type("ChoosesView", (BoundWebsocketView,), body))) == 1


class Asks(serializers.CharField):
    """A field of the project's own, which derives from DRF's."""

    def to_representation(self, value: Any) -> Any:
        request = self.context.get("request")
        return None if request is not None else super().to_representation(value)


class Inner(serializers.ModelSerializer[Any]):
    name = Asks()

    class Meta:
        model = Category
        fields = ("name",)


class Outer(serializers.ModelSerializer[Any]):
    category = Inner()

    class Meta:
        model = Product
        fields = ("id", "category")


class FromRoot(serializers.ModelSerializer[Any]):
    who = serializers.SerializerMethodField()

    class Meta:
        model = Product
        fields = ("id", "who")

    def get_who(self, product: Any) -> Any:
        context: Any = self.root
        return context._context.get("request")


class Copying(serializers.ModelSerializer[Any]):
    category = serializers.SerializerMethodField()

    class Meta:
        model = Product
        fields = ("id", "category")

    def get_category(self, product: Any) -> Any:
        return Inner(product.category, context={**self.context, "depth": 1}).data


class DynamicFields(serializers.ModelSerializer[Any]):
    class Meta:
        model = Product
        fields = ("id", "price")

    def get_fields(self) -> Any:
        fields = super().get_fields()
        request = self.context.get("request")
        if request and not request.user.is_staff:
            fields.pop("price")
        return fields


@pytest.mark.django_db
@pytest.mark.parametrize("kind", [Outer, FromRoot, Copying, DynamicFields])
def test_code_of_the_project_s_own_is_found_wherever_it_is(kind: Any) -> None:
    Product.objects.create(name="pen", category=Category.objects.create(name="goods"))
    with pytest.raises(BindingError, match="say `request = None` in the binding"):
        Live().subscribe(binding_of(kind))


class Looking(serializers.ModelSerializer[Any]):
    """DRF's own fields, which look for the request, and render rightly without one."""

    file = serializers.FileField(source="*")
    again = serializers.SerializerMethodField()

    class Meta:
        model = Product
        fields = ("id", "file", "again")

    def get_again(self, product: Any) -> Any:
        return Nested(product, context=self.context).data


class Nested(serializers.ModelSerializer[Any]):
    class Meta:
        model = Product
        fields = ("name",)


class Stored(serializers.FileField):
    """One that derives from DRF's: it is DRF's code that looks."""

    def to_representation(self, value: Any) -> Any:
        value.url = f"/media/{value.pk}"
        return super().to_representation(value)


@pytest.mark.django_db
def test_drf_s_own_fields_may_look() -> None:
    pen = Product.objects.create(name="pen")

    class Filed(Looking):
        file = Stored(source="*")

    rows = Live().subscribe(binding_of(Filed)).rows
    assert rows == [{"id": pen.pk, "file": f"/media/{pen.pk}", "again": {"name": "pen"}}]


@pytest.mark.parametrize("way", WAYS)
def test_a_viewset_s_rows_come_from_the_database_where_its_serializer_asks(
    way: str, database: Any
) -> None:
    Product.objects.create(name="pen")
    binding = binding_of(asking(lambda context: bool(WAYS[way](context) or True)), event=None)
    viewset: Any = type("HiddenViewSet", (BoundModelViewSet,), {"binding": binding})
    answer = viewset.as_view({"get": "list"})(APIRequestFactory().get("/"))
    assert [set(row) for row in answer.render().data] == [{"id"}]


@pytest.mark.django_db
@override_settings(ROOT_URLCONF="tests.urls")
def test_a_list_of_bindings_survives_one_whose_fields_ask(client: Any) -> None:
    binding_of(DynamicFields)
    binding_of(Nested, event="fine", __qualname__="Fine")
    events = {entry["event"] for entry in client.get("/bindings/").json()}
    assert "fine" in events
    assert "hidden" not in events


class Known(Binding[Product]):
    model = Product
    serializer_class = asking(lambda context: context["tenant"] is None)
    tenant: ClassVar[str] = "north"

    def get_serializer_context(self) -> dict[str, Any]:
        return {"tenant": self.tenant}


@pytest.mark.django_db
def test_whatever_else_is_in_the_context_is_given() -> None:
    Product.objects.create(name="pen")
    kind = type("KnownToAll", (Known,), {"event": "known"})
    assert Live().subscribe(kind).rows[0]["price"] == "0.00"


@pytest.mark.django_db
@pytest.mark.parametrize("way", ["[]", "get", "in", "a chain", "**"])
def test_who_catches_the_refusal_is_refused_all_the_same(way: str) -> None:
    def ask(context: Any) -> Any:
        try:
            return WAYS[way](context)
        except Exception:
            return None

    Product.objects.create(name="pen")
    with pytest.raises(BindingError, match="say `request = None` in the binding"):
        Live().subscribe(binding_of(asking(ask)))
