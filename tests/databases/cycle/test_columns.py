"""Bindings of groups, of one row of aggregates, and of dicts: as `list(queryset)` has them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.db.models import Avg, Count, F, FloatField, Max, Min, Q, QuerySet, Sum
from django.db.models.functions import Lower
from rest_framework import serializers
from rest_framework.utils.encoders import JSONEncoder

from bindserver import Binding
from bindserver.queries.query import Query
from tests.app.models import Category, Product, Tag
from tests.support.turning import Follower, Turning, add


class TotalRow(serializers.Serializer[Any]):
    category = serializers.IntegerField()
    total = serializers.DecimalField(max_digits=12, decimal_places=1)


class NamedRow(serializers.Serializer[Any]):
    called = serializers.CharField(source="name")
    doubled = serializers.SerializerMethodField()

    def get_doubled(self, row: dict[str, Any]) -> int:
        return int(row["stock"]) * 2


P = Product.objects
QUERIES: dict[str, Callable[[], QuerySet[Any]]] = {
    "a sum for each category": lambda: P.values("category").annotate(total=Sum("price")),
    "two columns": lambda: P.values("category", "active").annotate(n=Count("pk"), m=Max("stock")),
    "having": lambda: P.values("category").annotate(n=Count("pk")).filter(n__gt=1),
    "by a column of the category": lambda: P.values("category__name").annotate(n=Count("pk")),
    "by an expression": lambda: P.values(low=Lower("name")).annotate(n=Count("pk")),
    "by whether": lambda: P.values("active").annotate(worth=Avg("price")),
    "of an inner join": lambda: (
        P.filter(category__isnull=False).values("category__id").annotate(n=Count("tags"))
    ),
    "a count of each": lambda: P.annotate(n=Count("tags")).values("name", "n"),
    "by the aggregate": lambda: P.values("stock").annotate(n=Sum("price")).order_by("-n"),
    "the first": lambda: P.values("stock").annotate(n=Count("pk")).order_by("-n", "stock")[:2],
    "all columns": lambda: P.values(),
    "without the key": lambda: P.values("name", "price"),
    "an annotation": lambda: P.values("name", worth=F("price") * F("stock")),
    "of many": lambda: P.values("name", "tags__name"),
    "distinct": lambda: P.values("category", "active").distinct(),
    "one that is distinct": lambda: P.values("stock").distinct(),
    "distinct with the key": lambda: P.values("pk", "stock").distinct(),
    "a union": lambda: (
        P.filter(stock=0).values("id", "name").union(P.filter(active=True).values("id", "name"))
    ),
    "a union of models": lambda: P.values("id", "name").union(
        Category.objects.values("id", "name")
    ),
    "an intersection": lambda: (
        P.filter(stock=0).values("stock", "active").intersection(P.values("stock", "active"))
    ),
    "a difference": lambda: P.values("name", "stock").difference(
        P.filter(active=True).values("name", "stock")
    ),
    "a union of instances": lambda: P.filter(stock=0).union(P.filter(active=True)),
}


def plain(rows: Any) -> list[Any]:
    """Return rows as JSON has them, decimals as texts."""
    told = [
        {name: f"{value:f}" if isinstance(value, Decimal) else value for name, value in row.items()}
        for row in rows
    ]
    return list(json.loads(JSONEncoder().encode(told)))


def once(rows: list[Any]) -> list[Any]:
    """Return rows without those that a join brings again."""
    return [row for at, row in enumerate(rows) if row not in rows[:at]]


def write_all() -> Iterator[None]:
    """Write in many ways, a commit at a time; nothing at first."""
    yield
    P.filter(pk=10).update(price=Decimal("9.99"))
    yield
    P.filter(pk=10).update(category=2, stock=5)
    yield
    P.filter(pk=11).update(category=None)
    yield
    P.filter(category=3).delete()
    yield
    add(40, 3, price=Decimal("0.5"), name="PRODUCT 20")
    yield
    tag = Tag.objects.create(pk=1, name="red")
    tag.product_set.add(40, 10)
    Tag.objects.create(pk=2, name="red").product_set.add(40)
    yield
    Category.objects.filter(pk=3).update(name="drei")
    yield
    tag.delete()
    yield
    P.all().delete()
    yield
    add(1, 1, active=False)
    yield


def declared(queryset: Any, **more: Any) -> Binding[Any]:
    kind = type("Columns", (Binding,), {"event": "columns", "queryset": queryset, **more})
    binding: Binding[Any] = kind()
    return binding


def follow(turning: Turning, binding: Binding[Any]) -> Follower:
    """Have a binding followed, and take the first turn."""
    follower = turning.follow(binding, Query(binding).key)
    turning.turn()
    assert follower.refused is None, follower.refused
    return follower


@pytest.mark.parametrize("name", sorted(QUERIES))
def test_rows_are_those_of_the_queryset_after_each_change(turning: Turning, name: str) -> None:
    made = QUERIES[name]
    served: dict[str, Any] = {}
    if name == "a union of instances":
        served["fields"] = ["id", "name"]
    elif name == "all columns":
        served["fields"] = "__all__"
    follower = follow(turning, declared(made(), **served))
    for _ in write_all():
        turning.turn()
        compare(follower, made(), served.get("fields"))
        assert "stale" not in follower.actions


def compare(follower: Follower, queryset: QuerySet[Any], fields: Any) -> None:
    expected = once(plain(queryset.values(*fields) if isinstance(fields, list) else queryset))
    names = set(expected[0]) if expected else set()
    got = [{n: v for n, v in row.items() if n in names} for row in follower.replica.rows]
    if not queryset.query.order_by:
        got, expected = sorted(got, key=json.dumps), sorted(expected, key=json.dumps)
    assert got == expected


AGGREGATES: dict[str, Callable[[], tuple[Any, dict[str, Any]]]] = {
    "sums": lambda: (P.all(), {"total": Sum("price"), "n": Count("pk"), "most": Max("stock")}),
    "of some": lambda: (P.filter(active=True), {"price": Sum("price", default=Decimal(0))}),
    "of joined rows": lambda: (
        P.all(),
        {"tags": Count("tags", distinct=True), "low": Min("price")},
    ),
    "of none": lambda: (P.none(), {"n": Count("pk"), "total": Sum("price")}),
    "with a condition": lambda: (P.all(), {"n": Count("pk", filter=Q(category__name="drei"))}),
    "of distinct rows": lambda: (P.filter(tags__name="red").distinct(), {"n": Count("pk")}),
    "of groups": lambda: (P.annotate(n=Count("tags")), {"mean": Avg("n"), "twice": F("mean") * 2}),
    "of groups' values": lambda: (
        P.values("category").annotate(n=Count("pk")),
        {"most": Max("n"), "groups": Count("category")},
    ),
}


@pytest.mark.parametrize("name", sorted(AGGREGATES))
def test_one_row_is_what_aggregate_says_after_each_change(turning: Turning, name: str) -> None:
    queryset, aggregate = AGGREGATES[name]()
    follower = follow(turning, declared(queryset, aggregate=aggregate))
    for _ in write_all():
        turning.turn()
        expected = plain([queryset.all().aggregate(**aggregate)])
        assert follower.replica.rows == [{"key": "[]", **expected[0]}]
        assert "stale" not in follower.actions


def test_a_serializer_renders_groups_as_it_does_in_a_view(turning: Turning) -> None:
    def made() -> QuerySet[Any]:
        return P.values("category").annotate(total=Sum("price")).filter(category__isnull=False)

    follower = follow(turning, declared(made(), serializer_class=TotalRow))
    for _ in write_all():
        turning.turn()
        expected = plain(TotalRow(made().order_by("category"), many=True).data)
        assert [{**row, "key": f"[{row['category']}]"} for row in expected] == sorted(
            follower.replica.rows, key=lambda row: int(row["category"])
        )


def test_a_serializer_with_methods_renders_rows_of_values(turning: Turning) -> None:
    queryset = P.values("name", "stock").order_by("stock", "pk")
    follower = follow(turning, declared(queryset, serializer_class=NamedRow))
    for _ in write_all():
        turning.turn()
        expected = plain(NamedRow(queryset.all(), many=True).data)
        got = [{n: v for n, v in row.items() if n != "id"} for row in follower.replica.rows]
        assert got == expected
        assert follower.column("id") == list(P.order_by("stock", "pk").values_list("pk", flat=True))


def test_rows_of_values_are_read_again_by_their_keys(turning: Turning) -> None:
    follower = follow(turning, declared(P.values("name", "stock")))
    follower.told()
    P.filter(pk=20).update(stock=3)
    turning.turn()
    assert follower.told() == ["update"]
    assert len(turning.statements) == 1
    assert "IN (20)" in turning.statements[0] or "IN (%s)" in turning.statements[0]


def test_a_group_keeps_its_key_while_it_changes_and_vanishes_with_its_last_row(
    turning: Turning,
) -> None:
    queryset = P.values("active").annotate(n=Count("pk"))
    follower = follow(turning, declared(queryset))
    follower.told()
    add(50, 1, active=True)
    turning.turn()
    assert follower.told() == ["update"]
    P.filter(active=False).delete()
    turning.turn()
    assert follower.told() == ["delete"]
    assert follower.replica.rows == [{"key": "[true]", "active": True, "n": 4}]


def test_a_group_of_a_column_that_is_never_null_has_it_as_its_key(turning: Turning) -> None:
    follower = follow(turning, declared(P.values("stock").annotate(n=Count("pk"))))
    assert Query(declared(P.values("stock").annotate(n=Count("pk")))).key == "stock"
    assert follower.replica.rows == [{"stock": 0, "n": 6}]


def test_a_writer_of_sums_asks_no_binding_again(turning: Turning) -> None:
    """What is looked at to tell who a query is counts for no table that the binding asks."""
    asked = []

    class Asked(Binding[Any]):
        model = Product
        event = "asked"
        aggregate = {"n": Count("pk")}

        def get_queryset(self) -> QuerySet[Any]:
            asked.append(1)
            return P.filter(active=True)

    follower = turning.follow(Asked(), "key")
    turning.turn()
    asked.clear()
    add(60)
    turning.turn()
    assert follower.replica.rows == [{"key": "[]", "n": 4}]
    assert asked == []


class TestWhoSharesAView:
    def test_equal_groups_are_one_view(self, turning: Turning) -> None:
        for _ in range(2):
            turning.follow(declared(P.values("category").annotate(n=Count("pk"))), "key")
            turning.follow(declared(P.all(), aggregate={"n": Count("pk")}), "key")
        kinds = {
            "model": Product,
            "event": "sum",
            "queryset": P.values("stock").annotate(n=Count("pk")),
        }
        kind = type("Sum", (Binding,), kinds)
        turning.follow(kind(), "stock")
        turning.follow(kind(), "stock")
        turning.turn()
        assert len(turning.views()) == 5  # classes of one name are several; instances of one, one

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (P.values("category"), P.values("category_id")),
            (P.values("stock", n=F("price")), P.values("stock", m=F("price"))),
            (
                P.values("stock").annotate(n=Count("pk")),
                P.values("stock").annotate(n=Count("pk")).filter(n__gt=1),
            ),
            (
                P.values("stock").annotate(n=Count("pk")),
                P.values("stock").annotate(n=Count("tags")),
            ),
            (P.values("stock", "active"), P.values("active", "stock")),
        ],
    )
    def test_unlike_queries_are_told_apart(
        self, turning: Turning, one: QuerySet[Any], other: QuerySet[Any]
    ) -> None:
        class Same(Binding[Any]):
            event = "same"

            def get_queryset(self) -> QuerySet[Any]:
                return asked[0]

            serializer_class = NamedRow
            model = Product

        asked = [one]
        first, again = Query(Same()), Query(Same())
        asked[0] = other
        assert first.identity == again.identity
        assert first.identity != Query(Same()).identity
        assert first.fingerprint != Query(Same()).fingerprint

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ({"n": Count("pk")}, {"m": Count("pk")}),
            ({"n": Count("pk")}, {"n": Count("stock")}),
            ({"n": Sum("stock")}, {"n": Sum("stock", output_field=FloatField())}),
            ({"n": Sum("stock"), "m": Max("stock")}, {"m": Max("stock"), "n": Sum("stock")}),
            ({"n": Count("pk")}, {"n": Count("pk", filter=Q(stock=1))}),
        ],
    )
    def test_unlike_aggregates_are_told_apart(
        self, turning: Turning, one: dict[str, Any], other: dict[str, Any]
    ) -> None:
        class Same(Binding[Any]):
            event = "same"
            model = Product

            def aggregate(self) -> dict[str, Any]:
                return asked[0]

        asked = [one]
        first, again = Query(Same()), Query(Same())
        asked[0] = other
        assert (first.identity, first.unshared) == (again.identity, ())
        assert first.identity != Query(Same()).identity
