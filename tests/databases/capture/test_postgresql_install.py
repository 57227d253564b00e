"""What is special to installing the change log on PostgreSQL: roles, schemas, names, locks."""

from __future__ import annotations

import threading

import pytest
from django.db import connections

from bindserver.capture.postgresql.log import PostgreSQLLog
from bindserver.capture.tables import Tracked
from bindserver.exceptions import CaptureBusy, CaptureError
from tests.databases.capture.logged import since, wanted
from tests.support.postgresql import PostgreSQLProgram

THINGS = [Tracked(table="things", pk="id")]


@pytest.fixture(scope="module")
def vendor() -> str:
    return "postgresql"


class TestInstalling:
    def test_what_is_no_table_is_refused_by_name(
        self, log: PostgreSQLLog, program: PostgreSQLProgram
    ) -> None:
        program.run("CREATE MATERIALIZED VIEW things AS SELECT * FROM app_word")
        with pytest.raises(CaptureError, match=r"is a materialized view"):
            log.install(THINGS)
        program.run("DROP MATERIALIZED VIEW things")
        program.run("CREATE FOREIGN DATA WRAPPER nowhere")
        program.run("CREATE SERVER far FOREIGN DATA WRAPPER nowhere")
        program.run("CREATE FOREIGN TABLE things (id int) SERVER far")
        with pytest.raises(CaptureError, match=r"is a foreign table: what others write"):
            log.install(THINGS)

    def test_a_role_that_does_not_own_a_table_is_told_what_to_grant(
        self, log: PostgreSQLLog, program: PostgreSQLProgram
    ) -> None:
        program.run("CREATE TABLE things (id int PRIMARY KEY)")
        program.run("DROP ROLE IF EXISTS guest")
        program.run("CREATE ROLE guest")
        with connections["default"].cursor() as cursor:
            cursor.execute("SET ROLE guest")
        with pytest.raises(CaptureError, match=r"'guest' may not .* belongs to 'postgres'.*GRANT"):
            log.install(THINGS)
        with pytest.raises(CaptureError, match=r"cannot be changed: must be owner of table"):
            log.remove()

    def test_a_role_that_may_not_make_tables_is_told_so(
        self, bare_postgresql_database: str
    ) -> None:
        with connections["default"].cursor() as cursor:
            cursor.execute("DROP ROLE IF EXISTS guest")
            cursor.execute("CREATE ROLE guest")
            cursor.execute("SET ROLE guest")
        with pytest.raises(
            CaptureError, match=r"may not make tables in schema 'public'.*GRANT CRE"
        ):
            PostgreSQLLog(connections["default"]).install(wanted())

    @pytest.mark.parametrize("level", ["repeatable read", "serializable"])
    def test_several_at_once_agree_whatever_isolation_is_usual(
        self, bare_postgresql_database: str, level: str
    ) -> None:
        program = PostgreSQLProgram(bare_postgresql_database)
        name = program.run("SELECT current_database()")[0][0]
        program.run(f"ALTER DATABASE {name} SET default_transaction_isolation = '{level}'")
        barrier, problems = threading.Barrier(3), list[Exception]()

        def install() -> None:
            connection = connections["default"]
            log = PostgreSQLLog(connection)
            log.tries = 100
            connection.ensure_connection()
            barrier.wait()
            try:
                log.install(wanted())
            except Exception as problem:
                problems.append(problem)
            connection.close()

        threads = [threading.Thread(target=install) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        program.close()
        assert problems == []
        assert PostgreSQLLog(connections["default"]).missing(wanted()) == []

    def test_a_table_that_is_in_use_is_tried_again_and_then_given_up(
        self, log: PostgreSQLLog, program: PostgreSQLProgram, other: PostgreSQLProgram
    ) -> None:
        program.run("CREATE TABLE things (id int PRIMARY KEY)")
        told: list[str] = []
        log.lock_seconds, log.tries, log.tell = 0.05, 3, told.append
        with program.transaction():
            program.run("INSERT INTO things VALUES (1)")
            with pytest.raises(CaptureBusy, match=r"holds a lock on things.*pg_stat_activity"):
                log.install(THINGS)
            other.run("SET lock_timeout = '5s'")
            other.run("INSERT INTO things VALUES (2)")  # nobody queues behind us for good
        assert len(told) == 3
        assert log.install(THINGS)
        assert log.missing(THINGS) == []

    def test_names_of_any_kind(self, log: PostgreSQLLog, program: PostgreSQLProgram) -> None:
        long = "a_table_with_a_name_as_long_as_postgresql_takes_them_sixty_three"[:63]
        names = [long, 'Quoted "one" %s', "é" * 31, "O'Hara$bindserver$", "select"]
        for name in names:
            quoted = '"' + name.replace('"', '""') + '"'
            program.run(f'CREATE TABLE {quoted} ("the Key" int PRIMARY KEY)')
        quote = connections["default"].ops.quote_name
        names[1] = 'Quoted ""one"" %s'  # as a project would write it in db_table
        tables = [Tracked(table=name, pk="the Key") for name in names]
        assert quote(long) == f'"{long}"'
        log.install(tables)
        assert log.missing(tables) == []
        position = log.position()
        for name in names:
            program.run(f'INSERT INTO "{name}" VALUES (5)')
        assert since(log, position) == {name: {"5"} for name in names}
        assert log.install(tables) == []

    def test_a_table_of_another_schema(
        self, log: PostgreSQLLog, program: PostgreSQLProgram
    ) -> None:
        program.run("CREATE SCHEMA elsewhere")
        program.run("CREATE TABLE elsewhere.things (id int PRIMARY KEY)")
        tables = [Tracked(table='elsewhere"."things', pk="id")]
        log.install(tables)
        position = log.position()
        program.run("SET search_path = elsewhere")
        program.run("INSERT INTO things VALUES (1)")
        assert since(log, position) == {'elsewhere"."things': {"1"}}
