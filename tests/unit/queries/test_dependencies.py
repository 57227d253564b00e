"""Dependencies: which tables a view reads, and by which lookups their rows reach its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import models
from django.db.models import Count, Exists, OuterRef, QuerySet, Subquery
from django.db.models.expressions import RawSQL
from django.db.models.lookups import Exact
from django.db.models.sql.where import WhereNode
from django.test.utils import isolate_apps

from bindserver import Binding
from bindserver.database.pacing import Pacer
from bindserver.queries import reading
from bindserver.queries.dependencies import (
    Recorder,
    _odd_tables,
    _words,
    known_tables,
    paths_of,
    tables_in,
)
from bindserver.queries.query import Query
from tests.app.bindings import CatalogueBinding, ProductBinding, RestaurantBinding, TaggedBinding
from tests.app.models import Category, Membership, Place, Product, Restaurant, Tag


def paths(queryset: QuerySet[Any]) -> dict[str, list[str] | None]:
    """Return the paths of a binding with this queryset."""

    class Read(Binding[Any]):
        fields = ["id"]

    Read.queryset = queryset
    return dict(Query(Read()).paths)


def test_its_own_table_is_reached_by_the_key() -> None:
    assert Query(ProductBinding()).paths == {"app_product": ["pk"]}


def test_a_foreign_key_s_join_is_explained() -> None:
    expected = {"app_product": ["pk"], "app_category": ["category__pk"]}
    assert Query(CatalogueBinding()).paths == expected


def test_a_filter_s_join_is_explained() -> None:
    found = paths(Product.objects.filter(category__name="toys"))
    assert found == {"app_product": ["pk"], "app_category": ["category__pk"]}


def test_a_join_of_a_join_is_explained() -> None:
    found = paths(Membership.objects.filter(category__name="a").select_related("user"))
    assert found["app_category"] == ["category__pk"]
    assert found["auth_user"] == ["user__pk"]


def test_a_multi_table_parent_is_explained() -> None:
    found = Query(RestaurantBinding()).paths
    assert found["app_restaurant"] == ["pk"]
    assert found["app_place"] == ["place_ptr__pk"]


def test_a_join_through_many_rows_reaches_any() -> None:
    found = paths(Product.objects.filter(tags__name="a"))
    assert found["app_product"] == ["pk"]
    assert found["app_product_tags"] is None
    assert found["app_tag"] is None


@isolate_apps("tests.app")
def test_a_join_by_something_else_than_the_key_reaches_any() -> None:
    class Sold(models.Model):
        by_sku = models.ForeignKey(Product, on_delete=models.CASCADE, to_field="sku")

        class Meta:
            app_label = "app"

    found = paths(Sold._default_manager.filter(by_sku__name="a"))
    assert found["app_product"] is None


class Narrow(models.ForeignKey):  # type: ignore[type-arg]  # it takes none at run time
    """Joins rows that are in stock alone."""

    def get_extra_restriction(self, alias: Any, related_alias: Any) -> Any:
        stock: Any = Exact(Product._meta.get_field("stock").get_col(alias), 1)
        return WhereNode([stock])


@isolate_apps("tests.app")
def test_a_join_that_depends_on_more_than_the_key_reaches_any() -> None:
    class Sold(models.Model):
        product = Narrow(Product, on_delete=models.CASCADE)

        class Meta:
            app_label = "app"

    found = paths(Sold._default_manager.filter(product__name="a"))
    assert found["app_product"] is None


MENTIONS = {
    "with its schema": "SELECT 1 FROM public.app_category",
    "with its schema in quotes": 'SELECT 1 FROM "public" . "app_category"',
    "after a comma": "SELECT 1 FROM app_tag t, app_category c",
    "in another case": "SELECT 1 FROM App_Category",
    "in brackets": "SELECT 1 FROM [app_category]",
    "in a table expression": "WITH c AS (TABLE app_category) SELECT 1 FROM c",
}


@pytest.mark.parametrize("how", MENTIONS)
def test_every_mention_of_a_table_counts(how: str) -> None:
    assert "app_category" in tables_in(MENTIONS[how])
    joined = Product.objects.filter(category__name="a")
    found = paths(joined.annotate(n=RawSQL(f"({MENTIONS[how]})", ())))
    assert found["app_category"] is None
    assert found["app_product"] is None


@pytest.mark.parametrize("how", MENTIONS)
def test_and_more_mentions_than_joins_are_not_explained(how: str) -> None:
    query = Product.objects.filter(category__name="a").query
    sql, _ = query.sql_with_params()
    assert paths_of(query, sql, Product)["app_category"] == ["category__pk"]
    assert paths_of(query, f"{sql} AND ({MENTIONS[how]})", Product)["app_category"] is None


@pytest.fixture
def category_elsewhere(request: pytest.FixtureRequest) -> Iterator[str]:
    """The categories' table in a schema, as people write that."""
    usual = Category._meta.db_table
    Category._meta.db_table = name = str(request.param)
    for known in (known_tables, _odd_tables, _words):
        known.cache_clear()
    yield name
    Category._meta.db_table = usual
    for known in (known_tables, _odd_tables, _words):
        known.cache_clear()


