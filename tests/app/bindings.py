"""Bindings of every shape, for tests that talk to a real server."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from django.db.models import Count, Exists, JSONField, OuterRef, Prefetch, Q, QuerySet, Sum, Value
from rest_framework import serializers
from rest_framework.permissions import BasePermission, DjangoModelPermissions, IsAuthenticated

from bindserver import Binding
from tests.app.models import (
    Category,
    Membership,
    Moment,
    Note,
    Parcel,
    Place,
    Product,
    Restaurant,
    Shelf,
    Stretch,
    Tag,
    TallShelf,
    Token,
    Word,
)


class ProductSerializer(serializers.ModelSerializer[Product]):
    category_name = serializers.CharField(source="category.name", default=None)

    class Meta:
        model = Product
        fields = ["id", "name", "sku", "price", "stock", "category", "category_name"]


class ProductBinding(Binding[Product]):
    model = Product
    event = "products"
    fields = ["id", "name", "price", "stock", "category"]
    filters = {"active": True}


class CatalogueBinding(Binding[Product]):
    """Joins, params, and an order by text that only the database knows."""

    event = "catalogue"
    queryset = Product.objects.select_related("category")
    serializer_class = ProductSerializer
    ordering = ["category__name", "-name"]
    params = {
        "category": serializers.IntegerField(required=False),
        "q": serializers.CharField(required=False, max_length=50),
    }

    def get_q(self) -> Q:
        q = Q()
        if "category" in self.params:
            q &= Q(category=self.params["category"])
        if "q" in self.params:
            q &= Q(name__icontains=self.params["q"])
        return q


class CheapBinding(Binding[Product]):
    """The cheapest three: a window."""

    model = Product
    event = "cheapest"
    fields = ["id", "name", "price"]
    ordering = ["price"]
    limit = 3


class StockBinding(Binding[Product]):
    """An order that Python can repeat."""

    model = Product
    event = "by_stock"
    fields = ["id", "stock"]
    ordering = ["-stock"]
    excludes = {"name": "hidden"}


class TaggedSerializer(serializers.ModelSerializer[Product]):
    tags: Any = serializers.SlugRelatedField(many=True, read_only=True, slug_field="name")

    class Meta:
        model = Product
        fields = ["id", "name", "tags"]


class NotedSerializer(serializers.ModelSerializer[Product]):
    note = serializers.JSONField(read_only=True)

    class Meta:
        model = Product
        fields = ["id", "note"]


class TaggedBinding(Binding[Product]):
    """Rows with rows of another table in them."""

    model = Product
    event = "tagged"
    serializer_class = TaggedSerializer

    def get_queryset(self) -> QuerySet[Any]:
        return super().get_queryset().prefetch_related("tags")


class RestaurantBinding(Binding[Restaurant]):
    """A multi-table child: its name stands in the parent's table."""

    model = Restaurant
    event = "restaurants"
    fields = ["id", "name", "seats"]


class PlaceBinding(Binding[Place]):
    model = Place
    event = "places"
    fields = "__all__"


class TokenBinding(Binding[Token]):
    model = Token
    event = "tokens"
    fields = ["id", "label"]


class WordBinding(Binding[Word]):
    model = Word
    event = "words"
    fields = ["text", "count"]


class TagBinding(Binding[Tag]):
    model = Tag
    event = "tags"
    fields = ["name"]


class CategoryBinding(Binding[Category]):
    model = Category
    event = "categories"
    fields = ["id", "name"]


class FilledSerializer(serializers.ModelSerializer[Category]):
    products = serializers.IntegerField(read_only=True)
    total = serializers.IntegerField(read_only=True)
    stocked = serializers.BooleanField(read_only=True)

    class Meta:
        model = Category
        fields = ["id", "name", "products", "total", "stocked"]


class FilledBinding(Binding[Category]):
    """What rows of another table that refer to its own come to."""

    event = "filled"
    queryset = Category.objects.annotate(
        products=Count("product"),
        total=Sum("product__stock"),
        stocked=Exists(Product.objects.filter(category=OuterRef("pk"), stock__gt=3)),
    )
    serializer_class = FilledSerializer
    ordering = ["id"]


