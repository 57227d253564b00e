"""Installing the change log on MariaDB: what it does, what it refuses, and in which words."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from django.core.management import call_command
from django.db import connections

from bindserver.capture import mysql_install
from bindserver.capture.log import has_log
from bindserver.capture.mysql import MySQLLog
from bindserver.capture.mysql_schema import name_of
from bindserver.capture.tables import Tracked, tracked
from bindserver.discovery import tables_of
from bindserver.exceptions import CaptureError
from bindserver.registry import registry
from tests.capture.test_mysql import since
from tests.support.mariadb import MariaDB, Program
from tests.support.server import ROOT

CATEGORY, WORD = "app_category", "app_word"


@pytest.fixture
def log(on_own_maria: Program) -> MySQLLog:
    return MySQLLog(connections["default"])


@pytest.fixture
def program(on_own_maria: Program) -> Program:
    return on_own_maria


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


def tables() -> list[Tracked]:
    return tracked(tables_of(registry.all(), "default"))


class TestInstalling:
    def test_a_second_install_runs_nothing_and_keeps_the_epoch(self, log: MySQLLog) -> None:
        assert not has_log(connections["default"])
        assert log.install(tables())
        assert has_log(connections["default"])
        epoch = log.position().epoch
        assert log.install(tables()) == []
        assert MySQLLog(connections["default"]).install(tables()) == []
        assert log.position().epoch == epoch
        assert log.missing(tables()) == []

    def test_a_plan_changes_nothing_and_is_what_is_run(self, log: MySQLLog) -> None:
        planned = log.plan(tables())
        assert planned[0].startswith("CREATE TABLE")
        assert any(statement.startswith("CREATE TRIGGER") for statement in planned)
        assert not log.installed()
        assert log.install(tables()) == planned

    def test_removing_leaves_nothing_of_ours(self, log: MySQLLog, program: Program) -> None:
        log.install(tables())
        planned = log.plan_removal()
        assert log.installed()
        assert log.remove() == planned
        assert program.run("SHOW TRIGGERS") == []
        assert program.run("SHOW TABLES LIKE 'bindserver%'") == []
        program.add_products(1)
        assert log.remove() == []

    def test_after_removing_and_installing_old_positions_prove_nothing(self, log: MySQLLog) -> None:
        log.install(tables())
        position = log.position()
        log.remove()
        log.install(tables())
        assert log.changes(position) is None

    def test_a_user_s_own_triggers_stay_and_go_on(self, log: MySQLLog, program: Program) -> None:
        program.run(
            "CREATE TRIGGER own AFTER INSERT ON app_word FOR EACH ROW "
            "INSERT INTO app_tag (name) VALUES (NEW.text)"
        )
        log.install(tables())
        position = log.position()
        program.run("INSERT INTO app_word VALUES ('a', 1)")
        assert since(log, position) == {WORD: {"a"}, "app_tag": {"1"}}
        log.remove()
        program.run("INSERT INTO app_word VALUES ('b', 1)")
        assert program.run("SELECT name FROM app_tag") == [("a",), ("b",)]

    def test_writes_of_users_who_may_not_touch_the_log_are_seen(
        self, maria: MariaDB, log: MySQLLog, program: Program
    ) -> None:
        log.install(tables())
        name = str(connections["default"].settings_dict["NAME"])
        program.run("CREATE OR REPLACE USER writer@'127.0.0.1'")
        program.run(f"GRANT SELECT, INSERT ON {name}.app_word TO writer@'127.0.0.1'")
        writer = Program(maria, name, user="writer")
        position = log.position()
        writer.run("INSERT INTO app_word VALUES ('a', 1)")
        assert since(log, position) == {WORD: {"a"}}
        writer.close()
        program.run("DROP USER writer@'127.0.0.1'")

    def test_a_long_table_name_gets_short_trigger_names(
        self, log: MySQLLog, program: Program
    ) -> None:
        table = "a_very_long_table_name_of_exactly_sixty_four_letters_no_more_xx"
        assert len(name_of(table, "ins")) <= 64
        assert name_of(table, "ins") != name_of(table + "y", "ins")
        program.run(f"CREATE TABLE {table} (id INT PRIMARY KEY)")
        program.run("CREATE TABLE `odd `` 'name%%s` (id INT PRIMARY KEY)".replace("%%", "%"))
        wanted = [Tracked(table=table, pk="id"), Tracked(table="odd ` 'name%s", pk="id")]
        log.install(wanted)
        position = log.position()
        program.run(f"INSERT INTO {table} VALUES (1)")
        program.run("INSERT INTO `odd `` 'name%s` VALUES (2)")
        assert since(log, position) == {table: {"1"}, "odd ` 'name%s": {"2"}}
        assert log.missing(wanted) == []

    def test_two_at_once_install_once(self, log: MySQLLog, program: Program) -> None:
        env = {
            **os.environ,
            "DATABASE_URL": "mysql://root@127.0.0.1:{PORT}/{NAME}".format(
                **connections["default"].settings_dict
            ),
            "DJANGO_SETTINGS_MODULE": "tests.settings",
        }
        command = [sys.executable, "manage.py", "bindings", "capture", "install"]
        both = [
            subprocess.Popen(command, cwd=ROOT, env=env, stdout=-1, stderr=-1, text=True)
            for _ in range(2)
        ]
        said = [process.communicate() for process in both]
        assert [process.returncode for process in both] == [0, 0], said
        assert log.missing(tables()) == []


class TestRefusals:
    def test_tables_that_were_never_migrated(self, log: MySQLLog, program: Program) -> None:
        program.run("DROP TABLE app_word")
        with pytest.raises(CaptureError, match=r"No such tables: app_word\. Run .*migrate"):
            log.install(tables())
        assert not log.installed()

    def test_a_table_without_transactions(self, log: MySQLLog, program: Program) -> None:
        program.run("ALTER TABLE app_word ENGINE=MyISAM")
        with pytest.raises(CaptureError, match=r"MyISAM, which has no transactions.*InnoDB"):
            log.install(tables())
        assert not log.installed()

    def test_a_view(self, log: MySQLLog, program: Program) -> None:
        program.run("RENAME TABLE app_word TO elsewhere")
        program.run("CREATE VIEW app_word AS SELECT * FROM elsewhere")
        with pytest.raises(CaptureError, match=r"app_word is a database view.*behind it"):
            log.install(tables())

    def test_a_replica(self, log: MySQLLog, program: Program) -> None:
        log.install(tables())
        program.run("SET GLOBAL read_only = 1")
        try:
            assert not log.installed()
            with pytest.raises(CaptureError, match="read only, as a replica is"):
                log.install(tables())
        finally:
            program.run("SET GLOBAL read_only = 0")
        assert log.installed()

    def test_one_of_several_servers_that_are_written_to(
        self, log: MySQLLog, program: Program
    ) -> None:
        program.run("SET GLOBAL auto_increment_increment = 2")
        try:
            with pytest.raises(CaptureError, match="one of several that are written to"):
                log.install(tables())
        finally:
            program.run("SET GLOBAL auto_increment_increment = 1")

    def test_a_user_who_may_make_no_triggers(
        self, unprivileged: MySQLLog, program: Program
    ) -> None:
        name = connections["default"].settings_dict["NAME"]
        program.run(f"REVOKE TRIGGER ON {name}.* FROM app@'127.0.0.1'")
        with pytest.raises(CaptureError, match=r"refused: .*needs CREATE, DROP and TRIGGER"):
            unprivileged.install(tables())

    def test_a_binary_log_and_no_super(self, maria_template: dict[bool, str]) -> None:
        server = MariaDB("--log-bin=binlog", "--binlog-format=MIXED").start()
        try:
            name = server.make()
            server.load(name, maria_template[False])
            program = Program(server, name)
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
        monkeypatch.setattr(mysql_install, "LOCK_SECONDS", 1)
        told: list[str] = []
        log.tries, log.tell = 2, told.append
        program.run("BEGIN")
        program.run("SELECT * FROM app_word")
        with pytest.raises(CaptureError, match=r"app_word.*could not have its table"):
            log.install(tables())
        assert "1 more tries" in told[0]
        program.run("COMMIT")
        assert log.install(tables())
        assert log.missing(tables()) == []

    def test_a_table_that_is_let_go_of_meanwhile_is_waited_for(
        self, log: MySQLLog, program: Program, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(mysql_install, "LOCK_SECONDS", 1)
        program.run("BEGIN")
        program.run("SELECT * FROM app_word")
        done = threading.Timer(1.5, program.run, ["COMMIT"])
        done.start()
        log.tries = 10
        assert log.install(tables())
        done.join()

    def test_leave_the_session_s_settings_as_they_were(
        self, log: MySQLLog, program: Program
    ) -> None:
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT @@sql_mode, @@lock_wait_timeout, @@innodb_lock_wait_timeout")
            before = cursor.fetchone()
            log.install(tables())
            log.purge(0, 10, wait=True)
            cursor.execute("SELECT @@sql_mode, @@lock_wait_timeout, @@innodb_lock_wait_timeout")
            assert cursor.fetchone() == before


class TestChangedTables:
    @pytest.fixture(autouse=True)
    def installed(self, log: MySQLLog) -> None:
        log.install(tables())
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
    def test_is_noticed_and_begins_a_new_epoch(
        self, log: MySQLLog, program: Program, sql: str
    ) -> None:
        missing = [item for item in tables() if item.table == WORD]
        position, mark = log.position(), log.schema_mark()
        assert log.missing(missing) == []
        time.sleep(1.1)  # times are kept in whole seconds
        program.run(sql)
        log._look_at = 0.0
        log.commit_mark()
        assert log.schema_mark() != mark
        assert log.missing(missing) == missing
        log.install(missing)
        assert log.changes(position) is None
        assert log.missing(missing) == []

    def test_partitions_that_are_emptied_or_exchanged(
        self, log: MySQLLog, program: Program
    ) -> None:
        program.run(
            "CREATE TABLE parts (id INT PRIMARY KEY) PARTITION BY RANGE (id) "
            "(PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20))"
        )
        wanted = [Tracked(table="parts", pk="id")]
        log.install(wanted)
        program.run("INSERT INTO parts VALUES (1), (11)")
        program.run("ALTER TABLE parts TRUNCATE PARTITION p0")
        assert log.missing(wanted) == wanted
        log.install(wanted)
        program.run("CREATE TABLE swap (id INT PRIMARY KEY)")
        program.run("ALTER TABLE parts EXCHANGE PARTITION p1 WITH TABLE swap")
        assert log.missing(wanted) == wanted

    def test_analyzing_a_table_or_restarting_the_look_changes_nothing(
        self, log: MySQLLog, program: Program
    ) -> None:
        program.run("ANALYZE TABLE app_word")
        program.run("INSERT INTO app_word VALUES ('a', 1)")
        program.run("FLUSH TABLES")
        assert MySQLLog(connections["default"]).missing(tables()) == []

    def test_a_log_that_was_emptied_by_hand(self, log: MySQLLog, program: Program) -> None:
        program.run("INSERT INTO app_word VALUES ('a', 1), ('b', 1), ('c', 1)")
        log.purge(-10, 2, wait=True)
        position = log.position()
        program.run("TRUNCATE TABLE bindserver_log")
        assert log.missing(tables()) == tables()
        log.install(tables())
        assert log.changes(position) is None
        position = log.position()
        program.run("INSERT INTO app_word VALUES ('d', 1)")
        assert since(log, position) == {WORD: {"d"}}


class TestWithoutTheProcessPrivilege:
    def test_truncates_are_told_by_their_count(
        self, unprivileged: MySQLLog, program: Program, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("bindserver.capture.mysql.TRUNCATE_SECONDS", 0.0)
        log = unprivileged
        log.install(tables())
        assert "PROCESS" in log.status()["more"]["TRUNCATE"]
        position = log.position()
        self.look(log)
        assert log.changes(position) == []
        program.run("TRUNCATE TABLE app_word")
        self.look(log)
        assert log.changes(position) is None
        position = log.position()
        self.look(log)  # the table may have been locked, and emptied only now
        assert log.changes(position) is None
        position = log.position()
        self.look(log)
        assert log.changes(position) == []

    def test_a_server_and_an_installer_with_it_agree(
        self, unprivileged: MySQLLog, program: Program
    ) -> None:
        unprivileged.install(tables())
        connection = connections["default"]
        connection.close()
        connection.settings_dict["USER"] = "root"
        assert MySQLLog(connection).missing(tables()) == []
        connection.close()
        connection.settings_dict["USER"] = "app"

    @staticmethod
    def look(log: MySQLLog) -> None:
        log._look_at = 0.0
        log.commit_mark()


class TestTheCommand:
    def test_shows_what_it_did_and_the_state(
        self, log: MySQLLog, capsys: pytest.CaptureFixture[str]
    ) -> None:
        call_command("bindings", "capture", "install", "--dry-run")
        assert "CREATE TRIGGER `bindserver__app_word__ins`" in capsys.readouterr().out
        call_command("bindings", "capture", "install")
        assert "The change log watches" in capsys.readouterr().out
        call_command("bindings", "capture", "status")
        shown = capsys.readouterr().out
        assert "missing triggers: none" in shown
        assert "journal mode" not in shown
        call_command("bindings", "capture", "purge", "--keep", "0")
        assert "Deleted 0 entries" in capsys.readouterr().out
        call_command("bindings", "capture", "remove")
        assert "DROP TABLE bindserver_log" in capsys.readouterr().out
