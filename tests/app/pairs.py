"""Pairs of viewsets, one of DRF's and one of ours, that differ in nothing else."""

from __future__ import annotations

from typing import Any

from django.db.models import Model, QuerySet
from django.urls import include, path
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework import filters, pagination, permissions, renderers, serializers, throttling
from rest_framework.decorators import action
from rest_framework.response import Response
from rest_framework.routers import DefaultRouter
from rest_framework.versioning import QueryParameterVersioning
from rest_framework.viewsets import ModelViewSet

from bindserver import BoundModelViewSet
from tests.app.models import Category, Product, Restaurant, Tag, Token, Word


class ProductSerializer(serializers.ModelSerializer[Product]):
    class Meta:
        model = Product
        fields = ["id", "name", "price", "stock", "active", "category"]


class NestedCategorySerializer(serializers.ModelSerializer[Category]):
    class Meta:
        model = Category
        fields = ["id", "name"]


class NestedSerializer(serializers.ModelSerializer[Product]):
    category: Any = NestedCategorySerializer(read_only=True)
    tags: Any = serializers.SlugRelatedField(many=True, read_only=True, slug_field="name")

    class Meta:
        model = Product
        fields = ["id", "name", "category", "tags"]


class LinkedSerializer(serializers.HyperlinkedModelSerializer[Tag]):
    class Meta:
        model = Tag
        fields = ["url", "name"]
        extra_kwargs = {"url": {"view_name": "tag-detail"}}


class KeylessSerializer(serializers.ModelSerializer[Product]):
    class Meta:
        model = Product
        fields = ["name", "stock"]


class OwnCodeSerializer(serializers.ModelSerializer[Product]):
    shout = serializers.SerializerMethodField()

    class Meta:
        model = Product
        fields = ["id", "shout"]

    def get_shout(self, product: Product) -> str:
        return product.name.upper()


class AskingSerializer(serializers.ModelSerializer[Product]):
    who = serializers.SerializerMethodField()

    class Meta:
        model = Product
        fields = ["id", "who"]

    def get_who(self, product: Product) -> str:
        request = self.context.get("request")
        return f"{product.name} for {request.user if request is not None else 'nobody'}"


class SometimesAskingSerializer(AskingSerializer):
    def get_who(self, product: Product) -> str:
        return super().get_who(product) if product.stock > 100 else product.name


class CountedList(serializers.ListSerializer[Any]):
    def to_representation(self, data: Any) -> Any:
        return [{"number": n, **row} for n, row in enumerate(super().to_representation(data))]


class CountedSerializer(KeylessSerializer):
    class Meta(KeylessSerializer.Meta):
        list_serializer_class = CountedList


class XMLRenderer(renderers.BaseRenderer):
    media_type = "application/xml"
    format = "xml"
    charset = "utf-8"

    def render(self, data: Any, media_type: Any = None, context: Any = None) -> str:
        return f"<answer>{self._tag(data)}</answer>"

    def _tag(self, data: Any) -> str:
        if isinstance(data, dict):
            return "".join(f"<{name}>{self._tag(value)}</{name}>" for name, value in data.items())
        if isinstance(data, (list, tuple)):
            return "".join(f"<item>{self._tag(value)}</item>" for value in data)
        return f"{type(data).__name__}:{data}"


class IsMarked(permissions.BasePermission):
    message = "only what is marked"

    def has_object_permission(self, request: Any, view: Any, obj: Any) -> bool:
        return bool(obj.stock % 2)


class TwicePerTest(throttling.BaseThrottle):
    left: dict[str, int] = {}

    def allow_request(self, request: Any, view: Any) -> bool:
        side = request.path.split("/")[1]
        self.left[side] = self.left.get(side, 2) - 1
        return self.left[side] >= 0

    def wait(self) -> float:
        return 7.0


class Page(pagination.PageNumberPagination):
    page_size = 3
    page_size_query_param = "page_size"


class Offset(pagination.LimitOffsetPagination):
    default_limit = 4


class Cursor(pagination.CursorPagination):
    page_size = 3
    ordering = "-stock"