class LabelledSerializer(serializers.ModelSerializer[Category]):
    labels = serializers.IntegerField(read_only=True)

    class Meta:
        model = Category
        fields = ["id", "labels"]


class LabelledBinding(Binding[Category]):
    """The same over two more tables."""

    event = "labelled"
    queryset = Category.objects.annotate(labels=Count("product__tags", distinct=True))
    serializer_class = LabelledSerializer
    ordering = ["id"]


class MineBinding(Binding[Product]):
    """What a user may see, by rows that the binding reads itself."""

    model = Product
    event = "mine"
    fields = ["id", "name", "category"]

    def get_queryset(self) -> QuerySet[Any]:
        categories = list(
            Membership.objects.filter(user=self.user.pk).values_list("category", flat=True)
        )
        return super().get_queryset().filter(category__in=categories)


class FragileSerializer(serializers.ModelSerializer[Product]):
    class Meta:
        model = Product
        fields = ["id", "name"]

    def to_representation(self, instance: Product) -> Any:
        if instance.name == "broken":
            raise ValueError("a secret of the serializer")
        return super().to_representation(instance)


class FragileBinding(Binding[Product]):
    """Fails while there is a product named "broken"."""

    model = Product
    event = "fragile"
    serializer_class = FragileSerializer


class BrokenBinding(Binding[Product]):
    """Can never say what it serves."""

    model = Product
    event = "broken"
    fields = ["id"]

    def get_queryset(self) -> QuerySet[Any]:
        raise RuntimeError("a secret of the binding")


class FewBinding(Binding[Product]):
    """At most five rows."""

    model = Product
    event = "few"
    fields = ["id"]
    max_rows = 5


class InCategoryBinding(Binding[Product]):
    """A param that must be given."""

    model = Product
    event = "in_category"
    fields = ["id", "name"]
    params = {"category": int}

    def filters(self) -> dict[str, Any]:
        return {"category": self.params["category"]}


class OfCategoryBinding(Binding[Product]):
    """A condition of another table's column."""

    model = Product
    event = "of_category"
    fields = ["id"]
    params = {"name": str}

    def filters(self) -> dict[str, Any]:
        return {"category__name": self.params["name"]}


class PartBinding(Binding[Product]):
    """Parts of one table, most of which are read together: by truth, key, nothing, or text."""

    model = Product
    event = "part"
    fields = ["id", "name", "stock", "category", "active"]
    ordering = ["-stock"]
    params = {
        "active": serializers.BooleanField(required=False),
        "category": serializers.IntegerField(required=False, allow_null=True),
        "name": serializers.CharField(required=False),
    }

    def filters(self) -> dict[str, Any]:
        return dict(self.params)


class TaggedInBinding(TaggedBinding):
    """A part, with rows of another table in its rows."""

    event = "tagged_in"
    params = {"category": int}

    def filters(self) -> dict[str, Any]:
        return {"category": self.params["category"]}


class StaffBinding(Binding[Product]):
    """What a user may see, by their own row alone."""

    model = Product
    event = "for_staff"
    fields = ["id", "name"]

    def get_queryset(self) -> QuerySet[Any]:
        queryset = super().get_queryset()
        return queryset if self.user.is_staff else queryset.none()


class TouchyBinding(Binding[Product]):
    """One that cannot say what it serves while a tag has a certain name."""

    model = Product
    event = "touchy"
    fields = ["id", "name"]

    def get_queryset(self) -> QuerySet[Any]:
        if Tag.objects.filter(name="touchy").exists():
            raise RuntimeError("a secret of the binding")
        return super().get_queryset()


class ShelfBinding(Binding[Shelf]):
    model = Shelf
    event = "shelves"
    fields = ["id", "name", "size", "category"]


class TallShelfBinding(Binding[TallShelf]):
    model = TallShelf
    event = "tall_shelves"
    fields = ["id", "name", "size", "height"]


class NoteBinding(Binding[Note]):
    model = Note
    event = "notes"
    fields = ["id", "slug", "text"]


class MembersBinding(Binding[Product]):
    """For whoever is logged in."""

    model = Product
    event = "members"
    fields = ["id", "name"]
    permission_classes = [IsAuthenticated]


