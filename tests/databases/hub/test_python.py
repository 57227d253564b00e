"""Bindings in Python: a live cache of model instances."""

from __future__ import annotations

import asyncio
import datetime
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import AnonymousUser, User
from django.db import OperationalError, connection, connections, transaction
from django.db.models import F
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from bindserver import Binding
from bindserver.bindings.model_rows import ModelRows
from bindserver.bindings.registry import registry
from bindserver.exceptions import TooManyRows
from bindserver.hub.hub import Hub, hub
from tests.app.models import Category, Product, Restaurant, Tag
from tests.support.shop import ReadsOfTable, Shop, names, proving


class Cheap(Binding[Product]):
    model = Product
    filters = {"price__lt": 10}
    ordering = ["price"]


class ByUser(Binding[Product]):
    model = Product

    def get_queryset(self) -> Any:
        return Product.objects.filter(name=self.user.username)


@pytest.fixture(scope="module", autouse=True)
def _undeclared_afterwards() -> Iterator[None]:
    yield
    for binding in (Cheap, ByUser):
        if binding in registry.all():
            registry.remove(binding)


class TestAll:
    def test_the_rows_are_model_instances_in_order(self, shop: Shop) -> None:
        shop.add_products(2, first=1, price=5)
        shop.add_products(1, first=3, price=4)
        shop.add_products(1, first=4, price=40)
        rows = Cheap().all()
        assert [type(row) for row in rows] == [Product] * 3
        assert [row.pk for row in rows] == [3, 1, 2]
        assert not rows[0]._state.adding

    def test_every_write_that_is_committed_is_seen_at_once(self, shop: Shop) -> None:
        binding = Cheap()
        assert len(binding.all()) == 0
        shop.add_products(3)
        assert binding.keys() == [1, 2, 3]
        shop.run("DELETE FROM app_product WHERE id = 2")
        assert binding.keys() == [1, 3]
        Product.objects.filter(pk=3).update(price=100)
        assert binding.keys() == [1]
        Product.objects.create(pk=9, name="new", price=2)
        assert len(binding) == 2

    @proving
    def test_nothing_is_read_when_nothing_was_written(self, shop: Shop) -> None:
        shop.add_products(3)
        Cheap().all()
        with ReadsOfTable("app_product") as reads:
            assert names(Cheap().all()) == ["product 1", "product 2", "product 3"]
        assert reads.count == 0

    def test_what_is_done_to_one_does_not_reach_the_cache(self, shop: Shop) -> None:
        shop.add_products(1)
        first: Any = Cheap().all()[0]
        first.name = "mine"
        first.extra = 1
        assert Cheap().all()[0].name == "product 1"
        assert not hasattr(Cheap().all()[0], "extra")

    def test_one_answer_gives_the_same_copy_each_time(self, shop: Shop) -> None:
        shop.add_products(2)
        rows = Cheap().all()
        rows[0].name = "mine"
        assert rows[0].name == "mine"
        assert rows[-2] is rows[0]
        assert rows[:1] == [rows[0]]
        with pytest.raises(IndexError):
            rows[2]

    def test_what_is_done_to_a_related_instance_does_not_reach_it_either(self, shop: Shop) -> None:
        category = Category.objects.create(name="toys")
        product = Product.objects.create(name="ball", price=1, category=category)
        product.tags.add(Tag.objects.create(name="red"))
        binding = Binding(
            queryset=Product.objects.select_related("category").prefetch_related("tags"),
            model=Product,
        )
        row = binding.all()[0]
        with CaptureQueriesContext(connection) as queries:
            assert row.category is not None
            row.category.name = "mine"
            for tag in row.tags.all():
                tag.name = "mine"
        assert len(queries) == 0
        again = binding.all()[0]
        assert again.category is not None
        assert again.category.name == "toys"
        assert names(again.tags.all()) == ["red"]

    def test_a_change_of_a_related_row_is_seen(self, shop: Shop) -> None:
        category = Category.objects.create(name="toys")
        Product.objects.create(name="ball", price=1, category=category)
        binding = Binding(model=Product, queryset=Product.objects.select_related("category"))
        version = binding.version
        shop.run("UPDATE app_category SET name = 'games'")
        row = binding.all()[0]
        assert row.category is not None
        assert row.category.name == "games"
        assert binding.version != version

    def test_annotations_are_there(self, shop: Shop) -> None:
        shop.add_products(1, price=4)
        binding = Binding(model=Product, queryset=Product.objects.annotate(double=F("price") * 2))
        annotated: Any = binding.all()[0]
        assert annotated.double == 8

    def test_a_row_may_be_saved_as_any_instance(self, shop: Shop) -> None:
        shop.add_products(1)
        row = Cheap().get(1)
        row.name = "saved"
        row.save()
        assert names(Cheap()) == ["saved"]

    def test_a_view_over_the_cycles_budget_is_loaded_too(self, shop: Shop) -> None:
        with override_settings(BINDSERVER={"SYNC_ROWS": 10, "COMPARE_SECONDS": 3600}):
            shop.add_products(50)
            assert len(Cheap().all()) == 50
            shop.add_products(1, first=51)
            assert len(Cheap().all()) == 51

    def test_a_big_view_is_answered_while_others_write_without_pause(self, shop: Shop) -> None:
        shop.add_products(50)
        done = threading.Event()

        def write() -> None:
            other = shop.another()
            while not done.is_set():
                other.run("UPDATE app_product SET stock = stock + 1 WHERE id = 1")
            other.close()

        writer = threading.Thread(target=write)
        with override_settings(BINDSERVER={"SYNC_ROWS": 10, "COMPARE_SECONDS": 3600}):
            writer.start()
            try:
                for _ in range(5):
                    assert len(hub.read(Cheap()).result(timeout=60)) == 50
            finally:
                done.set()
                writer.join()

    def test_too_many_rows_are_said_to_be(self, shop: Shop) -> None:
        shop.add_products(3)
        with pytest.raises(TooManyRows, match="more than 2 rows"):
            Binding(model=Product, max_rows=2).all()

    def test_a_query_that_fails_raises_what_it_raises(self, shop: Shop) -> None:
        with pytest.raises(ZeroDivisionError):
            Failing().all()


