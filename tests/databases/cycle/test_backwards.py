"""A changed row is followed back to the rows that it belongs to, or belonged to before."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db.models import Count, Exists, F, OuterRef, Prefetch, Q, QuerySet, Subquery, Sum
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer

from bindserver import Binding
from bindserver.queries import reading
from tests.app.models import Category, Membership, Product, Shelf, Tag
from tests.support.turning import Follower, Turning, add

IN_STOCK = Q(product__stock__gt=3)


def members(**conditions: Any) -> QuerySet[Category]:
    return Category.objects.filter(membership__user__username="u1", **conditions)


def of_parent(**conditions: Any) -> QuerySet[Product]:
    return Product.objects.filter(category=OuterRef("pk"), **conditions)


QUERYSETS: dict[str, Callable[[], QuerySet[Any]]] = {
    "count": lambda: Category.objects.annotate(value=Count("product")),
    "sum of some": lambda: Category.objects.annotate(value=Sum("product__stock", filter=IN_STOCK)),
    "order by a count": lambda: Category.objects.annotate(value=Count("product")).order_by(
        "value", "pk"
    ),
    "having": lambda: Category.objects.annotate(value=Count("product")).filter(value__gt=1),
    "filter": lambda: Category.objects.filter(product__stock__gt=3).distinct(),
    "exclude": lambda: Category.objects.exclude(product__stock__gt=3),
    "two hops": lambda: Category.objects.annotate(value=Count("product__tags", distinct=True)),
    "filter over two hops": lambda: Category.objects.filter(product__tags__name="t1").distinct(),
    "exclude over two hops": lambda: Category.objects.exclude(product__tags__name="t1"),
    "far side": lambda: Tag.objects.filter(product__category__name="c2").distinct(),
    "exists": lambda: Category.objects.filter(Exists(of_parent(stock__gt=3))),
    "not exists": lambda: Category.objects.filter(~Exists(of_parent(tags__name="t1"))),
    "exists as value": lambda: Category.objects.annotate(value=Exists(of_parent(stock__gt=3))),
    "subquery": lambda: Category.objects.annotate(
        value=Subquery(of_parent().order_by("-stock", "-pk").values("name")[:1])
    ),
    "grouped subquery": lambda: Category.objects.annotate(
        value=Subquery(
            of_parent().order_by().values("category").annotate(n=Count("tags")).values("n")
        )
    ),
    "forth and back": lambda: Product.objects.filter(
        category__membership__user__username="u1"
    ).distinct(),
    "in": lambda: Product.objects.filter(category__in=members()),
    "in a list of values": lambda: Product.objects.filter(
        category__in=Membership.objects.filter(user__username="u1").values("category")
    ),
    "in within or": lambda: Product.objects.filter(Q(stock=5) | Q(category__in=members())),
    "in and back": lambda: Tag.objects.filter(product__in=Product.objects.filter(stock__gt=3)),
    "not in": lambda: Category.objects.exclude(
        pk__in=Membership.objects.filter(user__username="u1").values("category")
    ),
    "nested": lambda: Category.objects.filter(
        Exists(of_parent(tags__in=Tag.objects.filter(name="t1"))),
    ),
    "its own table": lambda: Product.objects.annotate(value=Count("category__product")),
    "several at once": lambda: Category.objects.annotate(
        value=Count("product", distinct=True) + Count("shelf", distinct=True)
    ).filter(Exists(Membership.objects.filter(category=OuterRef("pk")))),
}


Declared = tuple[Binding[Any], Callable[[], list[Any]]]
"""A binding, and what gives its rows anew."""


def declared(serializer: Any, get_queryset: Callable[[], QuerySet[Any]]) -> Declared:
    class RowBinding(Binding[Any]):
        event = None
        serializer_class = serializer

    RowBinding.queryset = get_queryset()

    def rows() -> list[Any]:
        queryset = get_queryset()
        in_order = queryset if queryset.query.order_by else queryset.order_by("pk")
        found = json.loads(JSONRenderer().render(serializer(in_order, many=True).data))
        return [_sorted(row) for row in found]

    return RowBinding(), rows


def sorted_within(follower: Follower) -> list[Any]:
    """Return a follower's rows; lists in them have an order that nobody has asked for."""
    return [_sorted(row) for row in follower.replica.rows]


