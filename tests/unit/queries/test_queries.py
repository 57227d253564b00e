"""Queries: who they are, what they read, and which rows of theirs a change may reach."""

from __future__ import annotations

import copy
import uuid
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.db.models import Count, F, QuerySet, Window
from django.db.models.functions import RowNumber
from rest_framework import serializers

from bindserver import Binding
from bindserver.database.pacing import Pacer
from bindserver.engine.changes import Change
from bindserver.exceptions import TooManyRows
from bindserver.queries import reaching, reading
from bindserver.queries.dependencies import Recorder
from bindserver.queries.query import Query
from bindserver.queries.rows import OverBudget
from bindserver.queries.windows import Cut
from tests.app.bindings import (
    CatalogueBinding,
    CheapBinding,
    MineBinding,
    ProductBinding,
    RestaurantBinding,
    StockBinding,
    TokenBinding,
    WordBinding,
)
from tests.app.models import Category, Membership, Place, Product, Restaurant, Token, Word


def load(binding: Binding[Any], **kwargs: Any) -> list[Any]:
    """Return the keys of a binding's rows, in order."""
    return list(reading.load(Query(binding), Recorder(), Pacer(10), **kwargs).fresh)


def user(pk: int) -> User:
    return User(pk=pk, username=f"user {pk}")


class TestIdentity:
    def test_two_users_who_are_sent_the_same_share_a_view(self) -> None:
        one, other = (Query(ProductBinding(user=user(pk))) for pk in (1, 2))
        assert one.identity == other.identity
        assert one.fingerprint == other.fingerprint

    def test_fields_that_a_binding_is_given_make_another(self) -> None:
        one: Binding[Any] = Binding(model=Product, fields=["id"])
        other: Binding[Any] = Binding(model=Product, fields=["id", "name"])
        assert Query(one).identity != Query(other).identity
        same: Binding[Any] = Binding(model=Product, fields=["id", "name"])
        assert Query(other).identity == Query(same).identity

    def test_params_that_filter_make_another(self) -> None:
        one = Query(CatalogueBinding(params={"category": 1}))
        other = Query(CatalogueBinding(params={"category": 2}))
        assert one.identity != other.identity
        assert one.fingerprint != other.fingerprint
        assert one.identity == Query(CatalogueBinding(params={"category": "1"})).identity

    @pytest.mark.usefixtures("database")
    def test_a_queryset_that_depends_on_the_user_makes_another(self) -> None:
        category = Category.objects.create(name="a")
        member, other = (User.objects.create(username=name) for name in "ab")
        Membership.objects.create(user=member, category=category)
        assert Query(MineBinding(user=member)).identity != Query(MineBinding(user=other)).identity

    def test_a_context_that_depends_on_the_user_makes_another(self) -> None:
        class Personal(Binding[Product]):
            model = Product

            def get_serializer_context(self) -> dict[str, Any]:
                return {"user": self.user}

        ann = user(1)
        one, other = Query(Personal(user=ann)), Query(Personal(user=user(2)))
        assert one.identity != other.identity
        assert one.identity == Query(Personal(user=copy.copy(ann))).identity
        assert one.identity != Query(Personal(user=AnonymousUser())).identity

    def test_another_limit_makes_another(self) -> None:
        class Fewer(CheapBinding):
            limit = 2

        Fewer.__module__, Fewer.__qualname__ = CheapBinding.__module__, CheapBinding.__qualname__
        assert Query(Fewer()).identity != Query(CheapBinding()).identity

    def test_another_row_format_makes_another_fingerprint(self) -> None:
        def declare(*names: str) -> type[Binding[Any]]:
            class Declared(Binding[Product]):
                model = Product
                fields = list(names)

            return Declared

        assert Query(declare("id")()).fingerprint != Query(declare("id", "name")()).fingerprint
        assert Query(declare("id")()).fingerprint == Query(declare("id")()).fingerprint


@pytest.mark.usefixtures("database")
class TestReading:
    def test_no_more_than_max_rows(self) -> None:
        class Few(Binding[Product]):
            model = Product
            max_rows = 3

        Product.objects.bulk_create([Product(name="a")] * 3)
        assert len(load(Few())) == 3
        Product.objects.create(name="b")
        with pytest.raises(TooManyRows, match="more than 3 rows"):
            load(Few())

    def test_no_more_than_the_budget_here(self) -> None:
        Product.objects.bulk_create([Product(name="a")] * 3)
        assert len(load(ProductBinding(), budget=3)) == 3
        with pytest.raises(OverBudget):
            load(ProductBinding(), budget=2)

    def test_a_window_is_as_large_as_it_says(self) -> None:
        Product.objects.bulk_create([Product(pk=n, name="a", price=9 - n) for n in range(1, 6)])
        assert load(CheapBinding()) == [5, 4, 3]

    def test_rows_by_their_keys_are_those_that_match(self) -> None:
        Product.objects.bulk_create([Product(pk=n, name="a", active=n != 2) for n in (1, 2, 3)])
        rows = reading.read(Query(ProductBinding()), {1, 2, 77}, Recorder(), Pacer(10))
        assert list(rows.fresh) == [1]

    def test_more_keys_than_fit_one_query(self) -> None:
        Product.objects.bulk_create([Product(pk=n, name="a") for n in range(1, 1203)])
        query = Query(ProductBinding())
        assert len(reading.read(query, set(range(1, 5000)), Recorder(), Pacer(10)).fresh) == 1202

    def test_keys_in_the_database_s_order(self) -> None:
        for text in ("b", "a", "B", "é", "z"):
            Word.objects.create(text=text)
        assert reading.ordered_pks(Query(WordBinding()), Pacer(10)) == ["B", "a", "b", "z", "é"]

    def test_a_queryset_that_can_match_nothing_is_empty(self) -> None:
        class Nothing(Binding[Product]):
            queryset = Product.objects.none()

        assert load(Nothing()) == []
        assert Query(Nothing()).tables == {"app_product"}