class Failing(Binding[Product]):
    model = Product

    def get_queryset(self) -> Any:
        raise ZeroDivisionError


registry.remove(Failing)


class TestLookups:
    def test_get(self, shop: Shop) -> None:
        shop.add_products(2)
        assert Cheap().get(2).name == "product 2"
        assert Cheap().get("2").name == "product 2"
        with pytest.raises(Product.DoesNotExist, match="primary key 7"):
            Cheap().get(7)

    def test_in_by_instance_and_by_key(self, shop: Shop) -> None:
        shop.add_products(1)
        binding = Cheap()
        assert Product.objects.get() in binding
        assert 1 in binding
        assert 2 not in binding
        assert Category(pk=1) not in binding
        assert [] not in binding

    def test_len_iteration_and_keys(self, shop: Shop) -> None:
        shop.add_products(2)
        binding = Cheap()
        assert len(binding) == 2
        assert names(binding) == ["product 1", "product 2"]
        assert binding.keys() == [1, 2]

    def test_a_binding_is_true_without_rows_and_without_a_look(self) -> None:
        assert Cheap()

    def test_version_differs_with_the_rows_alone(self, shop: Shop) -> None:
        shop.add_products(1)
        binding = Cheap()
        version, modified = binding.version, binding.last_modified
        assert modified.tzinfo is datetime.UTC
        shop.run("UPDATE app_product SET name = name")
        shop.add_products(1, first=9, price=50)
        assert (binding.version, binding.last_modified) == (version, modified)
        shop.run("UPDATE app_product SET name = 'other' WHERE id = 1")
        assert binding.version != version
        assert binding.last_modified > modified

    def test_version_is_the_same_on_a_connection_of_ones_own(self, shop: Shop) -> None:
        shop.add_products(2)
        version = Cheap().version
        with transaction.atomic():
            Product.objects.filter(pk=1).update(name="product 1")
            assert Cheap().version == version


class TestContexts:
    def test_a_binding_without_a_subclass(self, shop: Shop) -> None:
        shop.add_products(3)
        binding = Binding(model=Product, filters={"pk__gt": 1}, ordering="-pk", limit=1)
        assert binding.keys() == [3]
        assert Binding(model=Product).keys() == [1, 2, 3]
        assert Binding(queryset=Product.objects.filter(pk=2)).keys() == [2]

    @proving
    def test_two_that_read_the_same_share_a_view(self, shop: Shop) -> None:
        shop.add_products(1)
        Binding(model=Product).all()
        with ReadsOfTable("app_product") as reads:
            Binding(model=Product).all()
        assert reads.count == 0

    def test_an_unknown_declaration_is_refused(self) -> None:
        with pytest.raises(TypeError, match=r"Binding\(\) takes no filter; it takes user"):
            Binding(model=Product, filter={"active": True})

    def test_users_and_params(self, shop: Shop) -> None:
        Product.objects.create(name="ann", price=1)
        assert names(ByUser(user=User(pk=1, username="ann"))) == ["ann"]
        assert names(ByUser(user=User(pk=2, username="bob"))) == []
        assert names(ByUser()) == []
        assert isinstance(ByUser().user, AnonymousUser)

    def test_a_multi_table_child(self, shop: Shop) -> None:
        Restaurant.objects.create(name="inn")
        binding = Binding(model=Restaurant)
        assert names(binding) == ["inn"]
        shop.run("UPDATE app_place SET name = 'bar'")
        assert names(binding) == ["bar"]

    def test_a_binding_that_asks_another(self, shop: Shop) -> None:
        class Nested(Binding[Product]):
            model = Product

            def get_queryset(self) -> Any:
                return Product.objects.filter(category__in=Binding(model=Category).keys())

        registry.remove(Nested)
        toys = Category.objects.create(name="toys")
        Product.objects.create(name="ball", price=1, category=toys)
        assert names(Nested()) == ["ball"]
        shop.run("UPDATE app_product SET category_id = NULL")
        shop.run("DELETE FROM app_category")
        assert names(Nested()) == []


