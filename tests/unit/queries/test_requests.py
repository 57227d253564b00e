"""A serializer that asks for the request is told that there is none, however it asks."""

from __future__ import annotations

import copy
import functools
import json
import operator
import pickle
from collections import ChainMap, OrderedDict, UserDict, defaultdict
from collections.abc import Callable, Mapping
from types import MappingProxyType, SimpleNamespace
from typing import Any, ClassVar

import pytest
from django.db.models import Q
from django.test import override_settings
from rest_framework import serializers
from rest_framework.test import APIRequestFactory

from bindserver import Binding, BoundModelViewSet, BoundWebsocketView
from bindserver.bindings.registry import registry
from bindserver.bindings.serializers import NoRequest
from bindserver.exceptions import BindingError
from bindserver.hub.hub import hub
from bindserver.testing import Live
from tests.app.models import Category, Product
from tests.support.registered import keep_out

Ask = Callable[[Any], Any]


def by_pattern(context: Any) -> Any:
    match context:
        case {"request": request}:
            return request
    return None


def by_kind(context: Any, kind: Any) -> Any:
    return context.get("request") if isinstance(context, kind) else None


def by_mapping(context: Any) -> Any:
    get: Any = vars(Mapping)["get"]
    return get(context, "request")


def by_class(context: Any) -> Any:
    match context:
        case dict():
            return context.get("request")
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
    "a chain of contexts": lambda context: context.copy() or ChainMap(context).get("request"),
    "as somebody's attributes": lambda context: SimpleNamespace(**context),
    "through a proxy": lambda context: MappingProxyType(context).get("request"),
    "itemgetter": operator.itemgetter("request"),
    "methodcaller": operator.methodcaller("get", "request"),
    "partial": lambda context: functools.partial(context.get, "request")(),
    "the method itself": lambda context: type(context).__contains__(context, "request"),
    "Mapping's method": lambda context: by_mapping(context),
    "if it is a dict": lambda context: isinstance(context, dict) and context.get("request"),
    "if it is a mapping": lambda context: by_kind(context, Mapping),
    "another kind of dict": lambda context: OrderedDict(context).get("request"),
    "a UserDict": lambda context: UserDict[str, Any](context).get("request"),
    "a pattern of a class": lambda context: by_class(context),
    "pickling": lambda context: pickle.loads(pickle.dumps(context)).get("request"),
    "a template": lambda context: operator.mod("%(request)s", context),
    "a format": lambda context: "{request}".format_map(context),
    "JSON with indents": lambda context: json.dumps(context, indent=1),
}

PAST_PYTHON: dict[str, Ask] = {
    "dict.get": lambda context: dict.get(context, "request"),
    "dict.keys": lambda context: "request" in dict.keys(context),
    "dict.items": lambda context: dict(dict.items(context)).get("request"),
    "dict.__contains__": lambda context: dict.__contains__(context, "request"),
    "dict.__iter__": lambda context: "request" in list(dict.__iter__(context)),
    "dict.__len__": lambda context: dict.__len__(context),
    "JSON": lambda context: "request" in json.dumps(context),
    "eval": lambda context: eval("request", context),
}
"""Ways that ask a dict past all that a class derived from it can say."""


def test_a_context_has_nothing_in_it_but_what_it_says() -> None:
    with pytest.raises(TypeError):
        vars(NoRequest({"tenant": "north"}))


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
@pytest.mark.parametrize("way", PAST_PYTHON)
def test_no_way_past_python_is_answered(way: str) -> None:
    Product.objects.create(name="pen")
    with pytest.raises((BindingError, TypeError)):
        Live().subscribe(binding_of(asking(PAST_PYTHON[way])))


def test_nor_is_one_for_a_context_without_anything_in_it() -> None:
    for ask in [*WAYS.values(), *PAST_PYTHON.values()]:
        for context in (NoRequest(), NoRequest({"tenant": "north"})):
            with pytest.raises((BindingError, TypeError)):
                ask(context)


@pytest.mark.django_db
@pytest.mark.parametrize("way", sorted({*WAYS, *PAST_PYTHON} - {"the format's name", "eval"}))
def test_a_binding_may_answer_knowingly(way: str) -> None:
    Product.objects.create(name="pen")
    live = Live()
    live.subscribe(binding_of(asking((WAYS | PAST_PYTHON)[way]), request=None))
    returned = binding_of(
        asking(lambda context: context.get("request") or context.get("view")),
        event="returned",
        __qualname__="Returned",
        get_serializer_context=lambda self: {"request": None},
    )
    assert live.subscribe(returned).rows[0]["price"] == "0.00"


@pytest.mark.django_db
@pytest.mark.parametrize(
    "ask",
    [
        lambda binding: binding.request,
        lambda binding: getattr(binding, "request", None),
        lambda binding: hasattr(binding, "request"),
    ],
)
def test_a_binding_s_own_code_is_told_too_that_there_is_no_request(ask: Any) -> None:
    Product.objects.create(name="pen")

    def get_q(self: Any) -> Q:
        return Q(pk__lt=0) if ask(self) else Q()

    declared = {"model": Product, "fields": ("id",), "get_q": get_q}
    silent = type("AsksItself", (Binding,), {**declared, "event": "asks-itself"})
    with pytest.raises(BindingError, match=r"`self\.user`"):
        Live().subscribe(silent)
    answers = {**declared, "event": "answers-itself", "request": None}
    if ask.__code__.co_names != ("hasattr",):
        assert len(Live().subscribe(type("AnswersItself", (Binding,), answers)).rows) == 1


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


class Later(serializers.ModelSerializer[Any]):
    """Hands DRF's encoder something that asks when it is looked through."""

    who = serializers.SerializerMethodField()

    class Meta:
        model = Product
        fields = ("id", "who")

    def get_who(self, product: Any) -> Any:
        return map(self.context.get, ["request"])


class Told(serializers.ModelSerializer[Any]):
    """Has DRF's field call what asks."""

    who = serializers.SerializerMethodField()

    class Meta:
        model = Product
        fields = ("id", "who")

    @property
    def get_who(self) -> Any:
        return functools.partial(operator.call, self.context.get, "request")


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
@pytest.mark.parametrize("kind", [Outer, FromRoot, Copying, DynamicFields, Later, Told])
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


@pytest.mark.parametrize("way", sorted(set(WAYS) - {"pickling", "JSON with indents"}))
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


OWN_CONTEXTS: dict[str, Callable[[Any], Any]] = {
    "without the base's": lambda base: {"depth": 1},
    "beside the base's": lambda base: {**base, "depth": 1},
    "put into the base's": lambda base: base.update(depth=1) or base,
    "another kind of mapping": lambda base: MappingProxyType({**base, "depth": 1}),
    "one with a default": lambda base: defaultdict(lambda: None, base, depth=1),
}


@pytest.mark.django_db
@pytest.mark.parametrize("way", ["[]", "get", "in", "dict.get", "JSON"])
@pytest.mark.parametrize("own", OWN_CONTEXTS)
def test_a_context_of_one_s_own_says_nothing_of_a_request_either(own: str, way: str) -> None:
    class Own(Binding[Product]):
        model = Product
        event = "own"
        serializer_class = asking((WAYS | PAST_PYTHON)[way])

        def get_serializer_context(self) -> Any:
            return OWN_CONTEXTS[own](super().get_serializer_context())

    body = {"event": "viewed", "binding": Own}
    Product.objects.create(name="pen")
    for binding in (Own, type("OwnView", (BoundWebsocketView,), body)):
        with pytest.raises((BindingError, TypeError)):
            Live().subscribe(binding)


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


keep_out(globals())
