"""A write to columns that no view reads moves nothing; how one comes to be read all the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection, connections
from django.db.models import Prefetch
from rest_framework import serializers

from bindserver import Binding
from bindserver.capture.log import log_of
from bindserver.capture.log_source import LogSource
from bindserver.capture.tables import tracked
from bindserver.exceptions import CaptureBusy
from bindserver.queries.tables import reads_of
from tests.app.models import Category, Product
from tests.conftest import EVERY_DATABASE
from tests.support.turning import Turning, add

pytestmark = [EVERY_DATABASE, pytest.mark.usefixtures("forget_bindings")]

PRODUCT, CATEGORY = "app_product", "app_category"


class Plain(Binding[Product]):
    """Reads the names and prices of those in stock."""

    model = Product
    fields = ["id", "name", "price"]
    filters = {"stock__gte": 0}
    ordering = ["name"]


@pytest.fixture
def turning(each_database: str) -> Iterator[Turning]:
    """Turns where the log watches what one plain binding reads, and no more."""
    Category.objects.create(pk=1, name="category")
    for number in (1, 2, 3):
        add(number, 1, sku=f"sku {number}")
    log = log_of(connections["default"])
    log.remove()
    reads = reads_of([Plain], "default")
    log.install(tracked(reads, reads))
    with Turning(watched=False) as turning:
        yield turning


def write(sql: str) -> None:
    """Write as another program does."""
    with connection.cursor() as cursor:
        cursor.execute(sql)


@pytest.mark.usefixtures("turning")
def test_a_trial_tells_which_columns_a_plain_binding_reads() -> None:
    reads = reads_of([Plain], "default")
    assert reads[PRODUCT] == frozenset({"id", "name", "price", "stock"})


def test_a_write_to_columns_that_no_view_reads_moves_nothing(turning: Turning) -> None:
    follower = turning.follow(Plain())
    turning.turn()
    turning.turn()
    epoch = turning.source.position().epoch
    before = turning.source.position()
    write("UPDATE app_product SET sku = 'other' WHERE id = 1")
    write("UPDATE app_product SET category_id = NULL")
    logged = turning.source.changes(before)
    turning.turn()
    assert follower.told() == ["sync"]
    assert turning.source.position().epoch == epoch
    if connection.vendor != "postgresql":
        assert logged == []
        assert turning.statements == []
    write("UPDATE app_product SET price = 7 WHERE id = 1")
    turning.turn()
    assert [row["price"] for row in follower.replica.rows] == ["7.00", "0.00", "0.00"]


class Skus(serializers.ModelSerializer[Product]):
    class Meta:
        model = Product
        fields = ["id", "sku"]


class ByCode(serializers.ModelSerializer[Product]):
    """Reads a column in code."""

    told = serializers.SerializerMethodField()

    class Meta:
        model = Product
        fields = ["id", "told"]

    def get_told(self, product: Product) -> str:
        return f"told {product.sku}"


class OfCategory(serializers.ModelSerializer[Category]):
    products = serializers.SerializerMethodField()

    class Meta:
        model = Category
        fields = ["id", "products"]

    def get_products(self, category: Category) -> list[str]:
        return sorted(str(product.sku) for product in category.product_set.all())


def a_new_binding() -> Binding[Any]:
    class New(Binding[Product]):
        model = Product
        fields = ["id", "sku"]

    return New()


def a_serializer() -> Binding[Any]:
    class New(Binding[Product]):
        model = Product
        serializer_class = Skus

    return New()


def code() -> Binding[Any]:
    class New(Binding[Product]):
        model = Product
        serializer_class = ByCode

    return New()


def code_of_what_was_deferred() -> Binding[Any]:
    class New(Binding[Product]):
        queryset = Product.objects.only("name")
        serializer_class = ByCode

    return New()


def a_filter() -> Binding[Any]:
    class New(Binding[Product]):
        model = Product
        fields = ["id", "name"]
        filters = {"sku__startswith": "sku"}

    return New()


def an_order() -> Binding[Any]:
    class New(Binding[Product]):
        model = Product
        fields = ["id", "name"]
        ordering = ["sku"]

    return New()


def an_order_with_a_limit() -> Binding[Any]:
    class New(Binding[Product]):
        model = Product
        fields = ["id", "name"]
        ordering = ["sku"]
        limit = 2

    return New()


def a_slot() -> Binding[Any]:
    class New(Binding[Product]):
        model = Product
        fields = ["id", "name"]
        filters = {"category": 1}

    return New()


def columns() -> Binding[Any]:
    class New(Binding[Product]):
        queryset = Product.objects.values("id", "sku")

    return New()


def a_prefetch() -> Binding[Any]:
    class New(Binding[Category]):
        queryset = Category.objects.prefetch_related(
            Prefetch("product_set", queryset=Product.objects.order_by("pk"))
        )
        serializer_class = OfCategory

    return New()


def a_join() -> Binding[Any]:
    class New(Binding[Category]):
        queryset = Category.objects.filter(product__sku="sku 1").distinct()
        fields = ["id", "name"]

    return New()


def sql_by_hand() -> Binding[Any]:
    class New(Binding[Product]):
        queryset = Product.objects.extra(where=["app_product.SKU LIKE 'sku%%'"])
        fields = ["id", "name"]

    return New()


def instances() -> Binding[Any]:
    class New(Binding[Product]):
        model = Product
        fields = ["id", "name", "sku"]
        filters = {"active": True}

    return New()


WAYS: list[Callable[[], Binding[Any]]] = [
    a_new_binding,
    a_serializer,
    code,
    code_of_what_was_deferred,
    a_filter,
    an_order,
    an_order_with_a_limit,
    columns,
    a_prefetch,
    a_join,
    sql_by_hand,
    instances,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_column_is_watched_once_a_view_reads_it(
    turning: Turning, way: Callable[[], Binding[Any]]
) -> None:
    plain = turning.follow(Plain())
    turning.turn()
    follower = turning.follow(way())
    turning.turn()
    for sku in ("a changed one", "sku 0", "sku 4"):
        write(f"UPDATE app_product SET sku = '{sku}' WHERE id = 1")
        turning.turn()
        held = list(follower.replica.rows)
        again = turning.follow(way())
        turning.turn()
        assert held == again.replica.rows
    assert plain.column("id") == [1, 2, 3]
    assert PRODUCT not in turning.source.unseen()


def test_a_slot_counts_as_read(turning: Turning) -> None:
    follower = turning.follow(a_slot())
    turning.turn()
    write("UPDATE app_product SET category_id = NULL WHERE id = 1")
    turning.turn()
    assert sorted(follower.column("id")) == [2, 3]
    write("UPDATE app_product SET category_id = 1 WHERE id = 1")
    turning.turn()
    assert sorted(follower.column("id")) == [1, 2, 3]


def test_a_write_between_the_first_read_and_the_triggers_is_not_missed(turning: Turning) -> None:
    """The first turn reads what nobody watches yet, and answers nobody."""
    follower = turning.follow(a_new_binding())
    assert turning.take_one()
    if connection.vendor != "postgresql":
        assert follower.told() == []
    write("UPDATE app_product SET sku = 'meanwhile' WHERE id = 1")
    turning.turn()
    assert follower.column("sku")[0] == "meanwhile"


def test_a_changed_key_moves_its_row(turning: Turning) -> None:
    follower = turning.follow(Plain())
    turning.turn()
    write("UPDATE app_product SET id = 9 WHERE id = 1")
    turning.turn()
    assert sorted(follower.column("id")) == [2, 3, 9]


def test_triggers_that_were_made_to_watch_less_are_noticed(turning: Turning) -> None:
    """As another release does that is installed while this one runs."""
    follower = turning.follow(Plain())
    turning.turn()
    log = log_of(connections["default"])
    log.remove()
    log.install(tracked([PRODUCT], {PRODUCT: frozenset({"id"})}))
    turning.look_at_schema()
    write("UPDATE app_product SET price = 7 WHERE id = 1")
    turning.turn()
    assert [row["price"] for row in follower.replica.rows] == ["7.00", "0.00", "0.00"]
    write("UPDATE app_product SET price = 8 WHERE id = 1")
    turning.turn()
    assert [row["price"] for row in follower.replica.rows] == ["8.00", "0.00", "0.00"]


def test_who_forgets_to_ask_which_columns_are_watched_is_found_out(
    turning: Turning, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A planted fault, which the tests above must see."""
    monkeypatch.setattr(LogSource, "_watches", lambda self, table: table in self._tables)
    turning.follow(Plain())
    turning.turn()
    follower = turning.follow(a_new_binding())
    turning.turn()
    write("UPDATE app_product SET sku = 'missed' WHERE id = 1")
    turning.turn()
    missed = follower.column("sku")[0] != "missed"
    assert missed == (connection.vendor != "postgresql")


def test_a_column_that_cannot_be_watched_is_compared_from_time_to_time(
    turning: Turning, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(tables: Any, **given: Any) -> Any:
        raise CaptureBusy("somebody holds a lock")

    turning.follow(Plain())
    turning.turn()
    monkeypatch.setattr(turning.source._log, "install", refusing)
    follower = turning.follow(a_new_binding())
    turning.turn()
    assert follower.told() == ["sync"]
    assert turning.source.unseen() == (set() if connection.vendor == "postgresql" else {PRODUCT})
    write("UPDATE app_product SET sku = 'unseen' WHERE id = 1")
    turning.compare_suspects()
    turning.turn()
    assert follower.column("sku")[0] == "unseen"
