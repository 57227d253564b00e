"""The change log on MariaDB: which writes it names."""

from __future__ import annotations

import MySQLdb
import pytest
from django.db import connections, transaction
from django.db.models import Value

from bindserver.capture.mysql import MySQLLog
from bindserver.capture.tables import Tracked, tracked
from bindserver.engine.changes import Position
from tests.app.models import Category, Product, Restaurant, Tag, Token, Word
from tests.support.mariadb import MariaDB, Program

CATEGORY, PRODUCT, TAGS, WORD = "app_category", "app_product", "app_product_tags", "app_word"
Logged = dict[str, set[object] | None]


@pytest.fixture
def log(on_maria: Program) -> MySQLLog:
    return MySQLLog(connections["default"])


@pytest.fixture
def program(on_maria: Program) -> Program:
    return on_maria


def since(log: MySQLLog, position: Position) -> Logged | None:
    """Return the keys logged since a position, by table; None for any key."""
    changes = log.changes(position)
    if changes is None:
        return None
    return {c.table: None if c.pks is None else set(c.pks) for c in changes}


class TestLogging:
    """Each kind of write, by whatever program, is named by its keys."""

    def test_insert_update_and_delete(self, log: MySQLLog, program: Program) -> None:
        for sql in (
            "INSERT INTO app_category (id, name) VALUES (7, 'a')",
            "UPDATE app_category SET name = 'b' WHERE id = 7",
            "DELETE FROM app_category WHERE id = 7",
        ):
            position = log.position()
            program.run(sql)
            assert since(log, position) == {CATEGORY: {"7"}}

    def test_the_orm_and_its_bulk_calls(self, log: MySQLLog) -> None:
        position = log.position()
        Category.objects.bulk_create([Category(id=n, name="a") for n in (1, 2, 3)])
        Category.objects.filter(id__gt=1).update(name="b")
        assert since(log, position) == {CATEGORY: {"1", "2", "3"}}

    def test_a_changed_key_is_named_old_and_new(self, log: MySQLLog, program: Program) -> None:
        program.run("INSERT INTO app_word VALUES ('old', 1)")
        position = log.position()
        program.run("UPDATE app_word SET text = 'new'")
        assert since(log, position) == {WORD: {"old", "new"}}

    def test_a_key_that_changes_by_case_alone_is_named_old_and_new(
        self, log: MySQLLog, program: Program
    ) -> None:
        """To the collation 'a' = 'A'; to a client's rows it is another key."""
        program.run("INSERT INTO app_word VALUES ('a', 1)")
        position = log.position()
        program.run("UPDATE app_word SET text = 'A'")
        assert since(log, position) == {WORD: {"a", "A"}}

    def test_a_key_is_named_as_it_stands_in_its_row(self, log: MySQLLog, program: Program) -> None:
        program.run("INSERT INTO app_word VALUES ('Ab ', 1), ('straße', 1), ('😀\\'\\\\', 1)")
        position = log.position()
        program.run("UPDATE app_word SET count = 2 WHERE text = 'aB'")
        assert since(log, position) == {WORD: {"Ab "}}
        program.run("DELETE FROM app_word")
        assert since(log, position) == {WORD: {"Ab ", "straße", "😀'\\"}}

    def test_replace_by_key(self, log: MySQLLog, program: Program) -> None:
        program.run("INSERT INTO app_word VALUES ('a', 1)")
        position = log.position()
        program.run("REPLACE INTO app_word VALUES ('A', 2)")
        assert since(log, position) == {WORD: {"a", "A"}}

    def test_replace_names_the_row_that_a_unique_index_evicts(
        self, log: MySQLLog, program: Program
    ) -> None:
        program.add_products(2)
        program.run("UPDATE app_product SET sku = 'x' WHERE id = 1")
        position = log.position()
        program.run(
            "REPLACE INTO app_product (id, name, sku, price, stock, active) "
            "VALUES (9, 'n', 'x', 1, 1, 1)"
        )
        assert program.run("SELECT id FROM app_product") == [(2,), (9,)]
        assert since(log, position) == {PRODUCT: {"1", "9"}}

    def test_upsert_names_the_row_that_it_updates(self, log: MySQLLog, program: Program) -> None:
        program.run("INSERT INTO app_word VALUES ('a', 1)")
        position = log.position()
        program.run(
            "INSERT INTO app_word VALUES ('A', 5), ('b', 6) "
            "ON DUPLICATE KEY UPDATE count = VALUES(count)"
        )
        assert since(log, position) == {WORD: {"a", "b"}}

    def test_insert_ignore_names_what_it_inserts(self, log: MySQLLog, program: Program) -> None:
        program.run("INSERT INTO app_word VALUES ('a', 1)")
        position = log.position()
        program.run("INSERT IGNORE INTO app_word VALUES ('a', 5), ('b', 6)")
        assert since(log, position) == {WORD: {"b"}}

    def test_one_statement_over_several_tables(self, log: MySQLLog, program: Program) -> None:
        program.run("INSERT INTO app_category (id, name) VALUES (1, 'a')")
        program.add_products(2, category_id=1)
        position = log.position()
        program.run(
            "UPDATE app_product p JOIN app_category c ON c.id = p.category_id "
            "SET p.stock = 5, c.name = 'b' WHERE p.id = 2"
        )
        assert since(log, position) == {PRODUCT: {"2"}, CATEGORY: {"1"}}
        position = log.position()
        program.run("SET foreign_key_checks = 0")
        program.run("DELETE p, c FROM app_product p JOIN app_category c ON c.id = p.category_id")
        assert since(log, position) == {PRODUCT: {"1", "2"}, CATEGORY: {"1"}}

    def test_loading_a_file(self, maria: MariaDB, maria_database: str, log: MySQLLog) -> None:
        loader = Program(maria, maria_database, local_infile=1)
        position = log.position()
        loader.run("LOAD DATA LOCAL INFILE '/etc/hostname' REPLACE INTO TABLE app_word (text)")
        loader.close()
        logged = since(log, position)
        assert logged is not None
        assert len(logged[WORD] or ()) >= 1

    def test_delete_without_where(self, log: MySQLLog, program: Program) -> None:
        program.add_products(50)
        position = log.position()
        program.run("DELETE FROM app_product")
        assert since(log, position) == {PRODUCT: {str(n) for n in range(1, 51)}}

    def test_many_to_many_rows(self, log: MySQLLog) -> None:
        log.install(tracked([TAGS]))
        product, tag = Product.objects.create(name="a"), Tag.objects.create(name="t")
        position = log.position()
        product.tags.add(tag)
        logged = since(log, position)
        assert logged is not None
        assert set(logged) == {TAGS}

    def test_a_multi_table_child_names_both_tables(self, log: MySQLLog) -> None:
        position = log.position()
        restaurant = Restaurant.objects.create(name="a", seats=4)
        both: Logged = {"app_place": {str(restaurant.pk)}, "app_restaurant": {str(restaurant.pk)}}
        assert since(log, position) == both

    def test_an_update_by_an_expression(self, log: MySQLLog) -> None:
        product = Product.objects.create(name="a")
        position = log.position()
        Product.objects.update(name=Value("b"))
        assert since(log, position) == {PRODUCT: {str(product.pk)}}

    def test_what_is_rolled_back_leaves_nothing(self, log: MySQLLog, program: Program) -> None:
        position = log.position()
        program.run("BEGIN")
        program.run("INSERT INTO app_category (name) VALUES ('never')")
        program.run("ROLLBACK")
        assert log.position() == position
        assert since(log, position) == {}

    def test_what_a_savepoint_rolls_back_leaves_nothing(self, log: MySQLLog) -> None:
        position = log.position()
        with transaction.atomic():
            kept = Category.objects.create(name="kept")
            try:
                with transaction.atomic():
                    Category.objects.create(name="never")
                    raise LookupError
            except LookupError:
                pass
        assert since(log, position) == {CATEGORY: {str(kept.pk)}}

    def test_a_refused_write_leaves_nothing(self, log: MySQLLog, program: Program) -> None:
        program.run("INSERT INTO app_word VALUES ('a', 1)")
        position = log.position()
        with pytest.raises(MySQLdb.IntegrityError):
            program.run("INSERT INTO app_word VALUES ('c', 2), ('a', 2)")
        assert since(log, position) == {}

    def test_the_log_holds_keys_and_no_contents(self, log: MySQLLog, program: Program) -> None:
        program.run("INSERT INTO app_category (id, name) VALUES (5, 'a secret')")
        row = program.run("SELECT * FROM bindserver_log ORDER BY id DESC LIMIT 1")[0]
        assert row[1:3] == (CATEGORY, "5")
        assert "a secret" not in row

    def test_writers_in_every_sql_mode_and_isolation(self, log: MySQLLog, program: Program) -> None:
        position = log.position()
        for number, setting in enumerate(
            [
                "sql_mode = 'ANSI,TRADITIONAL,PAD_CHAR_TO_FULL_LENGTH,NO_BACKSLASH_ESCAPES'",
                "sql_mode = 'ORACLE'",
                "sql_mode = ''",
                "tx_isolation = 'SERIALIZABLE'",
                "tx_isolation = 'READ-UNCOMMITTED'",
                "character_set_client = latin1",
            ],
            start=1,
        ):
            program.run(f"SET SESSION {setting}")
            program.run(f"INSERT INTO app_word VALUES ('{number}', 1)")
        assert since(log, position) == {WORD: {"1", "2", "3", "4", "5", "6"}}


