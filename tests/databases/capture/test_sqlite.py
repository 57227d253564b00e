"""What is special to the change log on SQLite."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from bindserver.capture.sqlite.log import SQLiteLog
from bindserver.capture.tables import Tracked, tracked
from bindserver.exceptions import CaptureBusy, CaptureError
from tests.app.models import Product, Token
from tests.databases.capture.logged import CATEGORY, PRODUCT, keys, since, wanted
from tests.support.program import Program
from tests.support.sqlite import SQLiteProgram


@pytest.fixture(scope="module")
def vendor() -> str:
    return "sqlite"


class TestInstalling:
    def test_a_database_that_is_not_in_wal_mode_is_refused(self, bare_database: Path) -> None:
        connections["default"].close()
        connections["default"].settings_dict["OPTIONS"] = {}
        with sqlite3.connect(bare_database) as raw:
            raw.execute("PRAGMA journal_mode=DELETE")
        raw.close()
        log = SQLiteLog(connections["default"])
        with pytest.raises(CaptureError, match=r"'delete'.*needs WAL.*PRAGMA journal_mode=WAL"):
            log.install(wanted())
        assert not log.installed()
        assert log.status() == {"installed": False}

    def test_a_server_waits_for_nobody_who_writes(self, log: SQLiteLog) -> None:
        sessions = tracked({"django_session"})
        writer = sqlite3.connect(connections["default"].settings_dict["NAME"], isolation_level=None)
        writer.execute("BEGIN IMMEDIATE")
        with pytest.raises(CaptureBusy, match="another connection is writing"):
            log.install(sessions, whole=False)
        writer.execute("ROLLBACK")
        writer.close()
        assert log.install(sessions, whole=False)


class TestTheBound:
    @pytest.fixture(autouse=True)
    def few(self, log: SQLiteLog, settings: Any) -> None:
        settings.BINDSERVER = {"LOG_MAX_ENTRIES": 100}
        log.install(wanted())

    def test_the_log_bounds_itself_though_nobody_purges_it(
        self, log: SQLiteLog, program: Program
    ) -> None:
        for first in range(1, 1000, 9):
            program.add_products(9, first=first)
        assert 100 <= log.size().entries <= 110

    def test_a_position_that_is_past_it_proves_nothing_and_a_younger_one_all(
        self, log: SQLiteLog, program: Program
    ) -> None:
        old = log.position()
        program.add_products(200)
        young = log.position()
        program.add_products(50, first=201)
        assert log.changes(old) is None
        assert since(log, young) == {PRODUCT: {str(key) for key in range(201, 251)}}

    def test_one_transaction_that_writes_more_is_told_too(
        self, log: SQLiteLog, program: Program
    ) -> None:
        program.add_products(1)
        position = log.position()
        program.add_products(1000, first=2)
        assert log.changes(position) is None
        assert log.size().entries <= 110

    def test_another_setting_is_installed_and_begins_no_new_epoch(
        self, log: SQLiteLog, settings: Any, program: Program
    ) -> None:
        position = log.position()
        settings.BINDSERVER = {"LOG_MAX_ENTRIES": 1000}
        assert log.install(wanted()) == []
        program.add_products(500)
        assert since(log, position) == {PRODUCT: {str(key) for key in range(1, 501)}}

    def test_it_goes_with_the_log(self, log: SQLiteLog) -> None:
        log.remove()
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT name FROM sqlite_master WHERE name LIKE 'bindserver%'")
            assert cursor.fetchall() == []


class TestLogging:
    def test_keys_come_as_the_database_holds_them(self, log: SQLiteLog) -> None:
        position = log.position()
        product, token = Product.objects.create(name="a"), Token.objects.create(label="a")
        changes = log.changes(position)
        assert changes is not None
        assert {change.table: change.pks for change in changes} == {
            PRODUCT: {product.pk},
            "app_token": {token.pk.hex},
        }

    def test_replace_minds_the_collation_of_the_index(self, log: SQLiteLog) -> None:
        program = SQLiteProgram(Path(str(connections["default"].settings_dict["NAME"])))
        program.run("CREATE UNIQUE INDEX by_name ON app_tag (name COLLATE NOCASE)")
        log.install(tracked({"app_tag"}))
        program.run("INSERT INTO app_tag (id, name) VALUES (1, 'a')")
        before = log.position()
        program.run("REPLACE INTO app_tag (id, name) VALUES (2, 'A')")
        program.close()
        assert since(log, before) == {"app_tag": {"1", "2"}}

    def test_update_or_replace_names_the_row_that_it_evicts(
        self, log: SQLiteLog, program: Program
    ) -> None:
        program.add_products(2)
        program.run("UPDATE app_product SET sku = 'x' WHERE id = 1")
        position = log.position()
        program.run("UPDATE OR REPLACE app_product SET sku = 'x' WHERE id = 2")
        assert program.run("SELECT id FROM app_product") == [(2,)]
        assert since(log, position) == {PRODUCT: {"1", "2"}}


class TestPositions:
    def test_commits_and_migrations_are_noticed(self, log: SQLiteLog, program: Program) -> None:
        commits, schema = log.commit_mark(), log.schema_mark()
        assert (log.commit_mark(), log.schema_mark()) == (commits, schema)
        program.add_products(1)
        assert log.commit_mark() != commits
        assert log.schema_mark() == schema
        program.run("ALTER TABLE app_word ADD COLUMN more INTEGER")
        assert log.schema_mark() != schema


class TestRebuiltTables:
    def test_a_rebuilt_table_lacks_its_triggers_until_they_are_installed_again(
        self, log: SQLiteLog, program: Program
    ) -> None:
        rebuild(program)
        assert [t.table for t in log.missing(tracked([CATEGORY, PRODUCT]))] == [CATEGORY]
        position = log.position()
        log.install(tracked([CATEGORY]))
        assert since(log, position) == {CATEGORY: None}
        position = log.position()
        program.run("INSERT INTO app_category (id, name) VALUES (3, 'a')")
        assert since(log, position) == keys(3)

    def test_a_new_unique_index_needs_new_triggers(self, log: SQLiteLog, program: Program) -> None:
        program.run("CREATE UNIQUE INDEX one_name ON app_category (name)")
        assert log.missing(tracked([CATEGORY]))
        log.install(tracked([CATEGORY]))
        program.run("INSERT INTO app_category (id, name) VALUES (1, 'a')")
        position = log.position()
        program.run("REPLACE INTO app_category (id, name) VALUES (2, 'a')")
        assert since(log, position) == keys(1, 2)

    def test_new_triggers_of_a_table_leave_those_of_another_whose_name_goes_on(
        self, log: SQLiteLog, program: Program
    ) -> None:
        program.run("CREATE TABLE app (id INTEGER PRIMARY KEY)")
        program.run("CREATE TABLE app__part (id INTEGER PRIMARY KEY)")
        tables = [Tracked(table="app", pk="id"), Tracked(table="app__part", pk="id")]
        log.install(tables)
        program.run("DROP TRIGGER bindserver__app__ins")
        log.install(tables)
        assert log.missing(tables) == []


def rebuild(program: Program) -> None:
    """Rebuild a table as Django's migrations do on SQLite."""
    program.run("PRAGMA foreign_keys = OFF")
    with program.transaction():
        program.run(
            'CREATE TABLE "new__app_category" '
            "(id INTEGER PRIMARY KEY AUTOINCREMENT, name varchar(50) NOT NULL)"
        )
        program.run('INSERT INTO "new__app_category" SELECT id, name FROM app_category')
        program.run("DROP TABLE app_category")
        program.run('ALTER TABLE "new__app_category" RENAME TO app_category')
    program.run("PRAGMA foreign_keys = ON")
