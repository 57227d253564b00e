"""Querysets as values: which of them differ in nothing but constants."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models import CharField, Count, Exists, F, Func, OuterRef, Prefetch, Q, QuerySet
from django.db.models.expressions import RawSQL
from django.db.models.functions import Lower
from django.db.models.lookups import Exact

from bindserver.queries.trees import tree_of
from tests.app.models import Booking, Category, Membership, Product, Shelf, Tag

products = Product.objects.all()


def constants(queryset: QuerySet[Any]) -> list[Any]:
    """Return the constants of a queryset's tree."""
    tree = tree_of(queryset)
    assert tree is not None
    return [constant.value for constant in tree.constants]


def are_alike(one: QuerySet[Any], other: QuerySet[Any]) -> bool:
    """Return whether two querysets differ in nothing but constants."""
    first, second = tree_of(one), tree_of(other)
    assert first is not None
    assert second is not None
    return first.structure == second.structure


ALIKE: dict[str, Any] = {
    "a column": lambda n: products.filter(category=n),
    "two columns": lambda n: products.filter(category=n, stock=n),
    "a joined column": lambda n: products.filter(tags=n),
    "a subquery": lambda n: products.filter(
        category__in=Membership.objects.filter(user=n).values("category")
    ),
    "a list": lambda n: products.filter(stock__in=[n, n + 1]),
    "beside an aggregate": lambda n: products.annotate(n=Count("tags")).filter(category=n),
    "beside Exists": lambda n: products.filter(
        Exists(Tag.objects.filter(product=OuterRef("pk"))), category=n
    ),
    "in an or": lambda n: products.filter(Q(stock=n) | Q(stock__gt=n)),
    "excluded": lambda n: products.exclude(stock=n),
    "a transform": lambda n: Booking.objects.filter(day__year=2020 + n),
    "an expression": lambda n: products.annotate(low=Lower("name")).filter(low=f"{n}"),
    "an order": lambda n: products.filter(category=n).order_by("-stock", F("name").desc()),
    "related rows": lambda n: products.filter(category=n).select_related("category"),
    "prefetched rows": lambda n: products.filter(category=n).prefetch_related("tags"),
    "a part of the columns": lambda n: products.filter(category=n).only("name"),
    "no row twice": lambda n: products.filter(tags__name=f"{n}").distinct(),
}


@pytest.mark.parametrize("make", ALIKE.values(), ids=ALIKE.keys())
def test_constants_alone_make_no_difference(make: Any) -> None:
    assert are_alike(make(1), make(2))
    assert constants(make(1)) != constants(make(2))


DIFFERENT: dict[str, tuple[Any, Any]] = {
    "another column": (products.filter(category=1), products.filter(stock=1)),
    "another lookup": (products.filter(stock=1), products.filter(stock__gt=1)),
    "not": (products.filter(stock=1), products.exclude(stock=1)),
    "or": (
        products.filter(Q(stock=1) & Q(category=1)),
        products.filter(Q(stock=1) | Q(category=1)),
    ),
    "longer lists": (products.filter(stock__in=[1, 2]), products.filter(stock__in=[1, 2, 3])),
    "another order": (products.order_by("name"), products.order_by("-name")),
    "the order turned": (products.order_by("name"), products.order_by("name").reverse()),
    "distinct": (products, products.distinct()),
    "a limit": (products[:3], products[:4]),
    "an annotation's name": (products.annotate(a=F("stock")), products.annotate(b=F("stock"))),
    "an annotation": (products.annotate(a=F("stock")), products.annotate(a=F("stock") + 1)),
    "an aggregate": (products.annotate(a=Count("tags")), products.annotate(a=Count("id"))),
    "an aggregate's filter": (
        products.annotate(a=Count("tags")),
        products.annotate(a=Count("tags", filter=Q(tags__name="a"))),
    ),
    "a join's kind": (products.filter(category__name="a"), products.exclude(category__name="a")),
    "what is joined": (products, products.select_related("category")),
    "what is prefetched": (products, products.prefetch_related("tags")),
    "what is left out": (products.defer("name"), products.defer("stock")),
    "another database": (products, products.using("other")),
    "another model": (Category.objects.all(), Tag.objects.all()),
    "how rows are locked": (products, products.select_for_update()),
    "a subquery's table": (
        products.filter(Exists(Tag.objects.filter(product=OuterRef("pk")))),
        products.filter(Exists(Category.objects.filter(product=OuterRef("pk")))),
    ),
    "the type that an expression has": (
        products.annotate(a=Func(F("name"), function="LOWER", output_field=CharField())),
        products.annotate(
            a=Func(F("name"), function="LOWER", output_field=CharField(max_length=9))
        ),
    ),
    "a whole number and a truth value": (
        products.filter(Exact(F("stock"), 1)),
        products.filter(Exact(F("stock"), True)),  # what is compared with
    ),
    "a number that no column holds": (products.filter(stock=1), products.filter(stock=2**70)),
}


@pytest.mark.parametrize(("one", "other"), DIFFERENT.values(), ids=DIFFERENT.keys())
def test_all_else_makes_one(one: QuerySet[Any], other: QuerySet[Any]) -> None:
    assert not are_alike(one, other)


class OwnLookup(Exact):
    """A lookup of the project's own."""


class OwnFunction(Func):
    """A function of the project's own."""


UNKNOWN: dict[str, Any] = {
    "a lookup of the project's own": products.filter(OwnLookup(F("stock"), 1)),
    "a function of the project's own": products.annotate(a=OwnFunction(F("stock"))),
    "a class that it selects with": Shelf.objects.filter(
        pk__in=RawSQL("SELECT id FROM app_shelf", ())
    ).annotate(a=OwnFunction(F("size"))),
    "rows that are carried along": products.prefetch_related(
        Prefetch("tags", Tag.objects.filter(name="a"))
    ),
    "what a related manager knows": Category(pk=1).product_set.all(),
}


@pytest.mark.parametrize("queryset", UNKNOWN.values(), ids=UNKNOWN.keys())
def test_what_nobody_knows_has_no_tree(queryset: QuerySet[Any]) -> None:
    assert tree_of(queryset) is None


def test_rows_that_have_been_read_have_no_tree() -> None:
    read: Any = products.all()
    read._result_cache = []
    assert tree_of(read) is None


def test_what_is_beside_is_a_part_of_it() -> None:
    one, other = tree_of(products, ["name"]), tree_of(products, ["-name"])
    assert one is not None
    assert other is not None
    assert one.structure != other.structure
    assert tree_of(products, [object()]) is None


def test_constants_come_with_what_compares_with_them() -> None:
    day, owner = datetime.date(2026, 1, 2), User(pk=3)
    tree = tree_of(Booking.objects.filter(day=day, category__membership__user=owner))
    assert tree is not None
    assert [(one.condition.lhs.target.name, one.value) for one in tree.constants] == [
        ("user", 3),
        ("day", day),
    ]