def _sorted(value: Any) -> Any:
    if isinstance(value, list):
        return sorted(map(_sorted, value), key=repr)
    if isinstance(value, dict):
        return {name: _sorted(item) for name, item in value.items()}
    return value


def binding_of(get_queryset: Callable[[], QuerySet[Any]]) -> Declared:
    """Return a binding of a queryset that shows names, and a value if it has one."""
    queryset = get_queryset()
    annotated = "value" in queryset.query.annotations

    class NameSerializer(serializers.ModelSerializer[Any]):
        class Meta:
            model = queryset.model
            fields = ["id", "name"]

    class ValueSerializer(NameSerializer):
        value = serializers.ReadOnlyField()

        class Meta(NameSerializer.Meta):
            fields = ["id", "name", "value"]

    return declared(ValueSerializer if annotated else NameSerializer, get_queryset)


class TagSerializer(serializers.ModelSerializer[Tag]):
    class Meta:
        model = Tag
        fields = ["id", "name"]


class StockSerializer(serializers.ModelSerializer[Product]):
    class Meta:
        model = Product
        fields = ["id", "stock"]


class LabelSerializer(serializers.ModelSerializer[Product]):
    tags = TagSerializer(many=True)

    class Meta:
        model = Product
        fields = ["id", "name", "tags"]


class StocksSerializer(serializers.ModelSerializer[Category]):
    product_set = StockSerializer(many=True)

    class Meta:
        model = Category
        fields = ["id", "name", "product_set"]


class LabelsSerializer(StocksSerializer):
    product_set = LabelSerializer(many=True)  # type: ignore[assignment]


class KeptSerializer(StocksSerializer):
    product_set = None  # type: ignore[assignment]
    kept = StockSerializer(many=True)

    class Meta(StocksSerializer.Meta):
        fields = ["id", "kept"]


class OwnCountSerializer(serializers.ModelSerializer[Category]):
    products = serializers.SerializerMethodField()

    class Meta:
        model = Category
        fields = ["id", "products"]

    def get_products(self, category: Category) -> int:
        return category.product_set.filter(stock__gt=3).count()


class OwnCategorySerializer(serializers.ModelSerializer[Product]):
    category = serializers.CharField(source="category.name", default=None)

    class Meta:
        model = Product
        fields = ["id", "category", "tags"]


class BesideSerializer(serializers.ModelSerializer[Product]):
    shelves = serializers.SerializerMethodField()

    class Meta:
        model = Product
        fields = ["id", "shelves"]

    def get_shelves(self, product: Product) -> list[int]:
        shelves = product.category.shelf_set.all() if product.category else ()
        return sorted(shelf.pk for shelf in shelves)


class OnceSerializer(serializers.ModelSerializer[Category]):
    """Asks for all rows at once, by a key that one of them has."""

    mine = serializers.SerializerMethodField()

    class Meta:
        model = Category
        fields = ["id", "mine"]

    def get_mine(self, category: Category) -> bool:
        if not hasattr(self, "found"):
            products = Product.objects.filter(category_id=1).values_list("stock", flat=True)
            self.found = max(products, default=0)
        return bool(category.pk <= self.found)


def products(**conditions: Any) -> Any:
    return Product.objects.filter(**conditions).distinct().order_by("pk")


