"""The bound that PostgreSQL's log has by itself: what it deletes, for whom, and who notices."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from bindserver.capture.postgresql.log import PostgreSQLLog
from tests.databases.capture.logged import WORD, since, wanted
from tests.support.postgresql import PostgreSQLProgram


@pytest.fixture(scope="module")
def vendor() -> str:
    return "postgresql"


@pytest.fixture(autouse=True)
def few(log: PostgreSQLLog, settings: Any) -> None:
    settings.BINDSERVER = {"LOG_MAX_ENTRIES": 300}
    log.install(wanted())


def write(program: PostgreSQLProgram, first: int, many: int) -> None:
    """Write in transactions of one entry each, and have the statistics tell of all."""
    for number in range(first, first + many):
        program.run(f"INSERT INTO app_word VALUES ('word {number}', 1)")
        if number % 50 == 0:
            tell_statistics(program)
    tell_statistics(program)


def tell_statistics(program: PostgreSQLProgram) -> None:
    program.run("SELECT pg_stat_force_next_flush()::text")
    program.run("SELECT 1")


def bound(program: PostgreSQLProgram) -> None:
    """Do what one transaction in 251 does."""
    program.run("SELECT bindserver__bound()::text")


def entries(program: PostgreSQLProgram) -> int:
    return int(program.run("SELECT count(*) FROM bindserver_log")[0][0])


class TestWhatGoes:
    def test_the_log_bounds_itself_though_nobody_purges_it(
        self, log: PostgreSQLLog, program: PostgreSQLProgram
    ) -> None:
        """One in 251 transactions looks, by its number; others at the server take numbers too, so
        whether one of some is one of those is chance: the test writes until one was.
        """
        write(program, 1, 400)
        for number in range(401, 100_000):
            tell_statistics(program)
            is_one = program.run(
                f"INSERT INTO app_word VALUES ('word {number}', 1) "
                "RETURNING txid_current() % 251 = 0"
            )
            if is_one == [(True,)]:
                break
        assert is_one == [(True,)]
        assert entries(program) <= 301

    def test_the_oldest_go_first_and_no_more_than_are_too_many(
        self, log: PostgreSQLLog, program: PostgreSQLProgram
    ) -> None:
        program.run("TRUNCATE bindserver_log")
        write(program, 1, 200)
        bound(program)
        assert entries(program) == 200
        program.run("ALTER FUNCTION bindserver__bound() RENAME TO kept")
        program.run("CREATE FUNCTION bindserver__bound() RETURNS void LANGUAGE sql AS ''")
        write(program, 201, 200)
        program.run("DROP FUNCTION bindserver__bound()")
        program.run("ALTER FUNCTION kept() RENAME TO bindserver__bound")
        bound(program)
        assert entries(program) == 300
        oldest = program.run("SELECT pks[1] FROM bindserver_log ORDER BY xid LIMIT 1")
        assert oldest == [("word 101",)]

    def test_a_position_that_is_past_it_proves_nothing_and_a_younger_one_all(
        self, log: PostgreSQLLog, program: PostgreSQLProgram
    ) -> None:
        old = log.position()
        write(program, 1, 1000)
        bound(program)
        young = log.position()
        program.run("INSERT INTO app_word VALUES ('new', 1)")
        assert log.changes(old) is None
        assert since(log, young) == {WORD: {"new"}}

    def test_what_was_not_over_before_an_open_transaction_stays_and_is_told_to_all(
        self, log: PostgreSQLLog, program: PostgreSQLProgram, other: PostgreSQLProgram
    ) -> None:
        program.run("TRUNCATE bindserver_log")
        other.run("BEGIN")
        other.run("INSERT INTO app_word VALUES ('late', 1)")
        position = log.position()
        write(program, 1, 700)
        bound(program)
        assert entries(program) == 700
        other.run("COMMIT")
        written = {"late", *(f"word {number}" for number in range(1, 701))}
        assert since(log, position) == {WORD: written}


class TestOthers:
    def test_two_at_once_wait_for_nobody(
        self, log: PostgreSQLLog, program: PostgreSQLProgram, other: PostgreSQLProgram
    ) -> None:
        """One has deleted and stays open; the other neither waits nor deletes the same."""
        write(program, 1, 500)
        program.run("BEGIN")
        program.run("INSERT INTO app_word VALUES ('one', 1)")
        bound(program)
        other.run("SET lock_timeout = '1ms'")
        other.run("BEGIN")
        other.run("INSERT INTO app_word VALUES ('two', 1)")
        bound(other)
        other.run("COMMIT")
        program.run("COMMIT")

    def test_a_server_that_purges_meanwhile_gives_up_at_once(
        self, log: PostgreSQLLog, program: PostgreSQLProgram
    ) -> None:
        write(program, 1, 500)
        program.run("BEGIN")
        bound(program)
        assert log.purge(0, 1000, wait=False) == 0
        program.run("ROLLBACK")

    def test_what_was_rolled_back_was_not_deleted(
        self, log: PostgreSQLLog, program: PostgreSQLProgram
    ) -> None:
        write(program, 1, 400)
        before, position = entries(program), log.position()
        program.run("BEGIN")
        program.run("INSERT INTO app_word VALUES ('never', 1)")
        bound(program)
        program.run("ROLLBACK")
        assert entries(program) == before
        assert since(log, position) == {}

    @pytest.mark.parametrize("isolation", ["REPEATABLE READ", "SERIALIZABLE"])
    def test_a_stricter_transaction_never_fails_for_it(
        self,
        log: PostgreSQLLog,
        program: PostgreSQLProgram,
        other: PostgreSQLProgram,
        isolation: str,
    ) -> None:
        write(program, 1, 500)
        other.run(f"BEGIN ISOLATION LEVEL {isolation}")
        other.run("SELECT count(*) FROM app_word")
        bound(program)
        other.run("INSERT INTO app_word VALUES ('strict', 1)")
        bound(other)
        other.run("COMMIT")

    def test_one_transaction_pays_once(
        self, log: PostgreSQLLog, program: PostgreSQLProgram, settings: Any
    ) -> None:
        write(program, 1, 400)
        settings.BINDSERVER = {"LOG_MAX_ENTRIES": 10}
        log.install(wanted())
        program.run("BEGIN")
        bound(program)
        gone = "SELECT pg_stat_get_xact_tuples_deleted('bindserver_log'::regclass)"
        once = program.run(gone)
        assert once[0][0] > 0
        bound(program)
        assert program.run(gone) == once
        program.run("COMMIT")


class TestInstalling:
    def test_another_setting_is_installed_and_begins_no_new_epoch(
        self, log: PostgreSQLLog, settings: Any, program: PostgreSQLProgram
    ) -> None:
        position = log.position()
        settings.BINDSERVER = {"LOG_MAX_ENTRIES": 100_000}
        assert len(log.install(wanted())) == 1
        assert log.install(wanted()) == []
        write(program, 1, 500)
        assert since(log, position) == {WORD: {f"word {number}" for number in range(1, 501)}}

    def test_a_server_leaves_another_s_setting_and_makes_what_triggers_call(
        self, log: PostgreSQLLog, settings: Any, program: PostgreSQLProgram
    ) -> None:
        settings.BINDSERVER = {"LOG_MAX_ENTRIES": 5}
        assert log.install(wanted(), whole=False) == []
        program.run("DROP FUNCTION bindserver__bound()")  # as in a log that is older than that
        assert len(log.install(wanted(), whole=False)) == 1

    def test_another_role_that_watches_a_table_uses_the_bound_that_is_there(
        self, log: PostgreSQLLog, program: PostgreSQLProgram
    ) -> None:
        program.run("DROP ROLE IF EXISTS watcher")
        program.run("CREATE ROLE watcher")
        program.run("GRANT INSERT ON bindserver_log TO watcher")
        write(program, 1, 500)
        program.run("SET ROLE watcher")
        bound(program)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            program.run("DELETE FROM bindserver_log")
        program.run("RESET ROLE")
        program.run("REVOKE ALL ON bindserver_log FROM watcher")
        program.run("DROP ROLE watcher")
        assert entries(program) <= 300 + 251

    def test_writes_go_on_while_the_log_is_being_removed(
        self, log: PostgreSQLLog, program: PostgreSQLProgram
    ) -> None:
        write(program, 1, 500)
        before = entries(program)
        program.run("DROP TABLE bindserver_meta")  # which is what goes first
        bound(program)
        assert entries(program) == before

    def test_it_goes_with_the_log(self, log: PostgreSQLLog, program: PostgreSQLProgram) -> None:
        log.remove()
        left = "SELECT proname FROM pg_proc WHERE starts_with(proname, 'bindserver')"
        assert program.run(left) == []