class MaySeeProducts(BasePermission):
    """A right that a user has, or one of their groups."""

    message = "ask for the right to see products"

    def has_permission(self, request: Any, view: Any) -> bool:
        return bool(request.user.has_perm("app.view_product"))


class GuardedBinding(Binding[Product]):
    """For whoever has a right, by themselves or by a group."""

    model = Product
    event = "guarded"
    fields = ["id", "name"]
    permission_classes = [MaySeeProducts]


class HasScope(BasePermission):
    """Reads the token's claims, as OAuth's permission classes do."""

    def has_permission(self, request: Any, view: Any) -> bool:
        return request.auth is not None and "products" in request.auth.get("scope", "")


class ScopedBinding(Binding[Product]):
    """For tokens of a scope."""

    model = Product
    event = "scoped"
    fields = ["id", "name"]
    permission_classes = [HasScope]


class BreaksWithTag(BasePermission):
    """One that raises while there is a certain tag, and refuses while there is another."""

    def has_permission(self, request: Any, view: Any) -> bool:
        names = set(Tag.objects.values_list("name", flat=True))
        if "broken permission" in names:
            raise RuntimeError("a secret of the permission")
        return "closed" not in names


class ShakyBinding(Binding[Product]):
    """Its permission class reads rows of the project's own."""

    model = Product
    event = "shaky"
    fields = ["id", "name"]
    permission_classes = [BreaksWithTag]
    params = {"category": serializers.IntegerField(required=False)}


class RightsBinding(Binding[Product]):
    """DRF's own permission class for models."""

    model = Product
    event = "rights"
    fields = ["id", "name"]
    permission_classes = [DjangoModelPermissions]


class ParcelBinding(Binding[Parcel]):
    model = Parcel
    event = "parcels"
    fields = ["id", "name", "category"]


class MomentBinding(Binding[Moment]):
    """Its key is a moment, which not every database holds as Python does."""

    model = Moment
    fields = ["at", "text"]


class StretchBinding(Binding[Stretch]):
    """Its key is a stretch of time."""

    queryset = Stretch.objects.select_related("moment").order_by("moment__text")
    fields = ["length", "moment"]


class NotedBinding(Binding[Product]):
    """Rows with a long argument that names the user at its end."""

    model = Product
    event = "noted"
    serializer_class = NotedSerializer

    def get_queryset(self) -> QuerySet[Any]:
        note = {"since": "the beginning of the time that we know of", "of": self.user.username}
        return Product.objects.annotate(note=Value(note, output_field=JSONField()))


class OwnTagsBinding(Binding[Product]):
    """Rows with those rows of another table in them that are the user's."""

    model = Product
    event = "own_tags"
    serializer_class = TaggedSerializer

    def get_queryset(self) -> QuerySet[Any]:
        own = Tag.objects.filter(name=self.user.username)
        return Product.objects.prefetch_related(Prefetch("tags", own))


class ByUserBinding(Binding[Product]):
    """A serializer class that is made for the user, of one name and one set of fields."""

    model = Product
    event = "by_user"

    def get_serializer_class(self) -> Any:
        name = self.user.username

        class Row(serializers.ModelSerializer[Product]):
            seen_by = serializers.SerializerMethodField()

            class Meta:
                model = Product
                fields = ["id", "seen_by"]

            def get_seen_by(self, product: Product) -> str:
                return str(name)

        return Row


class SignedSerializer(serializers.ModelSerializer[Product]):
    """Remembers what it has read once, as for one request."""

    seen_by = serializers.SerializerMethodField()
    tag = serializers.SerializerMethodField()

    @cached_property
    def first_tag(self) -> str:
        return "".join(Tag.objects.values_list("name", flat=True)[:1])

    def get_seen_by(self, product: Product) -> str:
        return str(self.context["user"].username)

    def get_tag(self, product: Product) -> str:
        return self.first_tag

    class Meta:
        model = Product
        fields = ["id", "seen_by", "tag"]


class SignedBinding(Binding[Product]):
    """Rows that say who sees them, and what else the serializer has read."""

    model = Product
    event = "signed"
    serializer_class = SignedSerializer

    def get_serializer_context(self) -> dict[str, Any]:
        return {"user": self.user}
