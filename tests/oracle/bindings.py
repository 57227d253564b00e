"""Bindings of the kinds that only the oracle draws: windows, groups, slots, what is reached
backwards, and what the time moves."""

from __future__ import annotations

import datetime
from typing import Any

from django.db.models import (
    BooleanField,
    Case,
    Count,
    Exists,
    F,
    Max,
    OuterRef,
    Prefetch,
    Q,
    QuerySet,
    Subquery,
    Sum,
    Value,
    When,
)
from django.db.models.functions import Now
from rest_framework import serializers

from bindserver import Binding
from tests.app.models import Booking, Category, Membership, Product, Tag

SECOND = datetime.timedelta(seconds=1)
WINDOW = {"limit": serializers.IntegerField(), "offset": serializers.IntegerField(default=0)}


class Chosen:
    """Rows by what the params say, each of which is a condition."""

    params: Any = {}

    def filters(self) -> dict[str, Any]:
        return {name: value for name, value in self.params.items() if name not in WINDOW}


# Windows.


class PageBinding(Chosen, Binding[Any]):
    """A page that subscribers choose, perhaps of a part."""

    model = Product
    event = "page"
    fields = ["id", "name", "stock"]
    ordering = ["-stock"]
    params = {**WINDOW, "category": serializers.IntegerField(required=False)}


class AlphabetBinding(Chosen, Binding[Any]):
    """A page in an order that only the database knows."""

    model = Product
    event = "alphabet"
    fields = ["id", "name"]
    ordering = ["name"]
    params = dict(WINDOW)


class LatestBinding(Chosen, Binding[Any]):
    """A slot beside a limit."""

    model = Product
    event = "latest"
    fields = ["id", "price"]
    ordering = ["-price"]
    limit = 3
    params = {"category": int}


class ByCategoryBinding(Chosen, Binding[Any]):
    """A page in the order of another table's column."""

    model = Product
    event = "by_category"
    fields = ["id", "category"]
    ordering = ["category__name", "stock"]
    params = dict(WINDOW)


class TagPageBinding(Chosen, Binding[Any]):
    """A page of rows that a join may bring twice."""

    model = Product
    event = "tag_page"
    queryset = Product.objects.distinct()
    fields = ["id", "stock"]
    ordering = ["stock"]
    limit = 3
    params = {"tags__name": str}


# Groups, sums and dicts.


class GroupedBinding(Chosen, Binding[Any]):
    queryset = Product.objects.values("category").annotate(total=Sum("stock"), n=Count("pk"))
    event = "grouped"
    ordering = ["category"]


class GroupsInBinding(Chosen, Binding[Any]):
    queryset = Product.objects.values("category", "active").annotate(most=Max("stock"))
    event = "groups_in"
    ordering = ["-most"]
    params = {"tags__name": str}

    def get_queryset(self) -> QuerySet[Any]:
        rows = Product.objects.filter(tags__name=self.params["tags__name"])
        return rows.values("category", "active").annotate(most=Max("stock"))

    def filters(self) -> dict[str, Any]:
        return {}


class FullBinding(Chosen, Binding[Any]):
    """Groups that come and go by what they come to."""

    queryset = Product.objects.values("category").annotate(n=Count("pk")).filter(n__gt=3)
    event = "full"
    ordering = ["-n"]


class SummedBinding(Chosen, Binding[Any]):
    """One row in place of all."""

    model = Product
    event = "summed"
    aggregate = {"total": Sum("stock"), "n": Count("pk")}
    params = {
        "active": serializers.BooleanField(required=False),
        "category": serializers.IntegerField(required=False),
    }


class DictsBinding(Chosen, Binding[Any]):
    queryset = Product.objects.values("id", "name", "category__name")
    event = "dicts"
    ordering = ["-id"]
    params = {"category": serializers.IntegerField(required=False)}


