"""Rows stand where the database puts them: in the first answer, and after every change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections, models
from django.db.models import F, QuerySet
from django.db.models.expressions import RawSQL
from django.db.models.functions import Lower
from django.test.utils import isolate_apps

from bindserver import Binding
from bindserver.cycle.live_view import ViewState
from bindserver.queries.query import Query
from tests.app.models import Category, Product, Restaurant
from tests.support.turning import Follower, Turning, add


class Negated(models.IntegerField):  # type: ignore[type-arg]  # it takes none at run time
    """Turns its column's values round."""

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return None if value is None else -value

    def get_prep_value(self, value: Any) -> Any:
        return None if value is None else -int(value)


class Positive(models.PositiveIntegerField):  # type: ignore[type-arg]  # it takes none at run time
    """Is Django's own, but for its class."""


with isolate_apps("tests.app"):

    class Loose(models.Model):
        """The products' table, as models of old databases have it: more is null than they say."""

        stock = models.IntegerField()
        group = models.IntegerField(db_column="category_id")

        class Meta:
            app_label = "app"
            db_table = "app_product"
            managed = False

    class Turned(models.Model):
        stock = Negated()

        class Meta:
            app_label = "app"
            db_table = "app_product"
            managed = False

    class Generated(models.Model):
        stock = models.IntegerField()
        twice = models.GeneratedField(
            expression=F("stock") * 2, output_field=models.IntegerField(), db_persist=True
        )

        class Meta:
            app_label = "app"

    class Derived(models.Model):
        stock = Positive()

        class Meta:
            app_label = "app"

    class Shown(models.Model):
        """Its instances have something else than was read."""

        stock = models.IntegerField()

        class Meta:
            app_label = "app"
            db_table = "app_product"
            managed = False

        @classmethod
        def from_db(cls, *args: Any, **kwargs: Any) -> Shown:
            instance = super().from_db(*args, **kwargs)
            instance.stock = -instance.stock
            return instance

    class Parent(models.Model):
        size = models.IntegerField()

        class Meta:
            app_label = "app"

    class Child(Parent):
        """Has a key of its own, and its parent's columns."""

        number = models.BigAutoField(primary_key=True)
        parent = models.OneToOneField(Parent, on_delete=models.CASCADE, parent_link=True)

        class Meta:
            app_label = "app"


def binding_of(queryset: QuerySet[Any], **declared: Any) -> Binding[Any]:
    """Return a binding with this queryset."""
    attributes = {"fields": ["id"], "event": "in_order", "queryset": queryset, **declared}
    made: Binding[Any] = type("InOrder", (Binding,), attributes)()
    return made


def ids(queryset: QuerySet[Any]) -> list[Any]:
    return list(queryset.values_list("pk", flat=True))


class TestWhatPythonSorts:
    @pytest.mark.parametrize(
        ("model", "ordering"),
        [
            (Turned, "stock"),
            (Derived, "stock"),
            (Generated, "twice"),
            (Shown, "stock"),
            (Child, "size"),
            (Restaurant, "seats"),
            (Product, F("stock").asc()),
            (Product, Lower("name")),
            (Product, "category__id"),
        ],
    )
    def test_is_no_column_that_may_be_otherwise(self, model: Any, ordering: Any) -> None:
        assert not Query(binding_of(model._base_manager.all(), ordering=[ordering])).sortable

    @pytest.mark.parametrize(
        "queryset",
        [
            Product.objects.order_by("stock"),
            Product.objects.order_by("-active", "stock").reverse(),
            Product.objects.order_by("-id"),
            Loose._base_manager.order_by("stock"),
            Child._base_manager.order_by("number"),
        ],
    )
    def test_is_what_django_s_own_fields_hold(self, queryset: QuerySet[Any]) -> None:
        assert Query(binding_of(queryset)).sortable


IN_ORDER: dict[str, Callable[[], QuerySet[Any]]] = {
    "reversed": lambda: Product.objects.order_by("stock").reverse(),
    "reversed and mixed": lambda: Product.objects.order_by("-active", "stock").reverse(),
    "reversed by key": lambda: Product.objects.order_by("-pk").reverse(),
    "reversed twice": lambda: Product.objects.order_by("stock").reverse().reverse(),
    "reversed by an expression": lambda: Product.objects.order_by(F("stock").desc()).reverse(),
    "reversed by text": lambda: Product.objects.order_by("name").reverse(),
    "a part of what is reversed": lambda: Product.objects.order_by("stock", "pk").reverse()[:3],
    "nulls": lambda: Loose._base_manager.order_by("group"),
    "nulls at the other end": lambda: Loose._base_manager.order_by("-group"),
    "nulls reversed": lambda: Loose._base_manager.order_by("group").reverse(),
    "turned round": lambda: Turned._base_manager.order_by("stock"),
    "turned round and reversed": lambda: Turned._base_manager.order_by("stock").reverse(),
    "shown otherwise": lambda: Shown._base_manager.order_by("stock"),
    "raw SQL": lambda: Product.objects.order_by(RawSQL("-stock", ())),
    "extra": lambda: Product.objects.extra(select={"less": "-stock"}, order_by=["less"]),
    "extra by a column": lambda: Product.objects.extra(order_by=["-app_product.stock"]),
    "extra reversed": lambda: Product.objects.extra(order_by=["stock"]).reverse(),
    "extra before the usual": lambda: Product.objects.order_by("id").extra(order_by=["-stock"]),
    "a joined column": lambda: Product.objects.order_by("-category__name", "stock"),
}


