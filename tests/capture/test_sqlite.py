"""The change log on SQLite: which writes it names, and what its positions prove."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connections, transaction
from django.db.models import Value

from bindserver.capture.log import has_log, log_of
from bindserver.capture.sqlite import SQLiteLog
from bindserver.capture.tables import tracked
from bindserver.discovery import tables_of
from bindserver.engine.changes import Position
from bindserver.exceptions import CaptureError
from bindserver.registry import registry
from tests.app.models import Category, Product, Restaurant, Tag, Token, Word
from tests.conftest import Program

CATEGORY, PRODUCT, TAGS = "app_category", "app_product", "app_product_tags"


@pytest.fixture
def log(database: Path) -> SQLiteLog:
    return SQLiteLog(connections["default"])


@pytest.fixture
def program(database: Path) -> Iterator[Program]:
    program = Program(database)
    yield program
    program.close()


def since(log: SQLiteLog, position: Position) -> dict[str, set[object]] | None:
    """Return the keys logged since a position, by table."""
    changes = log.changes(position)
    if changes is None:
        return None
    return {change.table: set(change.pks or ()) for change in changes}


class TestInstalling:
    def tables(self) -> set[str]:
        return tables_of(registry.all(), "default")

    def test_a_second_install_runs_nothing_and_keeps_the_epoch(self, log: SQLiteLog) -> None:
        epoch = log.position().epoch
        assert log.install(tracked(self.tables())) == []
        assert log.position().epoch == epoch

    def test_the_first_install_watches_what_bindings_read(self, bare_database: Path) -> None:
        log = SQLiteLog(connections["default"])
        assert not has_log(connections["default"])
        assert log.install(tracked(self.tables()))
        assert has_log(connections["default"])
        assert {PRODUCT, CATEGORY, "app_place", "app_word"} <= set(log.status()["tables"])

    def test_what_rows_are_served_with_is_watched_too(self, bare_database: Path) -> None:
        Product.objects.create(name="a").tags.add(Tag.objects.create(name="t"))
        log = SQLiteLog(connections["default"])
        log.install(tracked(self.tables()))
        assert {TAGS, "app_tag"} <= set(log.status()["tables"])

    def test_a_plan_changes_nothing(self, bare_database: Path) -> None:
        log = SQLiteLog(connections["default"])
        planned = log.plan(tracked(self.tables()))
        assert any(statement.startswith("CREATE TRIGGER") for statement in planned)
        assert not log.installed()
        assert log.install(tracked(self.tables())) == planned

    def test_a_database_that_is_not_in_wal_mode_is_refused(self, bare_database: Path) -> None:
        connections["default"].close()
        connections["default"].settings_dict["OPTIONS"] = {}
        with sqlite3.connect(bare_database) as raw:
            raw.execute("PRAGMA journal_mode=DELETE")
        raw.close()
        log = SQLiteLog(connections["default"])
        with pytest.raises(CaptureError, match=r"'delete'.*needs WAL.*PRAGMA journal_mode=WAL"):
            log.install(tracked(self.tables()))
        assert not log.installed()
        assert log.status() == {"installed": False}

    def test_tables_that_were_never_migrated_are_refused(self, bare_database: Path) -> None:
        with connections["default"].cursor() as cursor:
            cursor.execute("DROP TABLE app_word")
        log = SQLiteLog(connections["default"])
        with pytest.raises(CaptureError, match=r"No such tables: app_word\. Run .*migrate"):
            log.install(tracked(self.tables()))
        assert not log.installed()

    def test_a_new_table_to_watch_begins_a_new_epoch(self, log: SQLiteLog) -> None:
        epoch = log.position().epoch
        assert log.missing(tracked(["django_session"]))
        log.install(tracked(["django_session"]))
        assert log.missing(tracked(["django_session"])) == []
        assert log.position().epoch != epoch

    def test_removing_leaves_nothing_of_ours(self, log: SQLiteLog, program: Program) -> None:
        planned = log.plan_removal()
        assert log.installed()
        assert log.remove() == planned
        left = program.run("SELECT name FROM sqlite_master WHERE name LIKE 'bindserver%'")
        assert left == []
        program.add_products(1)
        assert log.remove() == []

    def test_after_removing_and_installing_old_positions_prove_nothing(
        self, log: SQLiteLog
    ) -> None:
        position = log.position()
        log.remove()
        log.install(tracked(self.tables()))
        assert log.changes(position) is None

    def test_the_log_holds_keys_and_no_contents(self, log: SQLiteLog, program: Program) -> None:
        program.run("INSERT INTO app_category (id, name) VALUES (5, 'a secret')")
        row = program.run("SELECT * FROM bindserver_log ORDER BY id DESC LIMIT 1")[0]
        assert row[1:3] == (CATEGORY, 5)
        assert "a secret" not in row

    def test_status_tells_figures(self, log: SQLiteLog) -> None:
        Category.objects.create(name="a")
        status = log.status()
        assert status["entries"] == 1
        assert status["more"] == {"journal mode": "wal"}
        assert abs(status["oldest"] - time.time()) < 5
        assert status["epoch"] == log.position().epoch


class TestLogging:
    """Each kind of write, by whatever program, is named by its keys."""

    def test_insert_update_and_delete(self, log: SQLiteLog, program: Program) -> None:
        for sql in (
            "INSERT INTO app_category (id, name) VALUES (7, 'a')",
            "UPDATE app_category SET name = 'b' WHERE id = 7",
            "DELETE FROM app_category WHERE id = 7",
        ):
            position = log.position()
            program.run(sql)
            assert since(log, position) == {CATEGORY: {7}}

    def test_the_orm_and_its_bulk_calls(self, log: SQLiteLog) -> None:
        position = log.position()
        Category.objects.bulk_create([Category(id=n, name="a") for n in (1, 2, 3)])
        Category.objects.filter(id__gt=1).update(name="b")
        assert since(log, position) == {CATEGORY: {1, 2, 3}}

    def test_a_changed_key_is_named_old_and_new(self, log: SQLiteLog, program: Program) -> None:
        program.run("INSERT INTO app_word VALUES ('old', 1)")
        position = log.position()
        program.run("UPDATE app_word SET text = 'new'")
        assert since(log, position) == {"app_word": {"old", "new"}}

    def test_replace_by_key(self, log: SQLiteLog, program: Program) -> None:
        program.run("INSERT INTO app_word VALUES ('a', 1)")
        position = log.position()
        program.run("REPLACE INTO app_word VALUES ('a', 2)")
        assert since(log, position) == {"app_word": {"a"}}

    def test_replace_names_the_row_that_a_unique_index_evicts(
        self, log: SQLiteLog, program: Program
    ) -> None:
        program.add_products(2)
        program.run("UPDATE app_product SET sku = 'x' WHERE id = 1")
        position = log.position()
        program.run(
            "REPLACE INTO app_product (id, name, sku, price, stock, active) "
            "VALUES (9, 'n', 'x', 1, 1, 1)"
        )
        assert program.run("SELECT id FROM app_product") == [(2,), (9,)]
        assert since(log, position) == {PRODUCT: {1, 9}}

    def test_replace_minds_the_collation_of_the_index(self, log: SQLiteLog) -> None:
        program = Program(Path(str(connections["default"].settings_dict["NAME"])))
        program.run("CREATE UNIQUE INDEX by_name ON app_tag (name COLLATE NOCASE)")
        log.install(tracked({"app_tag"}))
        program.run("INSERT INTO app_tag (id, name) VALUES (1, 'a')")
        before = log.position()
        program.run("REPLACE INTO app_tag (id, name) VALUES (2, 'A')")
        program.close()
        assert since(log, before) == {"app_tag": {1, 2}}

    def test_update_or_replace_names_the_row_that_it_evicts(
        self, log: SQLiteLog, program: Program
    ) -> None:
        program.add_products(2)
        program.run("UPDATE app_product SET sku = 'x' WHERE id = 1")
        position = log.position()
        program.run("UPDATE OR REPLACE app_product SET sku = 'x' WHERE id = 2")
        assert program.run("SELECT id FROM app_product") == [(2,)]
        assert since(log, position) == {PRODUCT: {1, 2}}

    def test_a_null_in_a_unique_column_evicts_nobody(
        self, log: SQLiteLog, program: Program
    ) -> None:
        program.add_products(1)
        position = log.position()
        program.run(
            "REPLACE INTO app_product (id, name, sku, price, stock, active) "
            "VALUES (2, 'n', NULL, 1, 1, 1)"
        )
        assert since(log, position) == {PRODUCT: {2}}

    def test_upsert(self, log: SQLiteLog, program: Program) -> None:
        program.run("INSERT INTO app_word VALUES ('a', 1)")
        position = log.position()
        program.run(
            "INSERT INTO app_word VALUES ('a', 5), ('b', 6) "
            "ON CONFLICT (text) DO UPDATE SET count = excluded.count"
        )
        assert since(log, position) == {"app_word": {"a", "b"}}

    def test_upsert_by_the_orm(self, log: SQLiteLog) -> None:
        Word.objects.create(text="a")
        position = log.position()
        Word.objects.bulk_create(
            [Word(text="a", count=2), Word(text="b", count=3)],
            update_conflicts=True,
            unique_fields=["text"],
            update_fields=["count"],
        )
        assert since(log, position) == {"app_word": {"a", "b"}}

    def test_rows_that_the_database_itself_deletes_with_their_parent(
        self, log: SQLiteLog, program: Program
    ) -> None:
        program.run("CREATE TABLE keeper (id INTEGER PRIMARY KEY)")
        program.run(
            "CREATE TABLE kept (text TEXT PRIMARY KEY, "
            "keeper INTEGER REFERENCES keeper ON DELETE CASCADE)"
        )
        program.run("DROP TABLE app_word")
        program.run("ALTER TABLE kept RENAME TO app_word")
        log.install(tracked(["app_word"]))
        program.run("INSERT INTO keeper VALUES (1), (2)")
        program.run("INSERT INTO app_word VALUES ('a', 1), ('b', 1), ('c', 2)")
        position = log.position()
        program.run("DELETE FROM keeper WHERE id = 1")
        assert since(log, position) == {"app_word": {"a", "b"}}

    def test_delete_without_where(self, log: SQLiteLog, program: Program) -> None:
        program.add_products(50)
        position = log.position()
        program.run("DELETE FROM app_product")
        assert since(log, position) == {PRODUCT: set(range(1, 51))}

    def test_many_to_many_rows(self, log: SQLiteLog) -> None:
        log.install(tracked([TAGS]))
        product, tag = Product.objects.create(name="a"), Tag.objects.create(name="t")
        position = log.position()
        product.tags.add(tag)
        logged = since(log, position)
        assert logged is not None
        assert set(logged) == {TAGS}

    def test_a_multi_table_child_names_both_tables(self, log: SQLiteLog) -> None:
        position = log.position()
        restaurant = Restaurant.objects.create(name="a", seats=4)
        both = {"app_place": {restaurant.pk}, "app_restaurant": {restaurant.pk}}
        assert since(log, position) == both

    def test_keys_of_other_types_come_as_the_database_holds_them(self, log: SQLiteLog) -> None:
        position = log.position()
        token = Token.objects.create(label="a")
        assert since(log, position) == {"app_token": {token.pk.hex}}

    def test_an_update_by_an_expression(self, log: SQLiteLog) -> None:
        product = Product.objects.create(name="a")
        position = log.position()
        Product.objects.update(name=Value("b"))
        assert since(log, position) == {PRODUCT: {product.pk}}

    def test_what_is_rolled_back_leaves_nothing(self, log: SQLiteLog, program: Program) -> None:
        position = log.position()
        program.run("BEGIN")
        program.run("INSERT INTO app_category (name) VALUES ('never')")
        program.run("ROLLBACK")
        assert log.position() == position
        assert since(log, position) == {}

    def test_what_a_savepoint_rolls_back_leaves_nothing(self, log: SQLiteLog) -> None:
        position = log.position()
        with transaction.atomic():
            kept = Category.objects.create(name="kept")
            try:
                with transaction.atomic():
                    Category.objects.create(name="never")
                    raise LookupError
            except LookupError:
                pass
        assert since(log, position) == {CATEGORY: {kept.pk}}

    def test_a_refused_write_leaves_nothing(self, log: SQLiteLog, program: Program) -> None:
        program.run("INSERT INTO app_word VALUES ('a', 1)")
        position = log.position()
        with pytest.raises(sqlite3.IntegrityError):
            program.run("INSERT INTO app_word VALUES ('a', 2)")
        assert since(log, position) == {}


class TestPositions:
    def test_the_empty_log_is_a_position_too(self, log: SQLiteLog, program: Program) -> None:
        position = log.position()
        program.add_products(2)
        assert since(log, position) == {PRODUCT: {1, 2}}

    def test_another_epoch_proves_nothing(self, log: SQLiteLog) -> None:
        position = Position(epoch="another", mark=log.position().mark)
        assert log.changes(position) is None

    def test_a_purged_position_proves_nothing(self, log: SQLiteLog, program: Program) -> None:
        empty = log.position()
        program.add_products(1)
        early = log.position()
        program.add_products(1, first=2)
        late = log.position()
        self.age(program)
        assert log.purge(60, 1000, wait=True) == 1
        assert log.changes(empty) is None
        assert log.changes(early) is None
        assert since(log, late) == {}

    def test_purging_takes_the_oldest_entries_only_and_spares_the_newest(
        self, log: SQLiteLog, program: Program
    ) -> None:
        program.add_products(10)
        self.age(program)
        program.add_products(5, first=11)
        assert log.purge(60, 4, wait=True) == 4
        assert log.purge(60, 1000, wait=True) == 6
        assert log.purge(60, 1000, wait=True) == 0
        self.age(program)
        log.purge(60, 1000, wait=True)
        assert log.status()["entries"] == 1

    def test_an_old_entry_among_young_ones_stays(self, log: SQLiteLog, program: Program) -> None:
        """A clock that was set back must not tear a hole into the log."""
        program.add_products(3)
        program.run("UPDATE bindserver_log SET at = 1 WHERE id = 2")
        assert log.purge(60, 1000, wait=True) == 0

    def test_purging_does_not_wait_for_a_writer(self, log: SQLiteLog, program: Program) -> None:
        program.add_products(10)
        self.age(program)
        with program.transaction():
            began = time.monotonic()
            assert log.purge(60, 1000, wait=False) == 0
            assert time.monotonic() - began < 1
        assert log.purge(60, 1000, wait=False) == 9

    def test_a_restored_backup_proves_nothing_about_what_it_never_saw(
        self, database: Path, log: SQLiteLog, program: Program
    ) -> None:
        program.add_products(1)
        shared = log.position()
        program.close()
        connections["default"].close()
        backup = database.with_suffix(".backup")
        shutil.copy(database, backup)

        program = Program(database)
        program.add_products(3, first=2)
        lost = log.position()
        program.close()
        connections["default"].close()
        shutil.copy(backup, database)

        program = Program(database)
        program.add_products(3, first=20)
        program.close()
        assert log.position().mark.split(".")[0] == lost.mark.split(".")[0]
        assert log.changes(lost) is None
        assert since(log, shared) == {PRODUCT: {20, 21, 22}}

    def test_very_many_entries_are_told_by_table(
        self, log: SQLiteLog, program: Program, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("bindserver.capture.sqlite.MAX_ENTRIES", 10)
        position = log.position()
        program.add_products(11)
        changes = log.changes(position)
        assert changes is not None
        assert [(change.table, change.pks) for change in changes] == [(PRODUCT, None)]

    def test_commits_and_migrations_are_noticed(self, log: SQLiteLog, program: Program) -> None:
        commits, schema = log.commit_mark(), log.schema_mark()
        assert (log.commit_mark(), log.schema_mark()) == (commits, schema)
        program.add_products(1)
        assert log.commit_mark() != commits
        assert log.schema_mark() == schema
        program.run("ALTER TABLE app_word ADD COLUMN more INTEGER")
        assert log.schema_mark() != schema

    @staticmethod
    def age(program: Program) -> None:
        program.run("UPDATE bindserver_log SET at = at - 3600")


class TestRebuiltTables:
    def test_a_rebuilt_table_lacks_its_triggers_until_they_are_installed_again(
        self, log: SQLiteLog, program: Program
    ) -> None:
        rebuild(program)
        assert [t.table for t in log.missing(tracked([CATEGORY, PRODUCT]))] == [CATEGORY]
        epoch = log.position().epoch
        log.install(tracked([CATEGORY]))
        assert log.position().epoch != epoch
        position = log.position()
        program.run("INSERT INTO app_category (id, name) VALUES (3, 'a')")
        assert since(log, position) == {CATEGORY: {3}}

    def test_a_new_unique_index_needs_new_triggers(self, log: SQLiteLog, program: Program) -> None:
        program.run("CREATE UNIQUE INDEX one_name ON app_category (name)")
        assert log.missing(tracked([CATEGORY]))
        log.install(tracked([CATEGORY]))
        program.run("INSERT INTO app_category (id, name) VALUES (1, 'a')")
        position = log.position()
        program.run("REPLACE INTO app_category (id, name) VALUES (2, 'a')")
        assert since(log, position) == {CATEGORY: {1, 2}}


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


def test_a_database_without_a_log_of_its_kind_is_told_so() -> None:
    class Elsewhere:
        vendor, display_name = "oracle", "Oracle"

    with pytest.raises(CaptureError, match=r"no change log for Oracle.*full compare"):
        log_of(Elsewhere())  # type: ignore[arg-type]