@pytest.mark.parametrize(
    "category_elsewhere", ['old"."category', '"old"."category"'], indirect=True
)
def test_a_table_in_a_schema_is_found_by_each_name(category_elsewhere: str) -> None:
    name = category_elsewhere
    for source in ('"old"."category"', "old.category", "OLD.Category", "category"):
        assert name in tables_in(f"SELECT 1 FROM {source}")
    joined = Product.objects.filter(category__name="a")
    assert paths(joined)[name] == ["category__pk"]
    within = Category.objects.filter(name="b")
    assert paths(Product.objects.filter(category__in=within))[name] is None
    assert paths(joined.filter(category__in=within))[name] is None


def test_a_reverse_join_reaches_any() -> None:
    assert paths(Category.objects.filter(product__stock=1))["app_product"] is None
    assert paths(Place.objects.filter(restaurant__seats=1))["app_restaurant"] is None


def test_an_aggregate_over_many_rows_reaches_any() -> None:
    found = paths(Category.objects.annotate(products=Count("product")))
    assert found["app_product"] is None


@pytest.mark.parametrize(
    "queryset",
    [
        Product.objects.filter(category__in=Category.objects.filter(name="a")),
        Product.objects.filter(Exists(Category.objects.filter(pk=OuterRef("category")))),
        Product.objects.annotate(
            other=Subquery(Category.objects.filter(pk=OuterRef("category")).values("name"))
        ),
        Product.objects.annotate(n=RawSQL("(SELECT max(id) FROM app_category)", ())),
        Product.objects.extra(where=["category_id IN (SELECT id FROM app_category)"]),
    ],
    ids=["in", "exists", "subquery", "raw SQL", "extra"],
)
def test_a_subquery_reaches_any(queryset: QuerySet[Any]) -> None:
    found = paths(queryset)
    assert "app_category" in found
    assert found["app_category"] is None


def test_a_subquery_beside_a_join_of_the_same_table_reaches_any() -> None:
    queryset = Product.objects.filter(category__name="a").filter(
        category__in=Category.objects.filter(name="b")
    )
    assert paths(queryset)["app_category"] is None


def test_a_subquery_of_its_own_table_reaches_any() -> None:
    queryset = Product.objects.filter(pk__in=Product.objects.filter(stock=1).values("pk"))
    assert paths(queryset)["app_product"] is None


def test_tables_are_found_whatever_the_quoting() -> None:
    sql = 'SELECT 1 FROM "app_product" a, `app_tag` JOIN (app_category) ON x = app_placeholder.y'
    assert tables_in(sql) == {"app_product", "app_tag", "app_category"}


@pytest.fixture
def old_category() -> Iterator[type[Category]]:
    """The categories' table under a name as old databases have them."""
    usual = Category._meta.db_table
    Category._meta.db_table = "Stock categories (1997)"
    for known in (known_tables, _odd_tables, _words):
        known.cache_clear()
    yield Category
    Category._meta.db_table = usual
    for known in (known_tables, _odd_tables, _words):
        known.cache_clear()


def test_tables_whose_names_are_several_words_are_found_too(old_category: type[Category]) -> None:
    name = old_category._meta.db_table
    assert tables_in(f'SELECT 1 FROM "{name}" JOIN app_tag') == {name, "app_tag"}
    joined = Product.objects.filter(category__name="a")
    assert paths(joined)[name] == ["category__pk"]
    within = old_category.objects.filter(name="b")
    assert paths(Product.objects.filter(category__in=within))[name] is None
    assert paths(joined.filter(category__in=within))[name] is None


@pytest.mark.usefixtures("database")
class TestRecorder:
    def load(self, binding: Binding[Any]) -> Recorder:
        recorder = Recorder()
        with recorder.watching("default"):
            reading.load(Query(binding), recorder, Pacer(10))
        return recorder

    def test_what_its_own_query_reads_is_not_mixed_with_the_rest(self, database: Path) -> None:
        Product.objects.create(name="a").tags.add(Tag.objects.create(name="t"))
        recorder = self.load(TaggedBinding())
        assert recorder.own == {"app_product"}
        assert recorder.other == {"app_tag", "app_product_tags"}

    def test_joins_are_its_own(self, database: Path) -> None:
        recorder = self.load(CatalogueBinding())
        assert recorder.own == {"app_product", "app_category"}
        assert recorder.other == set()

    def test_a_relation_that_is_fetched_row_by_row_is_seen(self, database: Path) -> None:
        class Lazy(CatalogueBinding):
            queryset = Product.objects.all()

        Product.objects.create(name="a", category=Category.objects.create(name="c"))
        assert self.load(Lazy()).other == {"app_category"}

    def test_nothing_is_seen_any_more_afterwards(self, database: Path) -> None:
        recorder = self.load(ProductBinding())
        list(Restaurant.objects.all())
        assert recorder.other == set()
