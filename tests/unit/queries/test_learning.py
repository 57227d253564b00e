"""What a view reads besides its own query is followed back to its rows where it can be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db.models import Count, Prefetch, QuerySet
from rest_framework import serializers

from bindserver import Binding
from bindserver.database.pacing import Pacer
from bindserver.queries import reading
from bindserver.queries.backwards import Hop
from bindserver.queries.learning import LearningRecorder
from bindserver.queries.query import Query
from tests.app.models import Booking, Category, Product, Tag

pytestmark = pytest.mark.usefixtures("database")

OF_PRODUCT = Hop("app_product", "category_id", "app_category", "id")
OF_LINK = Hop("app_product_tags", "product_id", "app_product", "id")
OF_TAG = Hop("app_tag", "id", "app_product_tags", "tag_id")
OF_CATEGORY = Hop("app_category", "id", "app_product", "category_id")


@pytest.fixture(autouse=True)
def rows(database: Any) -> None:
    """Two categories with two products each, one without, and a product without any."""
    for number in (1, 2, 3):
        Category.objects.create(pk=number, name="a")
    for number in (1, 2, 3, 4, 5):
        Product.objects.create(pk=number, name="a", category_id=(1, 1, 2, 2, None)[number - 1])
    tag = Tag.objects.create(pk=1, name="t")
    Product.objects.get(pk=1).tags.add(tag)


def ways(queryset: QuerySet[Any], value: Callable[..., Any]) -> dict[str, Any]:
    """Return how what is read leads back, where each row shows a value."""

    class ValueSerializer(serializers.ModelSerializer[Any]):
        value = serializers.SerializerMethodField()

        class Meta:
            model = queryset.model
            fields = ["id", "value"]

        def get_value(self, row: Any) -> Any:
            return value(self, row)

    class Read(Binding[Any]):
        serializer_class = ValueSerializer

    Read.queryset = queryset
    query, recorder = Query(Read()), LearningRecorder()
    with recorder.watching("default"):
        reading.load(query, recorder, Pacer(10))
    return recorder.ways()


def test_a_prefetch_is_dealt_by_known_columns() -> None:
    found = ways(
        Category.objects.prefetch_related("product_set__tags"),
        lambda _, row: [[t.name for t in p.tags.all()] for p in row.product_set.all()],
    )
    assert found == {
        "app_product": {(OF_PRODUCT,)},
        "app_product_tags": {(OF_LINK, OF_PRODUCT)},
        "app_tag": {(OF_TAG, OF_LINK, OF_PRODUCT)},
    }


def test_a_prefetch_s_own_queryset_may_join_and_count() -> None:
    inner = Product.objects.annotate(n=Count("tags")).order_by("n", "pk")
    found = ways(
        Category.objects.prefetch_related(Prefetch("product_set", inner)),
        lambda _, row: [p.n for p in row.product_set.all()],
    )
    assert found["app_product_tags"] == {(OF_LINK, OF_PRODUCT)}


def test_what_each_row_asks_for_by_its_key_is_its_own() -> None:
    found = ways(Category.objects.all(), lambda _, row: row.product_set.filter(stock=0).count())
    assert found == {"app_product": {(OF_PRODUCT,)}}
    found = ways(Product.objects.all(), lambda _, row: [tag.name for tag in row.tags.all()])
    assert found == {"app_product_tags": {(OF_LINK,)}, "app_tag": {(OF_TAG, OF_LINK)}}


def test_what_each_row_asks_for_by_its_foreign_key_is_its_own() -> None:
    found = ways(Product.objects.all(), lambda _, row: row.category and row.category.name)
    assert found == {"app_category": {(OF_CATEGORY,)}}


def test_what_is_kept_for_other_rows_may_be_any_s() -> None:
    def once(serializer: Any, row: Any) -> Any:
        if "n" not in serializer.context:
            serializer.context["n"] = row.product_set.count()
        return serializer.context["n"]

    assert ways(Category.objects.all(), once) == {"app_product": None}


@pytest.mark.parametrize(
    "value",
    [
        lambda _, row: Product.objects.count(),
        lambda _, row: Product.objects.filter(category_id=1).count(),
        lambda _, row: Product.objects.filter(stock=row.pk).count(),
        lambda _, row: Product.objects.exclude(category=row).count(),
        lambda _, row: row.pk == 1 and row.product_set.count(),
    ],
    ids=["all", "always the same", "no relation", "all others", "some rows only"],
)
def test_what_is_not_surely_a_row_s_own_may_be_any_s(value: Any) -> None:
    assert ways(Category.objects.all(), value) == {"app_product": None}


def test_what_rows_of_rows_ask_for_may_be_any_s() -> None:
    found = ways(
        Category.objects.all(),
        lambda _, row: [p.tags.count() for p in row.product_set.all()],
    )
    assert found["app_product"] == {(OF_PRODUCT,)}
    assert found["app_product_tags"] is None


def test_sql_that_django_did_not_make_may_be_any_s() -> None:
    from django.db import connection

    def raw(_: Any, row: Any) -> Any:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM app_product WHERE category_id = %s", [row.pk])
            return cursor.fetchone()[0]

    assert ways(Category.objects.all(), raw) == {"app_product": None}


def test_a_sliced_prefetch_may_be_any_s() -> None:
    inner = Product.objects.order_by("stock", "pk")[:1]
    found = ways(
        Category.objects.prefetch_related(Prefetch("product_set", inner, to_attr="first")),
        lambda _, row: [p.pk for p in row.first],
    )
    assert found == {"app_product": None}


def test_a_row_that_is_loaded_further_is_itself() -> None:
    found = ways(Product.objects.only("name"), lambda _, row: row.stock)
    assert found == {"app_product": {()}}


def test_the_same_words_with_a_row_s_key_elsewhere_may_be_any_s() -> None:
    """As where one asks whether somebody follows another, and then whether they follow back."""
    Booking.objects.bulk_create([Booking(pk=number) for number in (1, 2, 3)])

    def both_ways(_: Any, row: Any) -> Any:
        one = Booking.objects.filter(after=row, pk=4).exists()
        return one or Booking.objects.filter(after=4, pk=row.pk).exists()

    assert ways(Booking.objects.all(), both_ways) == {"app_booking": None}


def test_a_row_s_key_in_the_same_place_each_time_leads_back_by_it() -> None:
    Booking.objects.bulk_create([Booking(pk=number) for number in (1, 2, 3)])

    def forth(_: Any, row: Any) -> Any:
        return [Booking.objects.filter(after=row, pk=other).exists() for other in (4, row.pk)]

    found = ways(Booking.objects.all(), forth)
    assert found == {"app_booking": {(Hop("app_booking", "after_id", "app_booking", "id"),)}}
