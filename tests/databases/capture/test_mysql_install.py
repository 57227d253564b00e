"""What is special to installing the change log on MariaDB, and to tables that are changed there."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connections

from bindserver.capture.mysql import install
from bindserver.capture.mysql.log import MySQLLog
from bindserver.capture.mysql.schema import Schema
from bindserver.capture.mysql.trigger_sql import name_of
from bindserver.capture.tables import Tracked
from bindserver.database.views import database_views
from bindserver.exceptions import CaptureError
from tests.databases.capture.logged import WORD, since, wanted
from tests.support.mariadb import MariaDB, MariaDBProgram
from tests.support.program import Program
from tests.support.server import ROOT


@pytest.fixture(scope="module")
def vendor() -> str:
    return "mysql"


@pytest.fixture
def url(bare_url: str) -> str:
    """A database without a change log."""
    return bare_url


@pytest.fixture
def unprivileged(maria: MariaDB, program: Program, log: MySQLLog) -> Iterator[MySQLLog]:
    """The log as a user has it who may do anything in the database, and nothing to the server."""
    connection = connections["default"]
    name = connection.settings_dict["NAME"]
    program.run("CREATE OR REPLACE USER app@'127.0.0.1'")
    program.run(f"GRANT ALL ON {name}.* TO app@'127.0.0.1'")
    connection.close()
    connection.settings_dict["USER"] = "app"
    yield log
    connection.close()
    connection.settings_dict["USER"] = "root"
    program.run("DROP USER app@'127.0.0.1'")


class TestInstalling:
    @pytest.mark.parametrize(
        "setting",
        [
            "sql_safe_updates = 1",
            "sql_mode = 'ANSI,NO_BACKSLASH_ESCAPES,HIGH_NOT_PRECEDENCE,ONLY_FULL_GROUP_BY'",
            "sql_mode = 'ORACLE'",
            "tx_isolation = 'SERIALIZABLE'",
        ],
    )
    def test_minds_no_setting_of_the_session(
        self, log: MySQLLog, program: Program, setting: str
    ) -> None:
        program.run("CREATE TABLE `we'ird``\"t` (id VARCHAR(20) PRIMARY KEY)")
        tables = [Tracked(table="we'ird`\"t", pk="id")]
        with connections["default"].cursor() as cursor:
            cursor.execute(f"SET SESSION {setting}")
        log.install(tables)
        assert log.missing(tables) == []
        position = log.position()
        program.run("INSERT INTO `we'ird``\"t` VALUES (%s)", "a\\b'c")
        assert since(log, position) == {tables[0].table: {"a\\b'c"}}
        assert log.purge(-10, 10, wait=True) == 0
        log.remove()

    def test_a_user_s_own_triggers_stay_and_go_on(self, log: MySQLLog, program: Program) -> None:
        program.run(
            "CREATE TRIGGER own AFTER INSERT ON app_word FOR EACH ROW "
            "INSERT INTO app_tag (name) VALUES (NEW.text)"
        )
        log.install(wanted())
        position = log.position()
        program.run("INSERT INTO app_word VALUES ('a', 1)")
        assert since(log, position) == {WORD: {"a"}, "app_tag": {"1"}}
        log.remove()
        program.run("INSERT INTO app_word VALUES ('b', 1)")
        assert program.run("SELECT name FROM app_tag") == [("a",), ("b",)]

    def test_writes_of_users_who_may_not_touch_the_log_are_seen(
        self, maria: MariaDB, log: MySQLLog, program: Program
    ) -> None:
        log.install(wanted())
        name = str(connections["default"].settings_dict["NAME"])
        program.run("CREATE OR REPLACE USER writer@'127.0.0.1'")
        program.run(f"GRANT SELECT, INSERT ON {name}.app_word TO writer@'127.0.0.1'")
        writer = MariaDBProgram(maria, name, user="writer")
        position = log.position()
        writer.run("INSERT INTO app_word VALUES ('a', 1)")
        assert since(log, position) == {WORD: {"a"}}
        writer.close()
        program.run("DROP USER writer@'127.0.0.1'")

    def test_a_table_that_keeps_its_history(self, log: MySQLLog, program: Program) -> None:
        program.run("ALTER TABLE app_word ADD SYSTEM VERSIONING")
        assert log.install(wanted())
        assert log.install(wanted()) == []
        position = log.position()
        program.run("INSERT INTO app_word VALUES ('a', 1), ('b', 1)")
        program.run("DELETE FROM app_word WHERE text = 'b'")
        assert since(log, position) == {WORD: {"a", "b"}}
        position = log.position()
        program.run("DELETE HISTORY FROM app_word")
        assert since(log, position) == {}

    def test_a_long_table_name_gets_short_trigger_names(
        self, log: MySQLLog, program: Program
    ) -> None:
        table = "a_very_long_table_name_of_exactly_sixty_four_letters_no_more_xx"
        assert len(name_of(table, "ins")) <= 64
        assert name_of(table, "ins") != name_of(table + "y", "ins")
        program.run(f"CREATE TABLE {table} (id INT PRIMARY KEY)")
        program.run("CREATE TABLE `odd `` 'name%%s` (id INT PRIMARY KEY)".replace("%%", "%"))
        tables = [Tracked(table=table, pk="id"), Tracked(table="odd ` 'name%s", pk="id")]
        log.install(tables)
        position = log.position()
        program.run(f"INSERT INTO {table} VALUES (1)")
        program.run("INSERT INTO `odd `` 'name%s` VALUES (2)")
        assert since(log, position) == {table: {"1"}, "odd ` 'name%s": {"2"}}
        assert log.missing(tables) == []


class TestRefusals:
    def test_a_table_without_transactions(self, log: MySQLLog, program: Program) -> None:
        program.run("ALTER TABLE app_word ENGINE=MyISAM")
        with pytest.raises(CaptureError, match=r"MyISAM, which has no transactions.*InnoDB"):
            log.install(wanted())
        assert not log.installed()

    def test_a_replica(self, log: MySQLLog, program: Program) -> None:
        log.install(wanted())
        program.run("SET GLOBAL read_only = 1")
        try:
            assert not log.installed()
            with pytest.raises(CaptureError, match="read only, as a replica is"):
                log.install(wanted())
        finally:
            program.run("SET GLOBAL read_only = 0")
        assert log.installed()

    def test_one_of_several_servers_that_are_written_to(
        self, log: MySQLLog, program: Program
    ) -> None:
        program.run("SET GLOBAL auto_increment_increment = 2")
        try:
            with pytest.raises(CaptureError, match="one of several that are written to"):
                log.install(wanted())
        finally:
            program.run("SET GLOBAL auto_increment_increment = 1")

    def test_a_user_who_may_make_no_triggers(
        self, unprivileged: MySQLLog, program: Program
    ) -> None:
        name = connections["default"].settings_dict["NAME"]
        program.run(f"REVOKE TRIGGER ON {name}.* FROM app@'127.0.0.1'")
        with pytest.raises(CaptureError, match=r"refused: .*needs `GRANT .* TRIGGER ON"):
            unprivileged.install(wanted())

    def test_a_removal_by_one_who_is_not_shown_the_triggers_and_would_leave_them_behind(
        self, unprivileged: MySQLLog, program: Program
    ) -> None:
        name = connections["default"].settings_dict["NAME"]
        unprivileged.install(wanted())
        connections["default"].close()
        program.run(f"REVOKE ALL ON {name}.* FROM app@'127.0.0.1'")
        program.run(f"GRANT SELECT, DROP ON {name}.* TO app@'127.0.0.1'")
        with pytest.raises(CaptureError, match=r"cannot be removed: .*needs `GRANT .* TRIGGER ON"):
            unprivileged.remove()
        program.run(f"GRANT ALL ON {name}.* TO app@'127.0.0.1'")
        program.run("INSERT INTO app_word VALUES ('a', 1)")
        assert program.run("SELECT tbl, pk FROM bindserver_log") == [("app_word", "a")]

    def test_a_binary_log_and_no_super(self, maria_template: dict[bool, str]) -> None:
        server = MariaDB("--log-bin=binlog", "--binlog-format=MIXED").start()
        try:
            name = server.make()
            server.load(name, maria_template[False])
            program = MariaDBProgram(server, name)
            program.run("CREATE USER app@'127.0.0.1'")
            program.run(f"GRANT ALL ON {name}.* TO app@'127.0.0.1'")
            program.close()
            url = server.url(name).replace("root", "app")
            env = {**os.environ, "DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "tests.settings"}
            command = [sys.executable, "manage.py", "bindings", "capture", "install"]
            done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
            assert done.returncode == 1
            assert "log_bin_trust_function_creators = 1" in done.stderr
            assert "Traceback" not in done.stderr
        finally:
            server.remove()

    def test_a_table_that_a_long_transaction_has_used(
        self, log: MySQLLog, program: Program, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(install, "LOCK_SECONDS", 1)
        told: list[str] = []
        log.tries, log.tell = 2, told.append
        program.run("BEGIN")
        program.run("SELECT * FROM app_word")
        with pytest.raises(CaptureError, match=r"app_word.*could not have its table"):
            log.install(wanted())
        assert "1 more tries" in told[0]
        program.run("COMMIT")
        assert log.install(wanted())
        assert log.missing(wanted()) == []

    def test_a_table_that_is_let_go_of_meanwhile_is_waited_for(
        self, log: MySQLLog, program: Program, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(install, "LOCK_SECONDS", 1)
        program.run("BEGIN")
        program.run("SELECT * FROM app_word")
        done = threading.Timer(1.5, program.run, ["COMMIT"])
        done.start()
        log.tries = 10
        assert log.install(wanted())
        done.join()

    def test_leave_the_session_s_settings_as_they_were(
        self, log: MySQLLog, program: Program
    ) -> None:
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT @@sql_mode, @@lock_wait_timeout, @@innodb_lock_wait_timeout")
            before = cursor.fetchone()
            log.install(wanted())
            log.purge(0, 10, wait=True)
            cursor.execute("SELECT @@sql_mode, @@lock_wait_timeout, @@innodb_lock_wait_timeout")
            assert cursor.fetchone() == before


class TestChangedTables:
    @pytest.fixture(autouse=True)
    def installed(self, log: MySQLLog) -> None:
        log.install(wanted())
        log.position()

    @pytest.mark.parametrize(
        "sql",
        [
            "TRUNCATE TABLE app_word",
            "ALTER TABLE app_word ENGINE=InnoDB",
            "ALTER TABLE app_word ADD COLUMN more INT",
            "DROP TRIGGER bindserver__app_word__del",
            "CREATE OR REPLACE TABLE app_word (text VARCHAR(50) PRIMARY KEY, count BIGINT)",
            "RENAME TABLE app_word TO elsewhere, app_tag TO app_word",
        ],
    )
    def test_is_noticed_and_any_row_of_it_may_have_changed(
        self, log: MySQLLog, program: Program, sql: str
    ) -> None:
        missing = [item for item in wanted() if item.table == WORD]
        position, mark = log.position(), log.schema_mark()
        assert log.missing(missing) == []
        time.sleep(1.1)  # times are kept in whole seconds
        program.run(sql)
        log._look_at = 0.0
        log.commit_mark()
        assert log.schema_mark() != mark
        assert log.missing(missing) == missing
        log.install(missing)
        assert since(log, position) == {WORD: None}
        assert log.missing(missing) == []

    def test_one_whose_name_no_file_can_have(self, log: MySQLLog, program: Program) -> None:
        program.run("CREATE TABLE `größte teile-2#$` (id INT PRIMARY KEY)")
        tables = [Tracked(table="größte teile-2#$", pk="id")]
        log.install(tables)
        program.run("INSERT INTO `größte teile-2#$` VALUES (1)")
        assert log.missing(tables) == []
        program.run("TRUNCATE TABLE `größte teile-2#$`")
        assert log.missing(tables) == tables

    def test_of_a_database_whose_name_no_folder_can_have(self, program: Program) -> None:
        program.run("CREATE OR REPLACE DATABASE `my-shop`")
        program.run("CREATE TABLE `my-shop`.one (id INT PRIMARY KEY)")
        with connections["default"].cursor() as cursor:
            cursor.execute("USE `my-shop`")
        assert set(Schema(connections["default"]).spaces) == {"one"}
        connections["default"].close()
        program.run("DROP DATABASE `my-shop`")

    def test_partitions_that_are_emptied_or_exchanged(
        self, log: MySQLLog, program: Program
    ) -> None:
        program.run(
            "CREATE TABLE parts (id INT PRIMARY KEY) PARTITION BY RANGE (id) "
            "(PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20))"
        )
        tables = [Tracked(table="parts", pk="id")]
        log.install(tables)
        program.run("INSERT INTO parts VALUES (1), (11)")
        program.run("ALTER TABLE parts TRUNCATE PARTITION p0")
        assert log.missing(tables) == tables
        log.install(tables)
        program.run("CREATE TABLE swap (id INT PRIMARY KEY)")
        program.run("ALTER TABLE parts EXCHANGE PARTITION p1 WITH TABLE swap")
        assert log.missing(tables) == tables

    def test_analyzing_a_table_or_restarting_the_look_changes_nothing(
        self, log: MySQLLog, program: Program
    ) -> None:
        program.run("ANALYZE TABLE app_word")
        program.run("INSERT INTO app_word VALUES ('a', 1)")
        program.run("FLUSH TABLES")
        assert MySQLLog(connections["default"]).missing(wanted()) == []

    def test_a_log_that_was_emptied_by_hand(self, log: MySQLLog, program: Program) -> None:
        program.run("INSERT INTO app_word VALUES ('a', 1), ('b', 1), ('c', 1)")
        log.purge(-10, 2, wait=True)
        position = log.position()
        program.run("TRUNCATE TABLE bindserver_log")
        assert log.missing(wanted()) == wanted()
        log.install(wanted())
        assert log.changes(position) is None
        position = log.position()
        program.run("INSERT INTO app_word VALUES ('d', 1)")
        assert since(log, position) == {WORD: {"d"}}


class TestWithoutTheProcessPrivilege:
    def test_truncates_are_told_by_their_count(
        self, unprivileged: MySQLLog, program: Program, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("bindserver.capture.mysql.log.TRUNCATE_SECONDS", 0.0)
        log = unprivileged
        log.install(wanted())
        assert "PROCESS" in log.status()["more"]["TRUNCATE"]
        position = log.position()
        self.look(log)
        assert log.changes(position) == []
        mark = log.commit_mark()
        program.run("TRUNCATE TABLE app_word")
        self.look(log)
        assert log.moved(mark)
        assert log.changes(position) is None
        position = log.position()
        self.look(log)  # the table may have been locked, and emptied only now
        assert log.changes(position) is None
        position = log.position()
        self.look(log)
        assert log.changes(position) == []

    def test_whoever_has_it_does_not_believe_what_was_kept_without_and_then_all_agree(
        self, unprivileged: MySQLLog, program: Program
    ) -> None:
        unprivileged.install(wanted())
        connection = connections["default"]
        connection.close()
        connection.settings_dict["USER"] = "root"
        log = MySQLLog(connection)
        position = log.position()
        assert log.missing(wanted()) == wanted()
        log.install(wanted())
        assert log.missing(wanted()) == []
        assert since(log, position) == dict.fromkeys(item.table for item in wanted())
        program.run("TRUNCATE TABLE app_word")
        assert [item.table for item in log.missing(wanted())] == [WORD]
        log.install(wanted())
        connection.close()
        connection.settings_dict["USER"] = "app"
        assert MySQLLog(connection).missing(wanted()) == []

    @staticmethod
    def look(log: MySQLLog) -> None:
        log._look_at = 0.0
        log.commit_mark()


class TestAUserWhoMayOnlyRead:
    @pytest.fixture
    def reader(self, unprivileged: MySQLLog, program: Program) -> MySQLLog:
        connection = connections["default"]
        connection.settings_dict["USER"] = "root"
        MySQLLog(connection).install(wanted())
        connection.close()
        connection.settings_dict["USER"] = "app"
        name = connection.settings_dict["NAME"]
        program.run(f"REVOKE ALL ON {name}.* FROM app@'127.0.0.1'")
        program.run(f"GRANT SELECT ON {name}.* TO app@'127.0.0.1'")
        return unprivileged

    def test_is_told_what_to_grant_and_nothing_is_followed(self, reader: MySQLLog) -> None:
        asks: list[Callable[[], object]] = [
            reader.position,
            lambda: reader.missing(wanted()),
            lambda: reader.install(wanted()),
        ]
        for ask in asks:
            with pytest.raises(CaptureError, match=r"GRANT .*TRIGGER ON `\w+`\.\* TO `app`@"):
                ask()

    def test_is_told_so_by_a_write_that_is_refused(
        self, reader: MySQLLog, program: Program
    ) -> None:
        name = connections["default"].settings_dict["NAME"]
        program.run(f"GRANT TRIGGER ON {name}.* TO app@'127.0.0.1'")
        connections["default"].close()
        reader.position()
        with pytest.raises(CaptureError, match=r"was refused: .*`GRANT SELECT, INSERT"):
            reader.renew()


class TestCatalogues:
    def test_no_look_at_a_schema_opens_the_tables_of_others(
        self, log: MySQLLog, program: Program
    ) -> None:
        """On a server of many databases one such look takes seconds."""
        asked: list[tuple[str, Any]] = []

        def hear(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            asked.append((sql, params))
            return execute(sql, params, many, context)

        product = Tracked(table="app_product", pk="id")
        log.install([product])
        with connections["default"].execute_wrapper(hear):
            schema = Schema(connections["default"])
            assert schema.missing([product]) == []
            assert schema.mark([product.table])
            assert schema.parents("app_category") is not None
            assert database_views(connections["default"]) == frozenset()
        looks = [one for one in asked if "information_schema" in one[0]]
        assert len(looks) > 5
        with connections["default"].cursor() as cursor:
            for sql, params in looks:
                cursor.execute(f"EXPLAIN {sql}", params)
                assert "all databases" not in str(cursor.fetchall()), sql
