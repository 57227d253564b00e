"""Signals: which writes are told, and when; and following by them where there is no log."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import IntegrityError, connections, transaction
from django.db.backends.sqlite3.base import DatabaseWrapper
from django.test import TestCase, override_settings

from bindserver import written
from bindserver.capture.signals import SignalCapture
from bindserver.capture.transactions import Publish, TransactionRecorder
from bindserver.cycle.inbox import Caller, SessionRequest
from bindserver.engine.changes import Change
from bindserver.engine.effects import Ask
from bindserver.engine.protocol import Subscribe
from bindserver.hub.hub import hub
from tests.app.models import (
    Category,
    Parcel,
    Place,
    Product,
    Restaurant,
    Shelf,
    ShortNote,
    Tag,
    Token,
    Word,
)
from tests.conftest import EVERY_DATABASE, MakeServer, program_on
from tests.support.ear import Ear
from tests.support.talk import talking

Told = list[tuple[str, tuple[Change, ...]]]


@contextmanager
def capturing(publish: Publish) -> Iterator[None]:
    """Have a capture of the test's own hear the signals, beside the app's."""
    capture = SignalCapture(publish)
    capture.connect("test")
    yield
    capture.disconnect("test")


@pytest.fixture
def told(bare_database: Path) -> Iterator[Told]:
    """What has been published."""
    told: Told = []
    with capturing(lambda alias, changes: told.append((alias, changes))):
        yield told


def tables(told: Told) -> dict[str, set[Any] | None]:
    """Return the keys that were told of each table, None for any."""
    found: dict[str, set[Any] | None] = {}
    for _, changes in told:
        for one in changes:
            known = found.setdefault(one.table, set())
            found[one.table] = None if known is None or one.pks is None else known | one.pks
    return found


def change(table: str, *pks: Any) -> Change:
    return Change(table=table, pks=frozenset(pks) if pks else None)


class TestTelling:
    def test_a_saved_and_a_deleted_row(self, told: Told) -> None:
        tag = Tag.objects.create(name="a")
        pk = tag.pk
        tag.save()
        assert told == [("default", (change("app_tag", pk),))] * 2
        told.clear()
        tag.delete()
        assert tables(told)["app_tag"] == {pk}

    def test_a_child_with_its_parents(self, told: Told) -> None:
        restaurant = Restaurant.objects.create(name="a")
        pk = restaurant.pk
        both = {"app_restaurant": {pk}, "app_place": {pk}}
        assert tables(told) == both
        told.clear()
        restaurant.delete()
        assert tables(told) == both

    def test_a_parent_that_takes_its_child_along(self, told: Told) -> None:
        pk = Restaurant.objects.create(name="a").pk
        told.clear()
        Place.objects.get(pk=pk).delete()
        assert tables(told) == {"app_restaurant": {pk}, "app_place": {pk}}

    def test_a_proxy_is_its_model(self, told: Told) -> None:
        note = ShortNote.objects.create(slug="a")
        pk = note.pk
        note.delete()
        assert [tables([one]) for one in told] == [{"app_note": {pk}}] * 2

    def test_a_relation_of_many_to_many(self, told: Told) -> None:
        product, tag = Product.objects.create(name="a"), Tag.objects.create(name="t")
        told.clear()
        product.tags.add(tag)
        tag.product_set.clear()
        assert told == [("default", (change("app_product_tags"),))] * 2

    def test_a_relation_that_was_there_before_is_no_write(self, told: Told) -> None:
        product, tag = Product.objects.create(name="a"), Tag.objects.create(name="t")
        product.tags.add(tag)
        told.clear()
        product.tags.add(tag)
        assert told == []

    def test_a_key_of_another_type(self, told: Told) -> None:
        token = Token.objects.create(label="a")
        assert tables(told) == {"app_token": {token.pk}}

    def test_a_changed_key_is_a_row_more(self, told: Told) -> None:
        word = Word.objects.create(text="a")
        told.clear()
        word.text = "b"
        word.save()
        assert tables(told) == {"app_word": {"b"}}

    def test_rows_that_fall_with_theirs(self, told: Told) -> None:
        category = Category.objects.create(name="a")
        product = Product.objects.create(name="a", category=category)
        pk = product.pk
        told.clear()
        category.delete()
        assert tables(told)["app_product"] == {pk}

    def test_rows_of_many_to_many_that_fall_without_a_signal(self, told: Told) -> None:
        product, tag = Product.objects.create(name="a"), Tag.objects.create(name="t")
        product.tags.add(tag)
        told.clear()
        tag.delete()
        assert tables(told)["app_product_tags"] is None
        told.clear()
        product.delete()
        assert tables(told)["app_product_tags"] is None

    def test_rows_that_are_set_to_null_without_a_signal(self, told: Told) -> None:
        category = Category.objects.create(name="a")
        parcel = Parcel.objects.create(name="a", category=category)
        told.clear()
        category.delete()
        assert tables(told)["app_parcel"] is None
        parcel.refresh_from_db()
        assert parcel.category_id is None

    def test_rows_of_a_fixture(self, told: Told, tmp_path: Path) -> None:
        row = {"model": "app.category", "pk": 7, "fields": {"name": "a"}}
        path = tmp_path / "one.json"
        path.write_text(json.dumps([row]))
        call_command("loaddata", str(path), verbosity=0)
        assert tables(told) == {"app_category": {7}}

    async def test_rows_that_asynchronous_code_writes(self, told: Told) -> None:
        await sync_to_async(connections.close_all)()  # the thread may know an older database
        category = await Category.objects.acreate(name="a")
        pk = category.pk
        await category.adelete()
        assert [tables([one])["app_category"] for one in told] == [{pk}] * 2

    def test_a_user_is_a_model_as_any(self, told: Told) -> None:
        user = get_user_model().objects.create(username="a")
        shelf = Shelf.objects.create(name="a", keeper=user)
        keys = {"auth_user": {user.pk}, "app_shelf": {shelf.pk}}
        told.clear()
        user.delete()
        found = tables(told)
        assert {table: found[table] for table in keys} == keys
        assert found["auth_user_groups"] is None

    def test_a_row_that_could_not_be_saved_is_not_told(self, told: Told) -> None:
        Product.objects.create(name="a", sku="x")
        told.clear()
        with pytest.raises(IntegrityError):
            Product.objects.create(name="b", sku="x")
        assert told == []

    def test_raw_sql_that_says_so(self, told: Told) -> None:
        with transaction.atomic():
            with connections["default"].cursor() as cursor:
                cursor.execute("UPDATE app_product SET stock = 1")
            written(Product)
            written(Category, [1, 2])
            assert told == []
        assert tables(told) == {"app_product": None, "app_category": {1, 2}}

    def test_a_listener_that_fails_harms_no_writer(
        self, bare_database: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(alias: str, changes: tuple[Change, ...]) -> None:
            raise RuntimeError

        with capturing(fail):
            Tag.objects.create(name="a")
            with transaction.atomic():
                Tag.objects.create(name="b")
        assert Tag.objects.count() == 2
        names = [record.name for record in caplog.records if record.exc_info]
        assert names == ["bindserver.capture", "django.db.backends.base"]


class TestTransactions:
    def test_only_after_the_commit_and_once(self, told: Told) -> None:
        with transaction.atomic():
            first = Category.objects.create(name="a")
            second = Category.objects.create(name="b")
            with transaction.atomic():
                third = Category.objects.create(name="c")
            assert told == []
        assert told == [("default", (change("app_category", first.pk, second.pk, third.pk),))]

    def test_nothing_of_what_is_rolled_back(self, told: Told) -> None:
        with transaction.atomic():
            Category.objects.create(name="a")
            transaction.set_rollback(True)
        assert told == []
        kept = Category.objects.create(name="b")
        assert tables(told) == {"app_category": {kept.pk}}

    def test_what_follows_a_savepoint_that_was_rolled_back(self, told: Told) -> None:
        with transaction.atomic():
            with transaction.atomic():
                Category.objects.create(name="never")
                transaction.set_rollback(True)
            kept = Category.objects.create(name="kept")
        assert told == [("default", (change("app_category", kept.pk),))]

    def test_what_follows_a_savepoint_that_was_kept(self, told: Told) -> None:
        with transaction.atomic():
            with transaction.atomic():
                first = Category.objects.create(name="a")
            with transaction.atomic():
                Category.objects.create(name="never")
                transaction.set_rollback(True)
            second = Category.objects.create(name="b")
        assert tables(told)["app_category"] == {first.pk, second.pk}

    @pytest.mark.parametrize("seed", range(40))
    def test_nothing_committed_is_lost_however_savepoints_nest(self, told: Told, seed: int) -> None:
        rng = random.Random(seed)
        connection = connections["default"]
        end_point = (connection.savepoint_commit, connection.savepoint_rollback)[seed % 2]

        def write(depth: int) -> None:
            for _ in range(rng.randint(0, 3)):
                if rng.random() < 0.5:
                    Category.objects.create(name="a")
                if depth < 4 and rng.random() < 0.7:
                    with transaction.atomic(savepoint=rng.random() < 0.9):
                        write(depth + 1)
                        if rng.random() < 0.3:
                            transaction.on_commit(lambda: None)
                        if rng.random() < 0.4 and connection.savepoint_ids[-1]:
                            transaction.set_rollback(True)
                if rng.random() < 0.2:
                    point = str(connection.savepoint())
                    Category.objects.create(name="b")
                    end_point(point)

        with transaction.atomic():
            write(0)
        kept = set(Category.objects.values_list("pk", flat=True))
        assert kept <= (tables(told).get("app_category") or set())

    def test_a_transaction_in_another_database_is_another(
        self, told: Told, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gathering = TransactionRecorder(lambda alias, changes: told.append((alias, changes)))
        other = DatabaseWrapper({**connections["default"].settings_dict}, "other")
        monkeypatch.setitem(connections.settings, "other", other.settings_dict)
        connections["other"] = other
        try:
            with transaction.atomic():
                gathering.add("default", [change("a", 1)])
                gathering.add("other", [change("a", 2)])
                assert told == [("other", (change("a", 2),))]
        finally:
            other.close()
            del connections["other"]
        assert told[1:] == [("default", (change("a", 1),))]

    def test_a_transaction_that_its_owner_commits_is_told_of_at_once(self, told: Told) -> None:
        transaction.set_autocommit(False)
        try:
            Tag.objects.create(name="a")
            assert len(told) == 1
            transaction.commit()
        finally:
            transaction.set_autocommit(True)

    def test_very_many_keys_are_any(self, told: Told) -> None:
        with override_settings(BINDSERVER={"HINT_KEYS": 3}), transaction.atomic():
            for _ in range(4):
                Tag.objects.create(name="a")
            Category.objects.create(name="a")
        assert tables(told)["app_tag"] is None
        assert tables(told)["app_category"] is not None

    def test_tests_that_run_what_is_due_after_a_commit_hear_of_it(self, told: Told) -> None:
        with transaction.atomic():
            with TestCase.captureOnCommitCallbacks(execute=True):
                Tag.objects.create(name="a")
            assert len(told) == 1
            transaction.set_rollback(True)


class TestFollowing:
    """In the process that writes, where there is no change log."""

    @pytest.fixture
    async def ear(self, bare_database: Path) -> AsyncIterator[Ear]:
        ear = Ear()
        with override_settings(BINDSERVER={"COMPARE_SECONDS": 1}):
            message = Subscribe(event="products", params={})
            hub.request(SessionRequest(ear, Caller(), Ask(number=1, message=message)))
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
        async def write(key: int) -> float:
            await self.write(lambda: Product.objects.create(pk=key, name="a"))
            return await ear.until(lambda: len(ear.replica.held) == key)

        for key in range(1, 6):
            assert await write(key) < 0.5

    async def test_what_no_signal_tells_is_found_by_comparing(self, ear: Ear) -> None:
        await self.write(lambda: Product.objects.bulk_create([Product(pk=1, name="a")]))
        await ear.until(lambda: ear.replica.held == [1])
        await self.write(lambda: Product.objects.update(name="b"))
        assert await ear.until(lambda: ear.replica.rows[0]["name"] == "b") < 3


@EVERY_DATABASE
async def test_plain_sql_is_seen_within_the_compare_time(make_server: MakeServer) -> None:
    server = make_server(capture=False, COMPARE_SECONDS=1)
    program = program_on(server)
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