READ_KEYED: dict[str, Callable[[], Declared]] = {
    "prefetch": lambda: declared(
        StocksSerializer, lambda: Category.objects.prefetch_related("product_set")
    ),
    "prefetch of links": lambda: declared(
        LabelSerializer, lambda: Product.objects.prefetch_related("tags")
    ),
    "prefetch over two": lambda: declared(
        LabelsSerializer, lambda: Category.objects.prefetch_related("product_set__tags")
    ),
    "prefetch of some": lambda: declared(
        StocksSerializer,
        lambda: Category.objects.prefetch_related(
            Prefetch("product_set", products(tags__name="t1"))
        ),
    ),
    "prefetch into another place": lambda: declared(
        KeptSerializer,
        lambda: Category.objects.prefetch_related(
            Prefetch("product_set", products(stock__gt=3), to_attr="kept")
        ),
    ),
    "prefetch within a prefetch": lambda: declared(
        LabelsSerializer,
        lambda: Category.objects.prefetch_related(
            Prefetch("product_set", products().prefetch_related("tags"))
        ),
    ),
    "prefetch there and back": lambda: declared(
        BesideSerializer, lambda: Product.objects.prefetch_related("category__shelf_set")
    ),
    "by a related manager": lambda: declared(OwnCountSerializer, Category.objects.all),
    "by a foreign key": lambda: declared(OwnCategorySerializer, Product.objects.all),
}
READ_WHOLE: dict[str, Callable[[], Declared]] = {
    "two deep by itself": lambda: declared(LabelsSerializer, Category.objects.all),
    "there and back by itself": lambda: declared(BesideSerializer, Product.objects.all),
    "once for all": lambda: declared(OnceSerializer, Category.objects.all),
    "sliced prefetch": lambda: declared(
        KeptSerializer,
        lambda: Category.objects.prefetch_related(
            Prefetch("product_set", products().order_by("-stock", "pk")[:1], to_attr="kept")
        ),
    ),
}
BINDINGS: dict[str, Callable[[], Declared]] = {
    **{name: partial(binding_of, queryset) for name, queryset in QUERYSETS.items()},
    **READ_KEYED,
}


@pytest.fixture
def world(turning: Turning) -> Turning:
    """Categories, products and tags, users who are members of some categories, and shelves."""
    users = get_user_model().objects
    for number in (1, 2):
        users.create(pk=number, username=f"u{number}")
        Tag.objects.create(pk=number, name=f"t{number}")
        Category.objects.filter(pk=number).update(name=f"c{number}")
    _join(1, 1)
    Product.objects.get(pk=10).tags.add(1)
    Product.objects.filter(pk=11).update(stock=5)
    Shelf.objects.create(pk=1, name="s", category_id=3)
    return turning


def links() -> Any:
    return Product.tags.through.objects


CHANGES: list[Callable[[random.Random], object]] = [
    lambda r: Product.objects.filter(pk=_one(Product, r)).update(stock=r.randrange(7)),
    lambda r: Product.objects.filter(pk=_one(Product, r)).update(category=_one(Category, r)),
    lambda r: Product.objects.filter(pk=_one(Product, r)).update(category=None),
    lambda r: Product.objects.filter(category=_one(Category, r)).update(category=r.randint(1, 3)),
    lambda r: Product.objects.filter(pk=_one(Product, r)).delete(),
    lambda r: add(_next(Product), _one(Category, r), stock=r.randrange(7)),
    lambda r: _product(r).tags.add(*Tag.objects.all()[: r.randint(1, 2)]),
    lambda r: _product(r).tags.clear(),
    lambda r: _product(r).tags.remove(_one(Tag, r)),
    lambda r: (
        links().update(product_id=F("product_id"), tag_id=r.randint(1, 2))
        if links().count() < 2
        else links().filter(pk=links().first().pk).delete()
    ),
    lambda r: Tag.objects.filter(pk=_one(Tag, r)).update(name=f"t{r.randint(1, 2)}"),
    lambda r: Category.objects.filter(pk=_one(Category, r)).update(name=f"c{r.randint(1, 3)}"),
    lambda r: _join(r.randint(1, 2), _one(Category, r)),
    lambda r: Membership.objects.filter(pk=_one(Membership, r)).update(category=_one(Category, r)),
    lambda r: Membership.objects.filter(pk=_one(Membership, r)).update(user=r.randint(1, 2)),
    lambda r: Membership.objects.filter(pk=_one(Membership, r)).delete(),
    lambda r: Shelf.objects.update(category=_one(Category, r)),
    lambda r: _exchange(r),
]


