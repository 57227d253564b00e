"""Places deeper in a query: windows, groups, joins, subqueries, and the time."""

from __future__ import annotations

import datetime
from typing import Any

from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Now
from django.utils import timezone
from rest_framework import serializers

from bindserver import Binding
from tests.app.models import Booking, Category, Membership, Product
from tests.support.registered import keep_out

HALF_HOUR = datetime.timedelta(minutes=30)
USERS = (0, 1, 2)


def fill_shapes(tags: list[Any]) -> None:
    """Write rows that bindings with one number in them show differently."""
    from django.contrib.auth.models import User

    other = Category.objects.create(pk=2, name="d")
    users = [User.objects.create(pk=number or 3, username=f"u{number}") for number in USERS]
    for user, categories in zip(users, ([1], [1, 2], [2, 2]), strict=True):
        for category in categories:
            Membership.objects.create(user=user, category_id=category)
    for number in USERS:
        product = Product.objects.create(pk=20 + number, name=str(number), stock=number, price=9)
        Product.objects.filter(pk=product.pk).update(category=other)
        product.tags.set(tags[number : number + 1])
        end = timezone.now() - number * 2 * HALF_HOUR + HALF_HOUR
        Booking.objects.create(pk=1 + number, name=f"b{number}", end=end, category=other)


class Narrowed(Binding[Any]):
    """Rows by what each class adds to a condition."""

    model = Product
    event = ""
    fields = ["id", "stock"]
    ordering = ["-stock"]

    def get_queryset(self) -> QuerySet[Any]:
        return Product.objects.filter(self.condition())

    def condition(self) -> Q:
        return Q(stock=self.auth)

    @property
    def member(self) -> int:
        return int(self.auth) or 3


class OfOffset(Narrowed):
    def get_window(self) -> tuple[int | None, int]:
        return 2, self.auth

    def condition(self) -> Q:
        return Q()


class BesideLimit(Narrowed):
    limit = 1


class BesideOffset(Narrowed):
    """In two places: where the window begins follows from who asks."""

    def get_window(self) -> tuple[int | None, int]:
        return 1, self.auth % 2


class InSubquery(Narrowed):
    def condition(self) -> Q:
        return Q(category__in=Membership.objects.filter(user=self.member).values("category"))


class OnJoin(Narrowed):
    def condition(self) -> Q:
        return Q(category__membership__user=self.member)


class InExists(Narrowed):
    def condition(self) -> Q:
        return Q(Exists(Membership.objects.filter(category=OuterRef("category"), user=self.member)))


class InOr(Narrowed):
    def condition(self) -> Q:
        return Q(stock=self.auth) | Q(category__membership__user=self.member)


class InNot(Narrowed):
    def condition(self) -> Q:
        return ~Q(category__membership__user=self.member)


class OnManyToMany(Narrowed):
    def condition(self) -> Q:
        return Q(tags__name=str(self.auth))


class OfList(Narrowed):
    def condition(self) -> Q:
        return Q(stock__in=[self.auth, self.auth + 1])


class OfText(Narrowed):
    def condition(self) -> Q:
        return Q(name=self.auth)


class Twice(Narrowed):
    """In two conditions."""

    def condition(self) -> Q:
        return Q(stock=self.auth, category__membership__user=self.member)


class Compared(Narrowed):
    def condition(self) -> Q:
        return Q(stock__gte=self.auth)


class Shown(serializers.ModelSerializer[Any]):
    mark = serializers.SerializerMethodField()

    class Meta:
        model = Product
        fields = ["id", "mark"]

    def get_mark(self, row: Product) -> str:
        return str(self.context["value"])


class BesideContext(Narrowed):
    """What differs stands in a condition, and rows show it too."""

    serializer_class = Shown

    def get_serializer_context(self) -> dict[str, Any]:
        return {"value": self.auth}


class Marked(serializers.ModelSerializer[Any]):
    mark = serializers.ReadOnlyField()

    class Meta:
        model = Product
        fields = ["id", "mark"]


class BesideValue(Narrowed):
    serializer_class = Marked

    def get_queryset(self) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset().annotate(mark=Value(self.auth))
        return rows