class EvenFilter(filters.BaseFilterBackend):
    """Filters always, and so what is served is never the view's own."""

    def filter_queryset(self, request: Any, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        return queryset.filter(stock__lte=5)


class Shouting:
    """What a project's own viewset may have beside DRF's."""

    @action(detail=False)
    def names(self: Any, request: Any) -> Response:
        return Response([p.name for p in self.get_queryset()])

    @action(detail=True, methods=["get", "post"])
    def shout(self: Any, request: Any, pk: Any = None) -> Response:
        return Response({"shout": self.get_object().name.upper()})


class PerAction:
    def get_serializer_class(self: Any) -> Any:
        return KeylessSerializer if self.action == "list" else ProductSerializer


class OnlyActive:
    def get_queryset(self) -> Any:
        return super().get_queryset().filter(active=True)  # type: ignore[misc]  # a mixin


ALL_FILTERS = [DjangoFilterBackend, filters.SearchFilter, filters.OrderingFilter]
XML = [renderers.JSONRenderer, XMLRenderer, renderers.BrowsableAPIRenderer]

PAIRS: dict[str, tuple[type[Model], dict[str, Any], tuple[type, ...]]] = {
    "plain": (Product, {"serializer_class": ProductSerializer}, ()),
    "filtered": (
        Product,
        {
            "serializer_class": ProductSerializer,
            "filter_backends": ALL_FILTERS,
            "filterset_fields": ["active", "category", "stock"],
            "search_fields": ["name"],
            "ordering_fields": "__all__",
        },
        (),
    ),
    "ordered": (
        Product,
        {
            "serializer_class": ProductSerializer,
            "filter_backends": [filters.OrderingFilter],
            "ordering": ["id"],
        },
        (),
    ),
    "paged": (Product, {"serializer_class": ProductSerializer, "pagination_class": Page}, ()),
    "offset": (Product, {"serializer_class": ProductSerializer, "pagination_class": Offset}, ()),
    "cursor": (Product, {"serializer_class": ProductSerializer, "pagination_class": Cursor}, ()),
    "members": (
        Product,
        {
            "serializer_class": ProductSerializer,
            "permission_classes": [permissions.IsAuthenticated],
        },
        (),
    ),
    "rights": (
        Product,
        {
            "serializer_class": ProductSerializer,
            "permission_classes": [permissions.DjangoModelPermissionsOrAnonReadOnly],
        },
        (),
    ),
    "marked": (
        Product,
        {"serializer_class": ProductSerializer, "permission_classes": [IsMarked]},
        (),
    ),
    "throttled": (
        Product,
        {"serializer_class": ProductSerializer, "throttle_classes": [TwicePerTest]},
        (),
    ),
    "formats": (Product, {"serializer_class": ProductSerializer, "renderer_classes": XML}, ()),
    "nested": (Product, {"serializer_class": NestedSerializer, "renderer_classes": XML}, ()),
    "linked": (Tag, {"serializer_class": LinkedSerializer}, ()),
    "keyless": (Product, {"serializer_class": KeylessSerializer}, ()),
    "keyless-paged": (
        Product,
        {"serializer_class": KeylessSerializer, "pagination_class": Page},
        (),
    ),
    "own-code": (Product, {"serializer_class": OwnCodeSerializer}, ()),
    "asking": (Product, {"serializer_class": AskingSerializer}, ()),
    "sometimes-asking": (Product, {"serializer_class": SometimesAskingSerializer}, ()),
    "counted": (Product, {"serializer_class": CountedSerializer}, ()),
    "backend": (
        Product,
        {"serializer_class": ProductSerializer, "filter_backends": [EvenFilter]},
        (),
    ),
    "actions": (Product, {"serializer_class": ProductSerializer}, (Shouting,)),
    "per-action": (Product, {"serializer_class": ProductSerializer}, (PerAction,)),
    "active": (Product, {"serializer_class": ProductSerializer}, (OnlyActive,)),
    "by-name": (
        Product,
        {"serializer_class": ProductSerializer, "lookup_field": "name", "lookup_value_regex": ".*"},
        (),
    ),
    "by-kwarg": (Product, {"serializer_class": ProductSerializer, "lookup_url_kwarg": "key"}, ()),
    "versioned": (
        Product,
        {"serializer_class": ProductSerializer, "versioning_class": QueryParameterVersioning},
        (),
    ),
    "tokens": (Token, {"fields": ["id", "label"]}, ()),
    "words": (Word, {"fields": ["text", "count"]}, ()),
    "restaurants": (Restaurant, {"fields": "__all__"}, ()),
}


def serializer_for(kind: type[Model], named: Any) -> Any:
    """Return a serializer of a model's fields."""
    meta = type("Meta", (), {"model": kind, "fields": named})
    return type(f"{kind.__name__}Whole", (serializers.ModelSerializer,), {"Meta": meta})


def pair(name: str) -> tuple[type[Any], type[Any]]:
    """Return DRF's viewset of a name, and ours."""
    model, attributes, mixins = PAIRS[name]
    attributes = dict(attributes)
    if "fields" in attributes:
        attributes["serializer_class"] = serializer_for(model, attributes.pop("fields"))
    ordered = model._default_manager.order_by("pk")  # DRF's own lists have no order of themselves
    # They are named alike, since pages for people show the name.
    plain = type("Things", (*mixins, ModelViewSet), {**attributes, "queryset": ordered})
    bound = type("Things", (*mixins, BoundModelViewSet), {**attributes, "model": model})
    return plain, bound


plain_router, bound_router = DefaultRouter(), DefaultRouter()
for _name in PAIRS:
    _plain, _bound = pair(_name)
    plain_router.register(_name, _plain, basename=_name)
    bound_router.register(_name, _bound, basename=_name)


class TagViewSet(ModelViewSet[Tag]):
    queryset = Tag.objects.all()
    serializer_class = LinkedSerializer


shared_router = DefaultRouter()
shared_router.register("tags", TagViewSet)

urlpatterns = [
    path("plain/", include(plain_router.urls)),
    path("bound/", include(bound_router.urls)),
    path("shared/", include(shared_router.urls)),
]