class TestKeysOfEveryType:
    @pytest.mark.parametrize(
        ("kind", "value", "key"),
        [
            ("BIGINT UNSIGNED", "18446744073709551615", "18446744073709551615"),
            ("TINYINT", "-5", "-5"),
            ("DECIMAL(30, 10)", "12345678901234567890.0123456789", None),
            ("CHAR(32)", "'ABC'", "ABC"),
            ("UUID", "'123E4567-E89B-12D3-A456-426655440000'", None),
            ("BINARY(4)", "x'00FF4100'", b"\x00\xffA\x00"),
            ("VARBINARY(16)", "x'FFFE'", b"\xff\xfe"),
            ("VARCHAR(700) CHARACTER SET latin1", "'ß'", "ß"),
            ("VARCHAR(3000) CHARACTER SET latin1", "REPEAT('ß', 3000)", "ß" * 3000),
            ("VARCHAR(700) COLLATE utf8mb4_unicode_ci", "'É😀'", "É😀"),
            ("DATETIME(6)", "'2026-01-02 03:04:05.678901'", "2026-01-02 03:04:05.678901"),
            ("DATE", "'2026-01-02'", "2026-01-02"),
            ("ENUM('x', 'y')", "'y'", "y"),
        ],
    )
    def test_is_logged_as_the_database_holds_it(
        self, log: MySQLLog, program: Program, kind: str, value: str, key: object
    ) -> None:
        program.run(f"CREATE OR REPLACE TABLE odd (`the key` {kind} PRIMARY KEY, v INT)")
        log.install([Tracked(table="odd", pk="the key")])
        position = log.position()
        program.run(f"INSERT INTO odd VALUES ({value}, 1)")
        stored = program.run("SELECT `the key` FROM odd")[0][0]
        logged = since(log, position)
        assert logged is not None
        assert logged["odd"] == {str(stored) if key is None else key}
        position = log.position()
        program.run("UPDATE odd SET v = 2")
        program.run("DELETE FROM odd")
        assert since(log, position) == logged

    def test_a_float_is_told_by_table(self, log: MySQLLog, program: Program) -> None:
        program.run("CREATE OR REPLACE TABLE odd (`the key` FLOAT PRIMARY KEY, v INT)")
        log.install([Tracked(table="odd", pk="the key")])
        position = log.position()
        program.run("INSERT INTO odd VALUES (0.1, 1)")
        assert since(log, position) == {"odd": None}

    def test_a_uuid_key_of_django_s_is_found_again(self, log: MySQLLog) -> None:
        position = log.position()
        token = Token.objects.create(label="a")
        logged = since(log, position)
        assert logged is not None
        (raw,) = logged["app_token"] or {None}
        assert Token._meta.pk.to_python(raw) == token.pk

    def test_a_word_key_is_found_again(self, log: MySQLLog) -> None:
        position = log.position()
        Word.objects.create(text="Ünï")
        assert since(log, position) == {WORD: {"Ünï"}}


