"""A write to columns that nobody reads is not logged, where the database makes that cheap."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection, connections

from bindserver.capture.log import Log, log_of
from bindserver.capture.tables import Tracked, tracked
from bindserver.engine.changes import Change
from tests.app.models import Category, Product
from tests.conftest import EVERY_DATABASE, program_at
from tests.databases.capture.logged import CATEGORY, PRODUCT, Logged, since
from tests.databases.capture.test_old_values import old
from tests.support.program import Program

pytestmark = EVERY_DATABASE
PARCEL = "app_parcel"
CHEAP = ("sqlite", "mysql")

Write = Callable[[str], Logged | None]


def watching(table: str, *columns: str) -> list[Tracked]:
    """Return a table of which some columns are to be watched."""
    return tracked([table], {table: frozenset(columns)})


@pytest.fixture
def log(bare_url: str) -> Log:
    """A change log that watches two columns of products, beside their key."""
    Category.objects.bulk_create([Category(id=n, name="a") for n in (1, 2)])
    Product.objects.create(id=1, name="a", sku="x", category_id=1)
    log = log_of(connections["default"])
    log.install(watching(PRODUCT, "id", "name", "stock"))
    return log


@pytest.fixture
def program(bare_url: str, log: Log) -> Iterator[Program]:
    program = program_at(bare_url)
    yield program
    program.close()


@pytest.fixture
def write(log: Log, program: Program) -> Write:
    """Writes, and returns what is logged of it."""

    def write(sql: str) -> Logged | None:
        position = log.position()
        program.run(sql)
        return since(log, position)

    return write


@pytest.fixture
def unread(vendor: str) -> Logged:
    """What is logged of a product's column that nobody reads."""
    return {} if vendor in CHEAP else {PRODUCT: {"1"}}


def test_a_write_to_columns_that_nobody_reads_is_not_logged(write: Write, unread: Logged) -> None:
    assert write("UPDATE app_product SET price = 7, active = active, sku = 'y'") == unread
    assert write("UPDATE app_product SET category_id = 2") == unread


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE app_product SET stock = 7",
        "UPDATE app_product SET price = 7, name = 'b'",
        "UPDATE app_product SET name = 'A'",
        "UPDATE app_product SET name = 'a '",
    ],
)
def test_a_write_to_one_that_is_read_is_logged(write: Write, sql: str) -> None:
    assert write(sql) == {PRODUCT: {"1"}}


def test_rows_that_come_and_go_are_logged(write: Write) -> None:
    row = "(2, 'n', 'y', 1, 1, {}, 2)"
    columns = "INSERT INTO app_product (id, name, sku, price, stock, active, category_id)"
    active = "1" if connection.vendor != "postgresql" else "TRUE"
    assert write(f"{columns} VALUES {row.format(active)}") == {PRODUCT: {"2"}}
    assert write("DELETE FROM app_product") == {PRODUCT: {"1", "2"}}


def test_so_is_a_key_that_is_changed(write: Write, vendor: str) -> None:
    assert write("UPDATE app_product SET id = 5") == {PRODUCT: {"1", "5"}}
    if vendor == "sqlite":
        assert write("UPDATE app_product SET rowid = 6") == {PRODUCT: {"5", "6"}}


def test_what_a_foreign_keys_action_does_to_a_read_column_is_logged(
    log: Log, program: Program, vendor: str
) -> None:
    with connection.schema_editor() as editor:
        editor.execute(
            "ALTER TABLE app_parcel ADD COLUMN more bigint "
            "REFERENCES app_category (id) ON DELETE SET NULL"
        )
    log.install(watching(PARCEL, "more"))
    program.run("INSERT INTO app_parcel (id, name, more) VALUES (1, 'a', 2)")
    position = log.position()
    if vendor == "sqlite":
        program.run("PRAGMA foreign_keys = ON")
    program.run("DELETE FROM app_category WHERE id = 2")
    told = since(log, position) or {}
    # Where no trigger fires for it, any row is told.
    assert told[PARCEL] == (None if vendor == "mysql" else {"1"})


def test_a_link_that_is_read_tells_whose_it_was(log: Log, program: Program) -> None:
    log.install(watching(PRODUCT, "category_id"))
    position = log.position()
    program.run("UPDATE app_product SET category_id = 2")
    assert old(log, position) == {PRODUCT: {("category_id", "1")}}


def test_triggers_that_watch_too_few_columns_are_missing(log: Log, vendor: str) -> None:
    wanted = watching(PRODUCT, "price")
    assert log.missing(watching(PRODUCT, "name")) == []
    assert bool(log.missing(wanted)) == bool(log.missing(tracked([PRODUCT]))) == (vendor in CHEAP)


def test_more_columns_are_watched_beside_those_that_were(
    log: Log, write: Write, vendor: str
) -> None:
    position = log.position()
    log.install(watching(PRODUCT, "price"))
    if vendor in CHEAP:
        assert log.changes(position) == [Change(table=PRODUCT, pks=None)]
        assert log.columns(tracked([PRODUCT])) == {PRODUCT: {"id", "name", "price", "stock"}}
    for column in ("price", "stock"):
        assert write(f"UPDATE app_product SET {column} = {column} + 1") == {PRODUCT: {"1"}}


def test_a_table_that_is_watched_whole_stays_so(log: Log, write: Write) -> None:
    log.install(tracked([PRODUCT]))
    log.install(watching(PRODUCT, "price"))
    assert log.missing(tracked([PRODUCT])) == []
    assert log.columns(tracked([PRODUCT])) == {}
    assert write("UPDATE app_product SET sku = 'z'") == {PRODUCT: {"1"}}


def test_nothing_is_left_to_install_where_all_is_watched(log: Log) -> None:
    position = log.position()
    assert log.install(watching(PRODUCT, "stock")) == []
    assert log.changes(position) == []


def test_a_table_with_columns_that_are_computed_is_watched_whole(
    log: Log, write: Write, vendor: str
) -> None:
    kind = "STORED" if vendor == "postgresql" else "VIRTUAL"
    with connection.schema_editor() as editor:
        editor.execute(
            "ALTER TABLE app_product ADD COLUMN cents bigint "
            f"GENERATED ALWAYS AS (price * 100) {kind}"
        )
    log.install(watching(PRODUCT, "cents"))
    assert log.columns(tracked([PRODUCT])) == {}
    assert write("UPDATE app_product SET price = 7") == {PRODUCT: {"1"}}


def test_a_read_column_that_goes_refuses_no_write(log: Log, write: Write) -> None:
    log.install(watching(PRODUCT, "price"))
    with connection.schema_editor() as editor:
        editor.remove_field(Product, Product._meta.get_field("price"))
    assert write("UPDATE app_product SET name = 'b'") == {PRODUCT: {"1"}}
    log.install(watching(PRODUCT, "name"))
    assert write("UPDATE app_product SET name = 'c'") == {PRODUCT: {"1"}}


def test_a_table_that_takes_others_along_may_be_watched_in_part(
    log: Log, write: Write, vendor: str
) -> None:
    log.install(watching(CATEGORY, "id"))
    assert log.missing([*watching(CATEGORY, "id"), *watching(PRODUCT, "stock")]) == []
    told: Any = {} if vendor in CHEAP else {CATEGORY: {"1", "2"}}
    assert write("UPDATE app_category SET name = 'b'") == told
