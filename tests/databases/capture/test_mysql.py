"""What is special to the writes that the change log on MariaDB names."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connections

from bindserver.capture.mysql.log import MySQLLog
from bindserver.capture.tables import Tracked
from tests.databases.capture.logged import CATEGORY, PRODUCT, WORD, since
from tests.support.mariadb import MariaDB, MariaDBProgram
from tests.support.program import Program


@pytest.fixture(scope="module")
def vendor() -> str:
    return "mysql"


@pytest.fixture
def url(on_maria: Program) -> str:
    """The module's database, emptied."""
    return on_maria.url


class TestLogging:
    def test_a_key_is_named_as_it_stands_in_its_row(self, log: MySQLLog, program: Program) -> None:
        program.run("INSERT INTO app_word VALUES ('Ab ', 1), ('straße', 1), ('😀\\'\\\\', 1)")
        position = log.position()
        program.run("UPDATE app_word SET count = 2 WHERE text = 'aB'")
        assert since(log, position) == {WORD: {"Ab "}}
        program.run("DELETE FROM app_word")
        assert since(log, position) == {WORD: {"Ab ", "straße", "😀'\\"}}

    def test_replace_by_a_key_that_is_the_same_to_the_collation(
        self, log: MySQLLog, program: Program
    ) -> None:
        program.run("INSERT INTO app_word VALUES ('a', 1)")
        position = log.position()
        program.run("REPLACE INTO app_word VALUES ('A', 2)")
        assert since(log, position) == {WORD: {"a", "A"}}

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
        loader = MariaDBProgram(maria, maria_database, local_infile=1)
        position = log.position()
        loader.run("LOAD DATA LOCAL INFILE '/etc/hostname' REPLACE INTO TABLE app_word (text)")
        loader.close()
        logged = since(log, position)
        assert logged is not None
        assert len(logged[WORD] or ()) >= 1

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

    def test_an_ancestor_whose_triggers_are_gone_is_made_good_for_all_below(
        self, log: MySQLLog, program: Program, family: list[Tracked]
    ) -> None:
        parent = [Tracked(table="f_parent", pk="id")]
        log.install(parent)
        program.run("DROP TRIGGER bindserver__f_parent__del")
        position = log.position()
        program.run("DELETE FROM f_parent WHERE id = 1")
        assert since(log, position) == {}
        log.install(parent)
        assert log.missing([*family, *parent]) == []
        assert since(log, position) == {"f_parent": None, "f_child": None, "f_grandchild": None}

    def test_an_install_that_is_broken_off_leaves_all_below_to_the_next(
        self, log: MySQLLog, program: Program, family: list[Tracked]
    ) -> None:
        """The ancestor's triggers are there by then, and nothing else tells that they were not."""
        parent = [Tracked(table="f_parent", pk="id")]
        log.install(parent)
        program.run("DROP TRIGGER bindserver__f_parent__del")
        position = log.position()
        program.run("DELETE FROM f_parent WHERE id = 1")

        def refuse(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            if sql.startswith("INSERT INTO bindserver_log"):
                raise KeyboardInterrupt
            return execute(sql, params, many, context)

        with connections["default"].execute_wrapper(refuse), pytest.raises(KeyboardInterrupt):
            log.install(parent)
        meanwhile = log.position()
        assert log.missing([*family, *parent]) == [*family, *parent]
        log.install([*family, *parent])
        assert log.missing([*family, *parent]) == []
        for known in (position, meanwhile):
            assert since(log, known) == {"f_parent": None, "f_grandchild": None}

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

    def test_of_a_parent_with_a_key_of_several_columns_suit_both(
        self, log: MySQLLog, program: Program
    ) -> None:
        program.run("DROP TABLE IF EXISTS p_child, p_pair")
        program.run("CREATE TABLE p_pair (second INT, first INT, PRIMARY KEY (first, second))")
        program.run(
            "CREATE TABLE p_child (id INT PRIMARY KEY, first INT, second INT, FOREIGN KEY "
            "(first, second) REFERENCES p_pair (first, second) ON DELETE CASCADE)"
        )
        pair, child = Tracked(table="p_pair", pk="first"), Tracked(table="p_child", pk="id")
        log.install([pair])
        log.install([child])
        assert log.missing([pair]) == []

    def test_a_foreign_key_that_came_later_needs_new_triggers(
        self, log: MySQLLog, program: Program, family: list[Tracked]
    ) -> None:
        assert log.missing(family) == []
        program.run(
            "ALTER TABLE f_grandchild ADD uncle INT, "
            "ADD FOREIGN KEY (uncle) REFERENCES f_parent (id) ON DELETE CASCADE"
        )
        assert log.missing(family) == family