class OfCategories(serializers.ModelSerializer[Any]):
    n = serializers.ReadOnlyField()

    class Meta:
        model = Category
        fields = ["id", "n"]


class InCount(Binding[Any]):
    model = Category
    event = ""
    serializer_class = OfCategories

    def get_queryset(self) -> QuerySet[Any]:
        least = Q(product__stock__gte=self.auth)
        return Category.objects.annotate(n=Count("product", filter=least))


class BesideCount(InCount):
    """A slot beside what is counted over the same join."""

    def get_queryset(self) -> QuerySet[Any]:
        member = int(self.auth) or 3
        found = Category.objects.filter(membership__user=member)
        return found.annotate(n=Count("product", distinct=True))


class Columns(serializers.Serializer[Any]):
    mark = serializers.ReadOnlyField()
    n = serializers.ReadOnlyField(default=None)


class InGroups(Binding[Any]):
    model = Product
    event = ""
    serializer_class = Columns

    def get_queryset(self) -> QuerySet[Any]:
        rows = Product.objects.filter(stock__gte=self.auth)
        return rows.values(mark=F("category")).annotate(n=Count("pk"))


class OfColumn(Binding[Any]):
    """Which column is selected."""

    model = Product
    event = ""
    serializer_class = Columns

    def get_queryset(self) -> QuerySet[Any]:
        return Product.objects.values("id", mark=F(("name", "stock", "price")[self.auth]))


class OfDicts(Binding[Any]):
    """A slot, where rows are dicts."""

    queryset = Product.objects.values("id", "name")
    event = ""

    def filters(self) -> dict[str, Any]:
        return {"stock": self.auth}


class InHaving(Binding[Any]):
    queryset = Product.objects.values("category").annotate(n=Count("pk"))
    event = ""

    def filters(self) -> dict[str, Any]:
        return {"n__gt": self.auth}


class InAggregate(Binding[Any]):
    model = Product
    event = ""

    @property
    def aggregate(self) -> Any:
        return {"n": Count("pk", filter=Q(stock__gte=self.auth))}


class OfAggregate(Binding[Any]):
    model = Product
    event = ""
    aggregate = {"n": Count("pk")}

    def filters(self) -> dict[str, Any]:
        return {"stock": self.auth}


class InUnion(Binding[Any]):
    model = Product
    event = ""
    serializer_class = Columns

    def get_queryset(self) -> QuerySet[Any]:
        rows = Product.objects.filter(stock=self.auth).values("id", mark=F("stock"))
        return rows.union(Product.objects.filter(pk=1).values("id", mark=F("stock")))


class OfInterval(Binding[Any]):
    """How long ago."""

    model = Booking
    event = ""
    fields = ["id", "name"]

    def get_queryset(self) -> QuerySet[Any]:
        return Booking.objects.filter(end__gt=Now() - self.auth * 2 * HALF_HOUR)


class BesideNow(Binding[Any]):
    """A slot beside the present time."""

    model = Booking
    event = ""
    fields = ["id", "name"]

    def get_queryset(self) -> QuerySet[Any]:
        return Booking.objects.filter(end__gt=Now() - 8 * HALF_HOUR, name=f"b{self.auth}")


NARROWED = {
    "a window's offset": OfOffset,
    "beside a limit": BesideLimit,
    "beside a window": BesideOffset,
    "a subquery": InSubquery,
    "a joined table": OnJoin,
    "EXISTS": InExists,
    "one of two branches": InOr,
    "what is negated": InNot,
    "many to many": OnManyToMany,
    "a list": OfList,
    "a text": OfText,
    "two conditions": Twice,
    "a comparison": Compared,
    "a condition beside a context": BesideContext,
    "a condition beside a value": BesideValue,
    "what is counted": InCount,
    "beside what is counted": BesideCount,
    "groups": InGroups,
    "which column": OfColumn,
    "a condition on dicts": OfDicts,
    "HAVING": InHaving,
    "an aggregate": InAggregate,
    "what is added up": OfAggregate,
    "a union": InUnion,
    "an interval": OfInterval,
    "beside the present time": BesideNow,
}
"""Bindings with one number in them, by where it stands."""
TOGETHER = frozenset({"beside a limit", "a subquery", "a joined table", "two conditions"})
"""Those whose views can be read together."""


keep_out(globals())
