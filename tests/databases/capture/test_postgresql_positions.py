"""What is special to positions on PostgreSQL: snapshots, histories, and purging behind them."""

from __future__ import annotations

import uuid

import pytest
from django.db import connections

from bindserver.capture.postgresql.log import PostgreSQLLog
from tests.databases.capture.logged import WORD, since, wanted
from tests.support.postgresql import Cluster, PostgreSQLProgram


@pytest.fixture(scope="module")
def vendor() -> str:
    return "postgresql"


class TestPositions:
    def test_a_prepared_transaction_that_commits_much_later(
        self, log: PostgreSQLLog, program: PostgreSQLProgram
    ) -> None:
        program.run("BEGIN")
        program.run("INSERT INTO app_word VALUES ('late', 1)")
        name = uuid.uuid4().hex
        program.run(f"PREPARE TRANSACTION '{name}'")
        program.run("INSERT INTO app_word VALUES ('quick', 1)")
        between = log.position()
        program.run(f"COMMIT PREPARED '{name}'")
        assert since(log, between) == {WORD: {"late"}}

    def test_what_a_savepoint_of_a_late_transaction_wrote_is_not_lost(
        self, log: PostgreSQLLog, program: PostgreSQLProgram, other: PostgreSQLProgram
    ) -> None:
        program.run("BEGIN")
        program.run("INSERT INTO app_word VALUES ('late', 1)")
        between = log.position()
        for number in range(100):  # more than a snapshot remembers of one transaction
            program.run(f"SAVEPOINT s{number}")
            program.run(f"INSERT INTO app_word VALUES ('sub {number}', 1)")
        other.run("INSERT INTO app_word VALUES ('quick', 1)")
        between = log.position()
        program.run("COMMIT")
        assert since(log, between) == {WORD: {"late", *(f"sub {n}" for n in range(100))}}

    def test_another_history_proves_nothing(
        self, log: PostgreSQLLog, program: PostgreSQLProgram
    ) -> None:
        position = log.position()
        program.run("INSERT INTO app_word VALUES ('a', 1)")
        later = log.position()
        assert since(log, later) == {}
        program.run("UPDATE bindserver_log SET at = at + interval '1 s'")
        assert log.changes(later) is None
        assert since(log, position) == {WORD: {"a"}}

    def test_a_log_that_was_emptied_proves_nothing(
        self, log: PostgreSQLLog, program: PostgreSQLProgram
    ) -> None:
        program.run("INSERT INTO app_word VALUES ('a', 1)")
        position = log.position()
        program.run("INSERT INTO app_word VALUES ('b', 1)")
        program.run("TRUNCATE bindserver_log")
        assert log.changes(position) is None

    def test_a_copy_of_the_database_is_another_history(
        self,
        log: PostgreSQLLog,
        program: PostgreSQLProgram,
        postgresql: Cluster,
        postgresql_database: str,
    ) -> None:
        program.run("INSERT INTO app_word VALUES ('a', 1)")
        position = log.position()
        program.close()
        connections["default"].close()
        name = postgresql_database.rpartition("/")[2]
        copy = postgresql.make_database(name)
        settings = connections["default"].settings_dict
        settings["NAME"] = copy
        assert log.changes(position) is None
        connections["default"].close()
        settings["NAME"] = name
        assert since(log, position) == {}
        postgresql.drop_database(copy)

    def test_a_dump_from_a_server_that_has_seen_more_transactions_is_begun_anew(
        self, log: PostgreSQLLog, program: PostgreSQLProgram, postgresql: Cluster
    ) -> None:
        program.run("INSERT INTO app_word VALUES ('a', 1)")
        name = program.url.rpartition("/")[2]
        dump = postgresql.folder / "dump.sql"
        postgresql.run("pg_dump", "-h", "127.0.0.1", "-p", postgresql.port, "-U", "postgres",
                       "-f", dump, name)  # fmt: skip
        copy = postgresql.make_database()
        postgresql.psql(copy, dump.read_text())
        other = PostgreSQLProgram(postgresql.url(copy))
        other.run("UPDATE bindserver_log SET xid = '99999999999'")
        other.run("INSERT INTO bindserver_meta VALUES ('purged', '99999999999')")
        other.run("INSERT INTO bindserver_meta VALUES ('seen:99999999999', '5')")
        position = log.position()
        connections["default"].close()
        connections["default"].settings_dict["NAME"] = copy
        restored = PostgreSQLLog(connections["default"])
        assert restored.changes(position) is None
        assert not restored.moved(restored.commit_mark())
        assert restored.missing(wanted())
        restored.install(wanted())
        position = restored.position()
        assert since(restored, position) == {}
        other.run("INSERT INTO app_word VALUES ('b', 1)")
        assert since(restored, position) == {WORD: {"b"}}
        restored.purge(3600, 1000, wait=True)
        assert since(restored, position) == {WORD: {"b"}}
        other.close()
        connections["default"].close()
        connections["default"].settings_dict["NAME"] = name
        postgresql.drop_database(copy)

    def test_triggers_that_were_off_for_a_while_are_noticed_later(
        self, log: PostgreSQLLog, program: PostgreSQLProgram
    ) -> None:
        log.missing(wanted())
        mark, position = log.schema_mark(), log.position()
        program.run("ALTER TABLE app_word DISABLE TRIGGER ALL")
        program.run("INSERT INTO app_word VALUES ('unseen', 1)")
        program.run("ALTER TABLE app_word ENABLE TRIGGER ALL")
        assert log.schema_mark() != mark
        assert [item.table for item in log.missing(wanted())] == [WORD]
        log.install(wanted())
        assert since(log, position) == {WORD: None}
        position = log.position()
        program.run("DELETE FROM app_word")
        assert since(log, position) == {WORD: {"unseen"}}

    @pytest.mark.parametrize(
        "sql",
        [
            "DROP TRIGGER bindserver__app_word__upd ON app_word",
            "ALTER TABLE app_word ENABLE TRIGGER bindserver__app_word__row",
            "CREATE OR REPLACE FUNCTION bindserver__app_word__upd_key() RETURNS trigger "
            "LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
            "ALTER TABLE app_word ALTER count TYPE numeric USING count + 1",
            "ALTER TABLE app_word RENAME TO elsewhere",
        ],
    )
    def test_whatever_was_changed_about_a_table_is_missing(
        self, log: PostgreSQLLog, program: PostgreSQLProgram, sql: str
    ) -> None:
        log.missing(wanted())
        mark = log.schema_mark()
        program.run(sql)
        assert log.schema_mark() != mark
        assert [item.table for item in log.missing(wanted())] == [WORD]

    def test_commits_elsewhere_are_no_reason_to_wake(
        self, log: PostgreSQLLog, program: PostgreSQLProgram
    ) -> None:
        mark = log.commit_mark()
        program.run("CREATE TABLE unwatched (id int)")
        program.run("INSERT INTO unwatched VALUES (1)")
        assert log.commit_mark() != mark
        assert not log.moved(mark)
        program.run("INSERT INTO app_word VALUES ('a', 1)")
        assert log.moved(mark)
        assert not log.moved(log.commit_mark())