class TestOrder:
    def test_python_repeats_whole_numbers_only(self) -> None:
        assert Query(StockBinding()).sortable
        assert Query(ProductBinding()).sortable
        assert not Query(CatalogueBinding()).sortable
        assert not Query(WordBinding()).sortable
        assert not Query(TokenBinding()).sortable

    def test_a_column_that_may_be_null_is_the_database_s(self) -> None:
        class ByCategory(Binding[Product]):
            model = Product
            ordering = ["category"]

        assert not Query(ByCategory()).sortable

    @pytest.mark.usefixtures("database")
    def test_sort_values_sort_as_the_database_does(self) -> None:
        stocks = [5, -1, 5, 0, 2**31 - 1, -(2**31)]
        Product.objects.bulk_create([Product(name="a", stock=n) for n in stocks])
        rows = reading.load(Query(StockBinding()), Recorder(), Pacer(10))
        sorts: list[Any] = [fresh.sort for fresh in rows.fresh.values()]
        assert sorts == sorted(sorts)
        assert all(sort is not None for sort in sorts)


class TestWhole:
    @pytest.mark.parametrize(
        ("queryset", "why"),
        [
            (Product.objects.all()[:5], "it has a limit"),
            (Product.objects.all().union(Product.objects.all()), "it is a union"),
            (
                Product.objects.annotate(n=Window(RowNumber(), order_by=F("stock").asc())),
                "it has window functions",
            ),
            (Product.objects.annotate(n=Count("tags")), None),
            (Product.objects.all(), None),
        ],
        ids=["slice", "union", "window", "aggregate", "plain"],
    )
    def test_some_querysets_are_read_whole_only(
        self, queryset: QuerySet[Any], why: str | None
    ) -> None:

        class Read(Binding[Product]):
            fields = ["id"]

        Read.queryset = queryset
        assert Query(Read()).whole == why

    def test_a_limit_is_kept_by_keys(self) -> None:
        query = Query(CheapBinding())
        assert query.whole is None
        assert query.window == Cut(0, 3)

    @pytest.mark.parametrize(
        ("queryset", "ordering", "why"),
        [
            (Product.objects.all(), ["?"], "an order that is not of its rows' own columns"),
            (Product.objects.all(), ["tags__name"], "an order that is not of its rows' own"),
            (
                Product.objects.filter(tags__name="a"),
                ["name"],
                "joins that may bring a row more than once",
            ),
            (Product.objects.all()[:5], None, "it has a limit"),
            (Product.objects.filter(tags__name="a").distinct(), ["name"], None),
            (Product.objects.annotate(n=Count("tags")), ["name"], None),
            (Product.objects.filter(category__name="a"), ["category__name"], None),
            (Product.objects.exclude(tags__name="a"), ["stock"], None),
        ],
        ids=["chance", "many", "join", "slice", "distinct", "count", "forward", "subquery"],
    )
    def test_some_limits_are_read_whole(
        self, queryset: QuerySet[Any], ordering: list[str] | None, why: str | None
    ) -> None:
        binding = Binding[Product](
            model=Product, queryset=queryset, ordering=ordering, limit=3, fields=["id"]
        )
        whole = Query(binding).whole
        assert whole is None if why is None else why in str(whole)


@pytest.mark.usefixtures("database")
class TestReached:
    def test_a_joined_row_reaches_the_rows_that_name_it(self) -> None:
        toys, books = Category.objects.create(name="toys"), Category.objects.create(name="books")
        toy = Product.objects.create(name="a", category=toys)
        Product.objects.create(name="b", category=books)
        query = Query(CatalogueBinding())
        one = Change(table="app_category", pks=frozenset({toys.pk}))
        both = Change(table="app_category", pks=frozenset({toys.pk, books.pk}))
        assert reaching.reached(query, one, (), 100) == {toy.pk}
        assert reaching.reached(query, both, (), 1) is None
        assert reaching.reached(query, both, (), 2) is not None
        assert reaching.reached(query, Change(table="app_tag", pks=frozenset({1})), (), 100) is None

    def test_a_parent_s_row_reaches_its_child(self) -> None:
        Place.objects.create(name="no restaurant")
        child = Restaurant.objects.create(name="a")
        query = Query(RestaurantBinding())
        change = Change(table="app_place", pks=frozenset({child.pk, 1}))
        assert reaching.reached(query, change, (), 100) == {child.pk}

    def test_keys_as_the_database_holds_them_become_python_s(self) -> None:
        token = Token.objects.create(label="a")
        query = Query(TokenBinding())
        assert reaching.primary_keys(query, [token.pk.hex]) == {token.pk}
        assert reaching.primary_keys(query, [uuid.UUID(int=1)]) == {uuid.UUID(int=1)}
        assert reaching.primary_keys(query, ["no uuid"]) is None


@pytest.mark.usefixtures("database")
def test_a_serializer_may_read_by_itself() -> None:
    class Counted(serializers.Serializer[Any]):
        tags = serializers.SerializerMethodField()

        def get_tags(self, product: Product) -> int:
            return product.tags.count()

    class CountedBinding(Binding[Product]):
        model = Product
        serializer_class = Counted

    Product.objects.create(pk=1, name="a")
    recorder = Recorder()
    with recorder.watching("default"):
        rows = reading.load(Query(CountedBinding()), recorder, Pacer(10))
    assert rows.fresh[1].text == '{"id":1,"tags":0}'
    assert recorder.own == {"app_product"}
    assert "app_product_tags" in recorder.other