class TestTransactions:
    def test_ones_own_uncommitted_writes_are_seen_by_oneself_alone(self, shop: Shop) -> None:
        Cheap().all()
        seen: list[list[int]] = []

        def look() -> None:
            seen.append(Cheap().keys())
            connections["default"].close()

        with transaction.atomic():
            Product.objects.create(pk=5, name="mine", price=1)
            assert Cheap().keys() == [5]
            thread = threading.Thread(target=look)
            thread.start()
            thread.join()
        assert seen == [[]]
        assert Cheap().keys() == [5]

    def test_what_was_rolled_back_is_never_seen_after(self, shop: Shop) -> None:
        with transaction.atomic():
            Product.objects.create(pk=5, name="mine", price=1)
            assert Cheap().keys() == [5]
            transaction.set_rollback(True)
        assert Cheap().keys() == []

    @proving
    def test_in_a_transaction_that_only_reads_memory_answers(self, shop: Shop) -> None:
        shop.add_products(1)
        Cheap().all()
        with transaction.atomic(), ReadsOfTable("app_product") as reads:
            assert Cheap().keys() == [1]
        assert reads.count == 0


@pytest.mark.django_db
def test_in_a_test_case_the_tests_own_connection_answers() -> None:
    Product.objects.create(name="mine", price=1)
    assert names(Cheap()) == ["mine"]
    assert not hub._cycles


class TestAsync:
    async def test_the_twins(self, shop: Shop) -> None:
        await sync_to_async(shop_of_two)()
        assert names(await Cheap().aall()) == ["one", "two"]
        assert (await Cheap().aget(1)).name == "one"
        assert await Cheap().akeys() == [1, 2]
        assert [row.name async for row in Cheap()] == ["one", "two"]
        assert names(await Cheap().arefresh()) == ["one", "two"]
        await Cheap().aclear()
        assert names(await Cheap().aall()) == ["one", "two"]
        await sync_to_async(forget_connection)()

    async def test_memory_answers_under_a_running_loop_too(self, shop: Shop) -> None:
        await sync_to_async(shop_of_two)()
        assert names(Cheap().all()) == ["one", "two"]
        await sync_to_async(forget_connection)()

    async def test_the_loop_goes_on_meanwhile(self, shop: Shop) -> None:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        ticking = asyncio.create_task(tick())
        await Cheap().aall()
        ticking.cancel()
        assert ticks > 1
        await sync_to_async(forget_connection)()


def forget_connection() -> None:
    connections["default"].close()
    del connections["default"]


def shop_of_two() -> None:
    forget_connection()  # this thread's may be on an older test's database
    Product.objects.create(pk=1, name="one", price=1)
    Product.objects.create(pk=2, name="two", price=2)


class TestRefreshAndClear:
    def test_refresh_reads_all(self, shop: Shop) -> None:
        shop.add_products(2)
        binding = Cheap()
        binding.all()
        with ReadsOfTable("app_product") as reads:
            assert binding.refresh().keys() == [1, 2]
        assert reads.count > 0

    def test_clear_forgets(self, shop: Shop) -> None:
        shop.add_products(2)
        binding = Cheap()
        version = binding.version
        binding.clear()
        with ReadsOfTable("app_product") as reads:
            assert binding.keys() == [1, 2]
        assert reads.count > 0
        assert binding.version == version


def test_a_hub_without_threads_stops() -> None:
    stopped = Hub()
    stopped.stop()
    assert not stopped._cycles


def test_the_answer_says_what_it_is(shop: Shop) -> None:
    shop.add_products(2)
    rows = Cheap().all()
    assert isinstance(rows, ModelRows)
    assert repr(rows) == "<ModelRows of 2 app.Product>"


@pytest.mark.usefixtures("postgresql_database")
def test_a_test_database_can_be_dropped_whose_rows_were_read() -> None:
    assert list(Cheap().all()) == []
    connection.creation.destroy_test_db(verbosity=0)
    with pytest.raises(OperationalError, match="does not exist"):
        connection.ensure_connection()