class TestCascades:
    """The database's own CASCADE and SET NULL fire no trigger of the child."""

    @pytest.fixture
    def family(self, log: MySQLLog, program: Program) -> list[Tracked]:
        program.run("DROP TABLE IF EXISTS f_grandchild, f_child, f_parent")
        program.run("CREATE TABLE f_parent (id INT PRIMARY KEY, code INT UNIQUE, other INT)")
        program.run(
            "CREATE TABLE f_child (id INT PRIMARY KEY, parent INT, "
            "FOREIGN KEY (parent) REFERENCES f_parent (code) "
            "ON DELETE CASCADE ON UPDATE CASCADE)"
        )
        program.run(
            "CREATE TABLE f_grandchild (id INT PRIMARY KEY, child INT, "
            "FOREIGN KEY (child) REFERENCES f_child (id) ON DELETE SET NULL)"
        )
        wanted = [Tracked(table="f_grandchild", pk="id")]
        log.install(wanted)
        program.run("INSERT INTO f_parent VALUES (1, 10, 0), (2, 20, 0)")
        program.run("INSERT INTO f_child VALUES (1, 10)")
        program.run("INSERT INTO f_grandchild VALUES (1, 1)")
        return wanted

    def test_a_deleted_ancestor_means_any_row(
        self, log: MySQLLog, program: Program, family: list[Tracked]
    ) -> None:
        position = log.position()
        program.run("DELETE FROM f_parent WHERE id = 1")
        assert program.run("SELECT * FROM f_grandchild") == [(1, None)]
        assert since(log, position) == {"f_parent": {"1"}, "f_child": None, "f_grandchild": None}

    def test_a_changed_key_of_an_ancestor_means_any_row(
        self, log: MySQLLog, program: Program, family: list[Tracked]
    ) -> None:
        position = log.position()
        program.run("UPDATE f_parent SET other = 5")
        assert since(log, position) == {"f_parent": {"1", "2"}}
        position = log.position()
        program.run("UPDATE f_parent SET code = 11 WHERE id = 1")
        logged = since(log, position)
        assert logged == {"f_parent": {"1"}, "f_child": None, "f_grandchild": None}

    def test_are_told_by_status(self, log: MySQLLog, family: list[Tracked]) -> None:
        told = log.status()["more"]["cascades of f_parent"]
        assert "carries deletes or changed keys on to f_child, f_grandchild" in told

    def test_a_foreign_key_that_came_later_needs_new_triggers(
        self, log: MySQLLog, program: Program, family: list[Tracked]
    ) -> None:
        assert log.missing(family) == []
        program.run(
            "ALTER TABLE f_grandchild ADD uncle INT, "
            "ADD FOREIGN KEY (uncle) REFERENCES f_parent (id) ON DELETE CASCADE"
        )
        assert log.missing(family) == family