def expected(queryset: QuerySet[Any]) -> list[Any]:
    """Return the keys in the database's order, the key last as all bindings have it."""
    return ids(queryset if queryset.query.is_sliced else with_key(queryset))


def with_key(queryset: QuerySet[Any]) -> QuerySet[Any]:
    query = queryset.query
    if query.extra_order_by:
        return queryset.extra(order_by=[*query.extra_order_by, "pk"])
    return queryset.order_by(*query.order_by, "pk")


@pytest.mark.parametrize("name", IN_ORDER)
@pytest.mark.parametrize("rendered", ["plain", "instances"])
def test_rows_stand_as_the_database_has_them(turning: Turning, name: str, rendered: str) -> None:
    binding = binding_of(IN_ORDER[name]())
    if rendered == "instances":
        binding = binding_of(IN_ORDER[name](), serializer_class=by_instances(binding))
    follower = turning.follow(binding)
    turning.turn()
    assert follower.column("id") == expected(IN_ORDER[name]())
    for write in (
        lambda: Product.objects.filter(pk=30).update(stock=7),
        lambda: Product.objects.filter(pk=11).update(stock=-3, category=None),
        lambda: add(5, 2, stock=3),
        lambda: Product.objects.filter(pk__in=(20, 21)).update(stock=1, category=3),
        lambda: Product.objects.filter(pk=11).update(stock=4, category=1, name="zebra"),
        lambda: Product.objects.filter(pk=30).delete(),
    ):
        write()
        turning.turn()
        assert "stale" not in follower.told()
        assert follower.column("id") == expected(IN_ORDER[name]())


def by_instances(binding: Binding[Any]) -> Any:
    """Return a serializer for which rows are read as instances."""
    plain: Any = binding.get_serializer_class()
    return type("ByInstances", (plain,), {"to_representation": lambda _, row: {"id": row.pk}})


def follow_two(turning: Turning) -> tuple[Follower, Follower]:
    """Follow the products of two categories by stock; both views are read together."""

    class ByStock(Binding[Product]):
        event = "by_stock_of"
        model = Product
        fields = ["id"]
        ordering = ["stock"]
        params = {"category": int}

        def filters(self) -> dict[str, Any]:
            return {"category": self.params["category"]}

    first, second = (turning.follow(ByStock(params={"category": n})) for n in (1, 2))
    turning.turn()
    return first, second


def put(column: str, value: str, pk: int) -> None:
    """Put a value of another type into a column, as SQLite takes it."""
    with connections["default"].cursor() as cursor:
        cursor.execute(f"UPDATE app_product SET {column} = %s WHERE id = %s", [value, pk])


class TestValuesOfAnotherType:
    """SQLite holds what it is given."""

    def test_the_database_lists_that_view_from_then_on(self, sqlite_turning: Turning) -> None:
        for number in (1, 2):
            Category.objects.create(pk=number, name="c")
            for key in range(3):
                add(number * 10 + key, number, stock=key)
        first, second = follow_two(sqlite_turning)
        for value in ("many", "1.5", "3", "-2"):
            put("stock", value, 11)
            sqlite_turning.turn()
            assert first.column("id") == ids(
                Product.objects.filter(category=1).order_by("stock", "pk")
            )
            add(int(100 + 10 * float("0" + value.strip("-many"))), 1, stock=2)
            sqlite_turning.turn()
            assert first.column("id") == ids(
                Product.objects.filter(category=1).order_by("stock", "pk")
            )
        assert second.column("id") == [20, 21, 22]
        assert "stale" not in [*first.actions, *second.actions]
        assert [live.rows.view.sortable for live in sqlite_turning.views()] == [False, True]

    def test_from_its_first_load_on(self, sqlite_turning: Turning) -> None:
        Category.objects.create(pk=1, name="c")
        for key in (1, 2, 3):
            add(key, 1, stock=key)
        put("stock", "none", 1)
        first, _ = follow_two(sqlite_turning)
        assert first.column("id") == [2, 3, 1]
        Product.objects.filter(pk=2).update(stock=4)
        sqlite_turning.turn()
        assert first.column("id") == [3, 2, 1]

    def test_a_slot_that_cannot_be_told_sets_nobody_aside(self, sqlite_turning: Turning) -> None:
        class OfStock(Binding[Product]):
            event = "of_stock"
            model = Product
            fields = ["id", "stock"]
            params = {"stock": int}

            def filters(self) -> dict[str, Any]:
                return {"stock": self.params["stock"]}

        for key in (1, 2, 3):
            add(key, stock=key)
        put("stock", "odd", 3)
        followers = [sqlite_turning.follow(OfStock(params={"stock": n})) for n in (1, 2)]
        sqlite_turning.turn()
        put("stock", "odder", 3)
        Product.objects.filter(pk=1).update(stock=2)
        sqlite_turning.turn()
        assert [follower.column("id") for follower in followers] == [[], [1, 2]]
        assert {live.state for live in sqlite_turning.views()} == {ViewState.READY}
        assert all("stale" not in follower.actions for follower in followers)