def _one(model: Any, chance: random.Random) -> int:
    keys = list(model.objects.order_by("pk").values_list("pk", flat=True))
    return int(chance.choice(keys)) if keys else 0


def _next(model: Any) -> int:
    """Return a key that no row has; a sequence may not know of those that were named."""
    return 1 + max(model.objects.values_list("pk", flat=True), default=0)


def _join(user: int, category: int) -> Membership:
    return Membership.objects.create(pk=_next(Membership), user_id=user, category_id=category)


def _product(chance: random.Random) -> Product:
    return Product.objects.filter(pk=_one(Product, chance)).first() or add(_next(Product))


def _exchange(chance: random.Random) -> None:
    """Have a row leave its parent and a parent of its own come, in one turn."""
    Category.objects.create(pk=100 + chance.randrange(10**6), name="c2")
    Product.objects.filter(pk=_one(Product, chance)).update(category=_one(Category, chance))
    Product.objects.filter(pk=_one(Product, chance)).update(category=_one(Category, chance))
    gone = Category.objects.filter(pk=_one(Category, chance), pk__gt=3)
    Membership.objects.filter(category__in=gone).delete()
    gone.delete()


class TestEveryChange:
    def test_replicas_equal_the_serialized_select(self, world: Turning) -> None:
        chance = random.Random(11)
        followed: dict[str, tuple[Follower, Callable[[], list[Any]]]] = {}
        for name, declare in {**BINDINGS, **READ_WHOLE}.items():
            binding, rows = declare()
            followed[name] = world.follow(binding), rows
        world.turn()
        for step in range(40):
            for _ in range(chance.choice((1, 1, 1, 3))):
                chance.choice(CHANGES)(chance)
            world.turn()
            for name, (follower, rows) in followed.items():
                assert sorted_within(follower) == rows(), (step, name)


ONE_CHANGE: dict[str, Callable[[], object]] = {
    "product": lambda: Product.objects.filter(pk=10).update(stock=6),
    "move": lambda: Product.objects.filter(pk=10).update(category=2),
    "delete": lambda: Product.objects.filter(pk=10).delete(),
    "create": lambda: add(99, 1, stock=9),
    "link": lambda: Product.objects.get(pk=20).tags.set([1, 2]),
    "tag": lambda: Tag.objects.filter(pk=1).update(name="t9"),
    "member": lambda: _join(1, 2),
}


MORE = {
    "order by a count": 1,
    "prefetch over two": 1,
    "prefetch within a prefetch": 1,
    "by a foreign key": 8,
}
"""Whose keys are listed too, or whose rows take several statements to be read."""


@pytest.fixture
def whole_reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What reads whole views."""
    reads: list[str] = []
    for name in ("load", "load_together"):
        usual = getattr(reading, name)

        def read(*given: Any, usual: Any = usual, name: str = name, **named: Any) -> Any:
            reads.append(name)
            return usual(*given, **named)

        monkeypatch.setattr(reading, name, read)
    return reads


class TestCost:
    @pytest.mark.parametrize("name", BINDINGS)
    def test_one_changed_row_costs_what_it_touches(
        self, world: Turning, name: str, whole_reads: list[str]
    ) -> None:
        binding, rows = BINDINGS[name]()
        follower = world.follow(binding)
        world.turn()
        whole_reads.clear()
        for what, change in ONE_CHANGE.items():
            change()
            world.turn()
            assert sorted_within(follower) == rows(), what
            assert len(world.statements) <= 5 + MORE.get(name, 0), (what, world.statements)
            assert whole_reads == [], what
