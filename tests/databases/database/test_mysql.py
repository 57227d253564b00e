"""Reading MariaDB in one snapshot."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import DatabaseError, OperationalError, connections

from bindserver.capture.mysql.log import MySQLLog
from bindserver.database.mysql import MySQL
from bindserver.database.pacing import Pacer
from bindserver.database.snapshot import snapshot
from tests.databases.capture.logged import add, keys, since
from tests.databases.database.conftest import ask
from tests.support.mariadb import MariaDBProgram
from tests.support.program import Program


@pytest.fixture
def program(on_maria: Program) -> Program:
    return on_maria


@pytest.fixture
def url(program: Program) -> str:
    return program.url


def test_position_log_and_rows_are_of_one_snapshot(own: Any, program: Program) -> None:
    log = MySQLLog(own)
    with snapshot(own, Pacer(10)):
        add(program, 1)  # before anything was read
        first = log.position()
        assert ask(own, "SELECT COUNT(*) FROM app_category") == [(0,)]
        assert since(log, first) == {}
    with snapshot(own, Pacer(10)):
        assert since(log, first) == keys(1)


def test_nothing_can_be_written_in_one(own: Any) -> None:
    with pytest.raises(DatabaseError, match="READ ONLY"), snapshot(own, Pacer(10)):
        ask(own, "INSERT INTO app_category (name) VALUES ('no')")


def test_a_log_is_followed_and_purged_where_transactions_are_usually_read_only(
    own: Any, program: Program
) -> None:
    program.run("SET GLOBAL tx_read_only = 1")
    try:
        log, late = MySQLLog(own), MariaDBProgram.at(program.url)
        with snapshot(own, Pacer(10)):
            log.position()
        late.run("SET SESSION tx_read_only = 0")
        late.run("BEGIN")
        add(late, 1)
        add(program, 2)
        late.run("ROLLBACK")
        late.close()
        with snapshot(own, Pacer(10)):
            position = log.position()
        assert log.commit_mark()  # which looks after the hole
        log.purge(60, 10, wait=False)
        log.renew()
        assert log.changes(position) is None
    finally:
        program.run("SET GLOBAL tx_read_only = 0")


def test_a_statement_that_takes_too_long_is_ended_and_the_snapshot_stays(own: Any) -> None:
    with snapshot(own, Pacer(0.2)):
        with pytest.raises(OperationalError, match="max_statement_time"):
            ask(own, "SELECT SLEEP(30)")
        assert ask(own, "SELECT COUNT(*) FROM app_category") == [(0,)]


def test_a_connection_that_the_server_has_ended_meanwhile_is_made_anew(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bindserver.database.base.IDLE_SECONDS", -1.0)
    connection, database = connections["default"], MySQL()
    database.connect(connection)
    program.run(f"KILL {ask(connection, 'SELECT CONNECTION_ID()')[0][0]}")
    database.connect(connection)
    assert MySQLLog(connection).position()