class LinksBinding(Chosen, Binding[Any]):
    """A row for each of many."""

    queryset = Product.objects.values("id", "tags")
    event = "links"


class UsedBinding(Chosen, Binding[Any]):
    """What is counted of another table, as dicts."""

    queryset = Category.objects.annotate(n=Count("product", filter=Q(product__active=True))).values(
        "id", "n"
    )
    event = "used"
    ordering = ["id"]


class EitherBinding(Binding[Any]):
    """A union of dicts."""

    queryset = (
        Product.objects.filter(stock__gt=3)
        .values("id", "stock")
        .union(Product.objects.filter(price__lt=8).values("id", "stock"))
    )
    event = "either"
    ordering = ["id"]


# Slots.


class JoinedBinding(Chosen, Binding[Any]):
    """A slot on a table that is joined backwards."""

    model = Product
    event = "joined"
    fields = ["id", "name", "category"]
    ordering = ["id"]
    params = {"category__membership__user": int}


class InChosenBinding(Chosen, Binding[Any]):
    """A slot inside a subquery."""

    model = Product
    event = "in_chosen"
    fields = ["id", "name", "category"]
    ordering = ["id"]
    params = {"user": int}

    def get_queryset(self) -> QuerySet[Any]:
        chosen = Membership.objects.filter(user=self.params["user"])
        return super().get_queryset().filter(category__in=chosen.values("category"))

    def filters(self) -> dict[str, Any]:
        return {}


class WhereMemberBinding(InChosenBinding):
    """A slot inside EXISTS."""

    event = "where_member"

    def get_queryset(self) -> QuerySet[Any]:
        members = Membership.objects.filter(category=OuterRef("category"), user=self.params["user"])
        return Product.objects.filter(Exists(members))


class OrMemberBinding(InChosenBinding):
    """A slot in one of two branches."""

    event = "or_member"

    def get_queryset(self) -> QuerySet[Any]:
        user = self.params["user"]
        return Product.objects.filter(Q(stock=user) | Q(category__membership__user=user))


class TaggedByBinding(Chosen, Binding[Any]):
    """A slot over many to many."""

    model = Product
    event = "tagged_by"
    fields = ["id", "name"]
    ordering = ["-stock"]
    params = {"tags__name": str}


class AmongBinding(Chosen, Binding[Any]):
    """A slot that is a list."""

    model = Product
    event = "among"
    fields = ["id", "stock", "category"]
    ordering = ["id"]
    params = {"category__in": serializers.ListField(child=serializers.IntegerField())}


class StockedBinding(Binding[Any]):
    """A slot inside what is counted."""

    model = Category
    event = "stocked"
    ordering = ["id"]
    params = {"least": int}

    def get_queryset(self) -> QuerySet[Any]:
        least = Q(product__stock__gte=self.params["least"])
        return Category.objects.annotate(n=Count("product", filter=least))

    class Row(serializers.ModelSerializer[Any]):
        n = serializers.IntegerField()

        class Meta:
            model = Category
            fields = ["id", "n"]

    serializer_class = Row


class OwnJoinedBinding(Binding[Any]):
    """What a user may see, by rows that are joined."""

    model = Product
    event = "own_joined"
    fields = ["id", "category"]
    ordering = ["id"]

    def filters(self) -> dict[str, Any]:
        return {"category__membership__user": self.user.pk}


class OwnChosenBinding(OwnJoinedBinding):
    """What a user may see, by rows of a subquery."""

    event = "own_chosen"

    def filters(self) -> dict[str, Any]:
        chosen = Membership.objects.filter(user=self.user.pk).values("category")
        return {"category__in": chosen}


class OwnListedBinding(OwnJoinedBinding):
    """What a user may see, by rows that are read when the binding is asked."""

    event = "own_listed"

    def filters(self) -> dict[str, Any]:
        chosen = Membership.objects.filter(user=self.user.pk).values_list("category", flat=True)
        return {"category__in": list(chosen)}