class TestPurging:
    def test_keeps_few_marks_of_its_own(
        self, log: PostgreSQLLog, program: PostgreSQLProgram
    ) -> None:
        for _ in range(30):
            program.run("INSERT INTO app_word VALUES ('a', 1) ON CONFLICT DO NOTHING")
            program.run("DELETE FROM app_word")
            log.purge(60, 1000, wait=True)
        marks = program.run("SELECT * FROM bindserver_meta WHERE name LIKE 'seen:%'")
        assert len(marks) == 1
        log.purge(0, 1000, wait=True)
        assert log.status()["entries"] <= 2

    def test_where_transactions_only_read_nothing_is_written_and_doubts_still_count(
        self, log: PostgreSQLLog
    ) -> None:
        with connections["default"].cursor() as cursor:
            cursor.execute("SET default_transaction_read_only = on")
        position = log.position()
        assert log.purge(-10, 10, wait=False) == 0
        log.accept(wanted())
        log.renew()
        assert log.changes(position) is None

    def test_a_role_that_only_reads_can_still_doubt(
        self, log: PostgreSQLLog, program: PostgreSQLProgram
    ) -> None:
        program.run("DROP ROLE IF EXISTS looker")
        program.run("CREATE ROLE looker")
        program.run("GRANT SELECT ON bindserver_log, bindserver_meta TO looker")
        with connections["default"].cursor() as cursor:
            cursor.execute("SET ROLE looker")
        position = log.position()
        assert since(log, position) == {}
        log.renew()
        assert log.changes(position) is None
        program.run("REVOKE ALL ON bindserver_log, bindserver_meta FROM looker")
