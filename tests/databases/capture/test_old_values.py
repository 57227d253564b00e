"""The log tells what rows held in their foreign keys before, on every kind of database."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection

from bindserver.capture.log import Log
from bindserver.capture.tables import tracked
from bindserver.engine.changes import Change, Position
from tests.app.models import Category, Product, Shelf, Tag
from tests.conftest import EVERY_DATABASE
from tests.databases.capture.logged import PRODUCT, TAGS, since
from tests.support.program import Program

pytestmark = EVERY_DATABASE
SHELF = "app_shelf"


@pytest.fixture
def rows(log: Log) -> None:
    """Three categories, and a product, a shelf and a parcel in the first."""
    log.install(tracked([PRODUCT, TAGS, SHELF, "app_tallshelf", "app_parcel"]))
    Category.objects.bulk_create([Category(id=n, name="a") for n in (1, 2, 3)])
    Product.objects.create(id=1, name="a", sku="x", category_id=1)
    Shelf.objects.create(id=1, name="a", category_id=1)


def old(log: Log, position: Position) -> dict[str, set[tuple[str, str]]]:
    """Return what rows held before, by table, as text."""
    changes = log.changes(position)
    assert changes is not None
    return {
        change.table: {(column, str(value)) for column, value in change.old}
        for change in changes
        if change.old
    }


def run(log: Log, program: Program, sql: str, *args: Any) -> dict[str, set[tuple[str, str]]]:
    """Return what rows held before a statement."""
    position = log.position()
    program.run(sql, *args)
    return old(log, position)


@pytest.mark.usefixtures("rows")
class TestOldValues:
    def test_a_moved_row_tells_whose_it_was(self, log: Log, program: Program) -> None:
        assert run(log, program, "UPDATE app_product SET category_id = 2 WHERE id = 1") == {
            PRODUCT: {("category_id", "1")}
        }

    def test_a_deleted_row_tells_whose_it_was(self, log: Log, program: Program) -> None:
        assert run(log, program, "DELETE FROM app_product WHERE id = 1") == {
            PRODUCT: {("category_id", "1")}
        }

    def test_each_step_of_a_row_that_moves_on_is_told(self, log: Log, program: Program) -> None:
        position = log.position()
        for category in (2, 3, 1):
            program.run(f"UPDATE app_product SET category_id = {category} WHERE id = 1")
        assert old(log, position) == {PRODUCT: {("category_id", n) for n in "123"}}

    def test_rows_of_one_statement_may_swap_places(self, log: Log, program: Program) -> None:
        Product.objects.create(id=2, name="b", category_id=2)
        position = log.position()
        program.run("UPDATE app_product SET category_id = 3 - category_id")
        told = old(log, position)
        assert since(log, position) == {PRODUCT: {"1", "2"}}
        assert told == {PRODUCT: {("category_id", "1"), ("category_id", "2")}}

    @pytest.mark.parametrize(
        "sql",
        [
            "UPDATE app_product SET name = 'b', category_id = category_id",
            "UPDATE app_shelf SET keeper_id = NULL",
            "INSERT INTO app_category (id, name) VALUES (9, 'a')",
        ],
    )
    def test_what_stays_where_it_is_tells_nothing(
        self, log: Log, program: Program, sql: str
    ) -> None:
        assert run(log, program, sql) == {}

    def test_nothing_is_told_of_null(self, log: Log, program: Program) -> None:
        assert run(log, program, "UPDATE app_product SET category_id = NULL") == {
            PRODUCT: {("category_id", "1")}
        }
        assert run(log, program, "UPDATE app_product SET category_id = 2") == {}

    def test_links_tell_both_ends(self, log: Log) -> None:
        tag = Tag.objects.create(id=7, name="t")
        Product.objects.get(pk=1).tags.add(tag)
        position = log.position()
        Product.objects.get(pk=1).tags.clear()
        assert old(log, position) == {TAGS: {("product_id", "1"), ("tag_id", "7")}}

    def test_a_link_to_a_parents_table_is_a_key(self, log: Log, program: Program) -> None:
        told = log.old_columns(tracked([SHELF, "app_tallshelf", PRODUCT, "app_word"]))
        assert told == {
            SHELF: {"category_id", "keeper_id"},
            "app_tallshelf": set(),
            PRODUCT: {"category_id"},
            "app_word": set(),
        }

    def test_very_many_are_told_by_table(
        self, log: Log, program: Program, vendor: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        module = {"mysql": "mysql.entries", "postgresql": "postgresql.log", "sqlite": "sqlite.log"}
        name = "MAX_KEYS" if vendor == "postgresql" else "MAX_ENTRIES"
        monkeypatch.setattr(f"bindserver.capture.{module[vendor]}.{name}", 1)
        position = log.position()
        program.run("DELETE FROM app_product")
        assert since(log, position) == {PRODUCT: None}
        assert old(log, position) == {}

    def test_a_column_that_goes_refuses_no_write(
        self, log: Log, program: Program, vendor: str
    ) -> None:
        with connection.schema_editor() as editor:
            editor.remove_field(Shelf, Shelf._meta.get_field("category"))
        program.run("UPDATE app_shelf SET keeper_id = NULL, name = 'b'")
        program.run("DELETE FROM app_shelf")
        assert [item.table for item in log.missing(tracked([SHELF, PRODUCT]))] == [SHELF]
        log.install(tracked([SHELF]))
        assert log.old_columns(tracked([SHELF])) == {SHELF: {"keeper_id"}}

    def test_a_column_that_comes_is_told_from_then_on_and_any_row_may_have_changed(
        self, log: Log, program: Program
    ) -> None:
        with connection.schema_editor() as editor:
            editor.remove_field(Shelf, Shelf._meta.get_field("category"))
        log.install(tracked([SHELF]))
        with connection.schema_editor() as editor:
            editor.add_field(Shelf, Shelf._meta.get_field("category"))
        position = log.position()
        assert [item.table for item in log.missing(tracked([SHELF, PRODUCT]))] == [SHELF]
        log.install(tracked([SHELF]))
        assert log.changes(position) == [Change(table=SHELF, pks=None)]
        program.run("UPDATE app_shelf SET category_id = 1")
        assert run(log, program, "DELETE FROM app_shelf") == {SHELF: {("category_id", "1")}}


@pytest.mark.usefixtures("rows")
class TestReplace:
    def test_a_row_that_is_replaced_tells_whose_it_was(
        self, log: Log, program: Program, vendor: str
    ) -> None:
        if vendor == "postgresql":
            pytest.skip("it has no REPLACE")
        columns = "REPLACE INTO app_product (id, name, sku, price, stock, active, category_id)"
        told = {PRODUCT: {("category_id", "1")}}
        assert run(log, program, f"{columns} VALUES (1, 'n', 'x', 1, 1, 1, 2)") == told
        program.run("UPDATE app_product SET category_id = 1")
        assert run(log, program, f"{columns} VALUES (9, 'n', 'x', 1, 1, 1, 2)") == told

    def test_so_does_one_that_an_update_evicts(
        self, log: Log, program: Program, vendor: str
    ) -> None:
        if vendor != "sqlite":
            pytest.skip("it has no UPDATE OR REPLACE")
        Product.objects.create(id=2, name="b", category_id=2)
        told = {PRODUCT: {("category_id", "1")}}
        assert run(log, program, "UPDATE OR REPLACE app_product SET id = 1 WHERE id = 2") == told
