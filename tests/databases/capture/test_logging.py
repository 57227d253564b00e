"""Which writes the change log names, on every kind of database."""

from __future__ import annotations

import time

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import Value

from bindserver.capture.log import Log
from bindserver.capture.tables import Tracked, tracked
from tests.app.models import Category, Product, Restaurant, Tag, Token, Word
from tests.conftest import EVERY_DATABASE
from tests.databases.capture.logged import CATEGORY, PRODUCT, TAGS, WORD, since
from tests.support.program import Program

WITH_REPLACE = pytest.mark.parametrize("vendor", ["sqlite", "mysql"], indirect=True)
IN_CASCADES = pytest.mark.parametrize("vendor", ["sqlite", "postgresql"], indirect=True)
MANY = {
    "mysql": "bindserver.capture.mysql.entries.MAX_ENTRIES",
    "postgresql": "bindserver.capture.postgresql.log.MAX_KEYS",
    "sqlite": "bindserver.capture.sqlite.log.MAX_ENTRIES",
}


@EVERY_DATABASE
class TestLogging:
    """Each kind of write, by whatever program, is named by its keys."""

    def test_insert_update_and_delete(self, log: Log, program: Program) -> None:
        for sql in (
            "INSERT INTO app_category (id, name) VALUES (7, 'a')",
            "UPDATE app_category SET name = 'b' WHERE id = 7",
            "DELETE FROM app_category WHERE id = 7",
        ):
            position = log.position()
            program.run(sql)
            assert since(log, position) == {CATEGORY: {"7"}}

    def test_the_orm_and_its_bulk_calls(self, log: Log) -> None:
        position = log.position()
        Category.objects.bulk_create([Category(id=n, name="a") for n in (1, 2, 3)])
        assert since(log, position) == {CATEGORY: {"1", "2", "3"}}
        position = log.position()
        Category.objects.filter(id__gt=1).update(name="b")
        assert since(log, position) == {CATEGORY: {"2", "3"}}
        position = log.position()
        Category.objects.filter(id__lt=3).delete()
        assert since(log, position) == {CATEGORY: {"1", "2"}}

    def test_what_meant_a_row_last_is_told(self, log: Log, program: Program) -> None:
        program.run("INSERT INTO app_category (id, name) VALUES (7, 'a')")
        program.run("INSERT INTO app_category (id, name) VALUES (8, 'a')")
        first, other = log.latest("app_category", 7), log.latest("app_category", 8)
        program.run("UPDATE app_category SET name = 'b' WHERE id = 7")
        last = log.latest("app_category", 7)
        assert first is not None
        assert last is not None
        assert last.is_of_row
        assert abs(last.at - time.time()) < 60
        assert last.position != first.position
        assert log.latest("app_category", 8) == other
        assert log.latest("app_category", 9) is None
        assert log.latest("app_tag", 7) is None

    def test_how_large_it_is_is_told_without_counting(self, log: Log, program: Program) -> None:
        assert log.size().oldest is None
        for number in (1, 2, 3):
            program.run(f"INSERT INTO app_category (id, name) VALUES ({number}, 'a')")
        size = log.size()
        assert size.oldest is not None
        assert abs(size.oldest - time.time()) < 60
        if connection.vendor == "postgresql":  # whose figures come a moment later
            assert size.bytes is not None
            assert 0 < size.bytes < 1_000_000
        else:
            assert size.entries == 3

    def test_a_changed_key_is_named_old_and_new(self, log: Log, program: Program) -> None:
        program.run("INSERT INTO app_word VALUES ('old', 1), ('kept', 1)")
        position = log.position()
        program.run("UPDATE app_word SET text = replace(text, 'old', 'new')")
        told = since(log, position)
        assert told is not None
        rows = told[WORD]
        assert rows is not None
        # MariaDB compares what is read of a row; a row that stays as it was is told, or is not.
        assert {"old", "new"} <= rows <= {"old", "new", "kept"}

    def test_a_statement_that_touches_no_row_logs_nothing(self, log: Log, program: Program) -> None:
        program.run("UPDATE app_word SET count = 1 WHERE 1 = 0")
        program.run("DELETE FROM app_word")
        program.run("INSERT INTO app_word SELECT text, 1 FROM app_word")
        assert program.run("SELECT * FROM bindserver_log") == []

    def test_upsert_by_the_orm(self, log: Log) -> None:
        Word.objects.create(text="a")
        position = log.position()
        by_target = connection.features.supports_update_conflicts_with_target
        Word.objects.bulk_create(
            [Word(text="a", count=2), Word(text="b", count=3)],
            update_conflicts=True,
            unique_fields=["text"] if by_target else None,
            update_fields=["count"],
        )
        assert since(log, position) == {WORD: {"a", "b"}}

    def test_delete_without_where(self, log: Log, program: Program) -> None:
        program.add_products(50)
        position = log.position()
        program.run("DELETE FROM app_product")
        assert since(log, position) == {PRODUCT: {str(n) for n in range(1, 51)}}

    def test_many_to_many_rows(self, log: Log) -> None:
        log.install(tracked([TAGS]))
        product, tag = Product.objects.create(name="a"), Tag.objects.create(name="t")
        position = log.position()
        product.tags.add(tag)
        logged = since(log, position)
        assert logged is not None
        assert set(logged) == {TAGS}

    def test_a_multi_table_child_names_both_tables(self, log: Log) -> None:
        position = log.position()
        restaurant = Restaurant.objects.create(name="a", seats=4)
        key = {str(restaurant.pk)}
        assert since(log, position) == {"app_place": key, "app_restaurant": key}

    def test_an_update_by_an_expression(self, log: Log) -> None:
        product = Product.objects.create(name="a")
        position = log.position()
        Product.objects.update(name=Value("b"))
        assert since(log, position) == {PRODUCT: {str(product.pk)}}

    def test_keys_are_read_again_by_their_fields(self, log: Log) -> None:
        position = log.position()
        token, word = Token.objects.create(label="a"), Word.objects.create(text="Ünï'")
        logged = since(log, position)
        assert logged is not None
        assert logged[WORD] == {word.pk}
        (key,) = logged["app_token"] or {None}
        assert Token._meta.pk.to_python(key) == token.pk

    def test_what_is_rolled_back_leaves_nothing(self, log: Log, program: Program) -> None:
        position, mark = log.position(), log.commit_mark()
        with pytest.raises(LookupError), program.transaction():  # noqa: PT012  (what comes before belongs to it)
            program.run("INSERT INTO app_category (name) VALUES ('never')")
            raise LookupError
        assert since(log, position) == {}
        assert not log.moved(mark)

    def test_what_a_savepoint_rolls_back_leaves_nothing(self, log: Log) -> None:
        position = log.position()
        with transaction.atomic():
            kept = Category.objects.create(name="kept")
            with pytest.raises(LookupError), transaction.atomic():  # noqa: PT012  (what comes before belongs to it)
                Category.objects.create(name="never")
                raise LookupError
        assert since(log, position) == {CATEGORY: {str(kept.pk)}}

    def test_a_refused_write_leaves_nothing(self, log: Log) -> None:
        Word.objects.create(text="a")
        position = log.position()
        with connection.cursor() as cursor, pytest.raises(IntegrityError):
            cursor.execute("INSERT INTO app_word VALUES ('c', 2), ('a', 2)")
        assert since(log, position) == {}

    def test_very_many_are_told_by_table(
        self, log: Log, program: Program, vendor: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(MANY[vendor], 10)
        position = log.position()
        program.add_products(9)
        program.run("INSERT INTO app_word VALUES ('a', 1)")
        assert since(log, position) == {PRODUCT: {str(n) for n in range(1, 10)}, WORD: {"a"}}
        program.add_products(1, first=10)
        assert since(log, position) == {PRODUCT: None, WORD: None}

    def test_the_log_holds_keys_and_no_contents(self, log: Log, program: Program) -> None:
        position = log.position()
        program.run("INSERT INTO app_category (id, name) VALUES (5, 'a secret')")
        assert since(log, position) == {CATEGORY: {"5"}}
        assert "a secret" not in str(program.run("SELECT * FROM bindserver_log"))


@WITH_REPLACE
class TestReplace:
    def test_by_key(self, log: Log, program: Program) -> None:
        program.run("INSERT INTO app_word VALUES ('a', 1)")
        position = log.position()
        program.run("REPLACE INTO app_word VALUES ('a', 2)")
        assert since(log, position) == {WORD: {"a"}}

    def test_names_the_row_that_a_unique_index_evicts(self, log: Log, program: Program) -> None:
        program.add_products(2)
        program.run("UPDATE app_product SET sku = 'x' WHERE id = 1")
        position = log.position()
        program.run(
            "REPLACE INTO app_product (id, name, sku, price, stock, active) "
            "VALUES (9, 'n', 'x', 1, 1, 1)"
        )
        assert program.run("SELECT id FROM app_product") == [(2,), (9,)]
        assert since(log, position) == {PRODUCT: {"1", "9"}}

    def test_a_null_in_a_unique_column_evicts_nobody(self, log: Log, program: Program) -> None:
        program.add_products(1)
        position = log.position()
        program.run(
            "REPLACE INTO app_product (id, name, sku, price, stock, active) "
            "VALUES (2, 'n', NULL, 1, 1, 1)"
        )
        assert since(log, position) == {PRODUCT: {"2"}}


@IN_CASCADES
def test_rows_that_the_database_itself_deletes_or_changes_with_their_parent(
    log: Log, program: Program
) -> None:
    program.run("CREATE TABLE keeper (id int PRIMARY KEY)")
    program.run(
        "CREATE TABLE things (id int PRIMARY KEY, "
        "one int REFERENCES keeper ON DELETE CASCADE ON UPDATE CASCADE, "
        "two int REFERENCES keeper ON DELETE SET NULL)"
    )
    log.install([Tracked(table="things", pk="id")])
    program.run("INSERT INTO keeper VALUES (1), (2), (3)")
    program.run("INSERT INTO things VALUES (1, 1, NULL), (2, 1, NULL), (3, 2, 3), (4, 2, 2)")
    position = log.position()
    program.run("DELETE FROM keeper WHERE id IN (1, 3)")
    assert since(log, position) == {"things": {"1", "2", "3"}}
    position = log.position()
    program.run("UPDATE keeper SET id = 9 WHERE id = 2 AND 1 = 0")
    program.run("UPDATE things SET two = NULL")
    program.run("UPDATE keeper SET id = 9 WHERE id = 2")
    assert since(log, position) == {"things": {"3", "4"}}
