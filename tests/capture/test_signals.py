"""Signals: which writes are told, and when; and following by them where there is no log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.models.signals import m2m_changed, post_delete, post_save
from django.test import override_settings

from bindserver.capture.signals import Publish, SignalCapture
from bindserver.engine.changes import Change
from bindserver.engine.protocol import Subscribe
from bindserver.hub import hub
from bindserver.wishes import Caller, Ref
from tests.app.models import Category, Product, Restaurant, Tag, Token
from tests.conftest import MakeServer, Program
from tests.support.ear import Ear
from tests.support.talk import talking

Told = list[tuple[str, tuple[Change, ...]]]


@contextmanager
def capturing(publish: Publish) -> Iterator[None]:
    """Have a capture of the test's own hear the signals, beside the app's."""
    capture = SignalCapture(publish)
    heard: list[tuple[Any, Any]] = [
        (post_save, capture._on_write),
        (post_delete, capture._on_write),
        (m2m_changed, capture._on_m2m),
    ]
    for signal, listener in heard:
        signal.connect(listener)
    yield
    for signal, listener in heard:
        signal.disconnect(listener)


@pytest.fixture
def told(bare_database: Path) -> Iterator[Told]:
    """What has been published."""
    told: Told = []
    with capturing(lambda alias, changes: told.append((alias, changes))):
        yield told


def change(table: str, *pks: Any) -> Change:
    return Change(table=table, pks=frozenset(pks) if pks else None)


class TestTelling:
    def test_a_saved_and_a_deleted_row(self, told: Told) -> None:
        category = Category.objects.create(name="a")
        pk = category.pk
        category.save()
        category.delete()
        assert told == [("default", (change("app_category", pk),))] * 3

    def test_a_child_with_its_parents(self, told: Told) -> None:
        restaurant = Restaurant.objects.create(name="a")
        [(_, changes)] = told
        assert set(changes) == {
            change("app_restaurant", restaurant.pk),
            change("app_place", restaurant.pk),
        }

    def test_a_relation_of_many_to_many(self, told: Told) -> None:
        product, tag = Product.objects.create(name="a"), Tag.objects.create(name="t")
        told.clear()
        product.tags.add(tag)
        product.tags.clear()
        assert told == [("default", (change("app_product_tags"),))] * 2

    def test_a_key_of_another_type(self, told: Told) -> None:
        token = Token.objects.create(label="a")
        [(_, (only,))] = told
        assert only.pks is not None
        assert {str(pk) for pk in only.pks} == {str(token.pk)}

    def test_rows_that_fall_with_theirs(self, told: Told) -> None:
        category = Category.objects.create(name="a")
        product = Product.objects.create(name="a", category=category)
        pk = product.pk
        told.clear()
        category.delete()
        assert ("default", (change("app_product", pk),)) in told

    def test_only_after_the_commit(self, told: Told) -> None:
        with transaction.atomic():
            Category.objects.create(name="a")
            assert told == []
        assert len(told) == 1

    def test_nothing_of_what_is_rolled_back(self, told: Told) -> None:
        with transaction.atomic():
            Category.objects.create(name="a")
            transaction.set_rollback(True)
        assert told == []

    def test_what_follows_a_savepoint_that_was_rolled_back(self, told: Told) -> None:
        with transaction.atomic():
            with transaction.atomic():
                Category.objects.create(name="never")
                transaction.set_rollback(True)
            kept = Category.objects.create(name="kept")
        assert told == [("default", (change("app_category", kept.pk),))]

    def test_a_listener_that_fails_harms_no_writer(self, bare_database: Path) -> None:
        def fail(alias: str, changes: tuple[Change, ...]) -> None:
            raise RuntimeError

        with capturing(fail):
            Tag.objects.create(name="a")
        assert Tag.objects.count() == 1


class TestFollowing:
    """In the process that writes, where there is no change log."""

    @pytest.fixture
    async def ear(self, bare_database: Path) -> AsyncIterator[Ear]:
        ear = Ear()
        with override_settings(BINDSERVER={"COMPARE_SECONDS": 1}):
            message = Subscribe(event="products", params={})
            hub.subscribe(Ref(ear, 1), Caller(), message)
            await ear.until(lambda: ear.replica.cursor)
            yield ear
            await asyncio.to_thread(hub.stop)

    @staticmethod
    async def write(work: Callable[[], object]) -> None:
        """Write in a thread of its own, as a view of a project would."""

        def run() -> None:
            work()
            connections.close_all()

        await asyncio.to_thread(run)

    async def test_an_orm_write_arrives_at_once(self, ear: Ear) -> None:
        for number in range(5):
            await self.write(lambda n=number: Product.objects.create(pk=n + 1, name="a"))  # type: ignore[misc]
            assert await ear.until(lambda n=number: len(ear.replica.held) == n + 1) < 0.5  # type: ignore[misc]

    async def test_what_no_signal_tells_is_found_by_comparing(self, ear: Ear) -> None:
        await self.write(lambda: Product.objects.bulk_create([Product(pk=1, name="a")]))
        await ear.until(lambda: ear.replica.held == [1])
        await self.write(lambda: Product.objects.update(name="b"))
        assert await ear.until(lambda: ear.replica.rows[0]["name"] == "b") < 3


async def test_plain_sql_is_seen_within_the_compare_time(make_server: MakeServer) -> None:
    server = make_server(capture=False, COMPARE_SECONDS=1)
    program = Program(server.database)
    program.run("INSERT INTO app_category VALUES (1, 'a')")
    program.add_products(3, category_id=1)
    with server:
        async with talking(server.ws) as talk:
            products, catalogue = await talk.follow("products"), await talk.follow("catalogue")
            began = time.monotonic()
            program.run("UPDATE app_product SET stock = 5")
            program.run("UPDATE app_category SET name = 'b'")
            await talk.until(lambda: products.column("stock") == [5, 5, 5])
            await talk.until(lambda: catalogue.column("category_name") == ["b"] * 3)
            assert time.monotonic() - began < 4
        log = server.log.read_text()
        assert "default: signals" in log
        assert "`manage.py bindings capture install` sees every write" in log
    program.close()


async def test_an_old_cursor_of_another_process_gives_sync(make_server: MakeServer) -> None:
    server = make_server(capture=False)
    with server:
        async with talking(server.ws) as talk:
            cursor = (await talk.follow("products")).cursor
    with server:
        async with talking(server.ws) as talk:
            assert (await talk.follow("products", cursor=cursor, held=[])).actions == ["sync"]