# What is reached backwards.


class InCategory(serializers.ModelSerializer[Any]):
    tags: Any = serializers.PrimaryKeyRelatedField(many=True, read_only=True)

    class Meta:
        model = Product
        fields = ["id", "stock", "tags"]


class Nested(serializers.ModelSerializer[Any]):
    products = InCategory(many=True, source="product_set")

    class Meta:
        model = Category
        fields = ["id", "name", "products"]


class NestedBinding(Binding[Any]):
    """Rows with rows in them, with rows in them."""

    event = "nested"
    queryset = Category.objects.prefetch_related(
        Prefetch(
            "product_set",
            Product.objects.order_by("-stock", "pk").prefetch_related(
                Prefetch("tags", Tag.objects.order_by("pk"))
            ),
        )
    )
    serializer_class = Nested
    ordering = ["id"]


class WithStockBinding(Binding[Any]):
    """Rows that are there by rows that refer to them."""

    event = "with_stock"
    queryset = Category.objects.filter(product__stock__gt=3, product__active=True).distinct()
    fields = ["id", "name"]
    ordering = ["id"]


class WithoutBinding(Binding[Any]):
    """Rows that are there by rows that do not refer to them."""

    event = "without"
    queryset = Category.objects.exclude(product__active=False)
    fields = ["id"]
    ordering = ["id"]


class WithTagsBinding(Binding[Any]):
    """Two tables back, in a condition."""

    event = "with_tags"
    queryset = Product.objects.filter(
        Exists(Membership.objects.filter(category=OuterRef("category"))), tags__isnull=False
    ).distinct()
    fields = ["id", "name"]
    ordering = ["id"]


class Best(serializers.ModelSerializer[Any]):
    best = serializers.IntegerField()

    class Meta:
        model = Category
        fields = ["id", "best"]


class BestBinding(Binding[Any]):
    """A column of one of many."""

    event = "best"
    queryset = Category.objects.annotate(
        best=Subquery(
            Product.objects.filter(category=OuterRef("pk"))
            .order_by("-price", "pk")
            .values("stock")[:1]
        )
    )
    serializer_class = Best
    ordering = ["id"]


# What the time moves.


class OpenBinding(Chosen, Binding[Any]):
    """What is going on, perhaps in a category."""

    event = "open"
    queryset = Booking.objects.filter(start__lte=Now(), end__gt=Now())
    fields = ["id", "name", "category"]
    ordering = ["id"]
    params = {"category": serializers.IntegerField(required=False)}


class SoonBinding(Binding[Any]):
    """What begins within a second, and what has begun within the last."""

    event = "soon"
    queryset = Booking.objects.filter(start__gt=Now() - SECOND, start__lte=Now() + SECOND)
    fields = ["id", "name"]
    ordering = ["-id"]


class NextBinding(Binding[Any]):
    """The first few of what has not ended."""

    event = "next"
    queryset = Booking.objects.filter(end__gte=Now())
    fields = ["id"]
    ordering = ["id"]
    limit = 3


class Lit(serializers.ModelSerializer[Any]):
    lit = serializers.BooleanField()

    class Meta:
        model = Booking
        fields = ["id", "lit"]


class LitBinding(Binding[Any]):
    """Rows that stay, and look otherwise in time."""

    event = "lit"
    queryset = Booking.objects.annotate(
        lit=Case(
            When(start__lte=Now(), end__gt=Now(), then=Value(True)),
            default=Value(False),
            output_field=BooleanField(),
        )
    )
    serializer_class = Lit
    ordering = ["id"]


class LateBinding(Binding[Any]):
    """Two columns that the time passes, one shifted by a column of the row's own."""

    event = "late"
    queryset = Booking.objects.filter(
        Q(end__lt=Now() - SECOND) | Q(start__gt=Now(), end__gt=F("start"))
    )
    fields = ["id", "name"]
    ordering = ["id"]
