"""What is special to the writes that the change log on PostgreSQL names."""

from __future__ import annotations

import uuid

import psycopg
import pytest

from bindserver.capture.postgresql.log import PostgreSQLLog
from bindserver.capture.tables import Tracked
from tests.databases.capture.logged import CATEGORY, PRODUCT, WORD, since
from tests.support.postgresql import Cluster, PostgreSQLProgram, wait_for
from tests.support.trap import set_trap

THINGS = [Tracked(table="things", pk="id")]


@pytest.fixture(scope="module")
def vendor() -> str:
    return "postgresql"


class TestLogging:
    def test_upsert_and_merge(self, log: PostgreSQLLog, program: PostgreSQLProgram) -> None:
        program.run("INSERT INTO app_word VALUES ('a', 1), ('c', 1)")
        position = log.position()
        program.run(
            "INSERT INTO app_word VALUES ('a', 5), ('b', 6), ('c', 0) ON CONFLICT (text) "
            "DO UPDATE SET count = excluded.count WHERE excluded.count > 0"
        )
        assert since(log, position) == {WORD: {"a", "b"}}
        position = log.position()
        program.run(
            "MERGE INTO app_word w USING (VALUES ('a'), ('b'), ('d')) s(t) ON w.text = s.t "
            "WHEN MATCHED AND s.t = 'a' THEN DELETE WHEN MATCHED THEN UPDATE SET count = 9 "
            "WHEN NOT MATCHED THEN INSERT VALUES (s.t, 1)"
        )
        assert since(log, position) == {WORD: {"a", "b", "d"}}

    def test_copy(self, log: PostgreSQLLog, postgresql: Cluster, postgresql_database: str) -> None:
        position = log.position()
        name = postgresql_database.rpartition("/")[2]
        postgresql.psql(name, "COPY app_word FROM stdin;\nx\t1\ny\t2\n\\.\n")
        assert since(log, position) == {WORD: {"x", "y"}}

    def test_truncate_says_any_row(self, log: PostgreSQLLog, program: PostgreSQLProgram) -> None:
        position = log.position()
        program.run("TRUNCATE app_category CASCADE")
        found = since(log, position)
        assert found is not None
        assert found[CATEGORY] is None
        assert found[PRODUCT] is None

    def test_writable_ctes(self, log: PostgreSQLLog, program: PostgreSQLProgram) -> None:
        program.run("INSERT INTO app_word VALUES ('a', 1), ('b', 1)")
        position = log.position()
        program.run(
            "WITH gone AS (DELETE FROM app_word WHERE text = 'a' RETURNING 1), "
            "more AS (INSERT INTO app_word VALUES ('c', 1) RETURNING 1), "
            "even AS (INSERT INTO app_word VALUES ('d', 1) RETURNING 1) "
            "UPDATE app_word SET count = 2 WHERE text = 'b'"
        )
        assert since(log, position) == {WORD: {"a", "b", "c", "d"}}

    def test_a_role_that_may_write_to_nothing_but_the_table(
        self, log: PostgreSQLLog, program: PostgreSQLProgram
    ) -> None:
        program.run("DROP ROLE IF EXISTS clerk")
        program.run("CREATE ROLE clerk")
        program.run("GRANT INSERT, SELECT, UPDATE ON app_word TO clerk")
        position = log.position()
        program.run("SET ROLE clerk")
        program.run("CREATE TEMP TABLE bindserver_log (xid int)")
        program.run("SET search_path = pg_temp")
        program.run("INSERT INTO public.app_word VALUES ('a', 1)")
        program.run("UPDATE public.app_word SET count = 2")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            program.run("SELECT * FROM public.bindserver_log")
        program.run("RESET ROLE")
        program.run("REVOKE ALL ON public.app_word FROM clerk")
        assert since(log, position) == {WORD: {"a"}}

    @pytest.mark.parametrize(
        ("kind", "keys"),
        [
            ("int", ("1", "2", "3")),
            ("text", ("a", "b", "c")),
            ("char(3)", ("a  ", "b  ", "c  ")),
            ("date", ("2026-02-03", "2026-02-04", "2026-02-05")),
            ("inet", ("10.0.0.1", "10.0.0.2", "10.0.0.3")),
            ("mood", ("sad", "glad", "calm")),
            ("uuid", tuple(str(uuid.UUID(int=n)) for n in (1, 2, 3))),
            ("bytea", None),
        ],
    )
    def test_a_writers_search_path_leads_the_triggers_nowhere(
        self,
        log: PostgreSQLLog,
        program: PostgreSQLProgram,
        kind: str,
        keys: tuple[str, str, str] | None,
    ) -> None:
        """They have the rights of whoever installed them, and so must run nobody else's code."""
        program.run("CREATE TYPE mood AS ENUM ('sad', 'glad', 'calm')")
        program.run(f"CREATE TABLE things (id {kind} PRIMARY KEY)")
        program.run("DROP ROLE IF EXISTS clerk")
        program.run("CREATE ROLE clerk")
        program.run("GRANT ALL ON things TO clerk")
        log.install(THINGS)
        set_trap(program)
        one, two, three = (f"'{key}'" for key in keys or ("a", "b", "c"))
        position = log.position()
        program.run("SET ROLE clerk")
        program.run("SET search_path = trap, pg_temp, pg_catalog")
        with pytest.raises(psycopg.errors.RaiseException, match="SPRUNG"):
            program.run("SELECT 'a'::pg_catalog.text = 'b'::pg_catalog.text")
        table = "public.things"
        for write in (
            f"INSERT INTO {table} VALUES ({one}), ({two})",
            f"UPDATE {table} SET id = {three} WHERE id OPERATOR(pg_catalog.=) {one}",
            f"UPDATE {table} SET id = id",
            f"DELETE FROM {table} WHERE id OPERATOR(pg_catalog.=) {two}",
        ):
            program.run(write)
        assert since(log, position) == {"things": None if keys is None else set(keys)}
        program.run("RESET ROLE")  # as a subscription does it, row by row
        program.run("ALTER TABLE public.things ENABLE ALWAYS TRIGGER bindserver__things__row")
        program.run("SET ROLE clerk")
        program.run(f"UPDATE {table} SET id = {one}")
        program.run(f"TRUNCATE {table}")
        assert since(log, position) == {"things": None}
        program.run("RESET ROLE")
        program.run("REVOKE ALL ON public.things FROM clerk")

    @pytest.mark.parametrize("name", ["found", "tg_op", "new", "keys", "before", "bindserver_new"])
    def test_a_key_whose_column_has_a_name_that_the_functions_use(
        self, log: PostgreSQLLog, program: PostgreSQLProgram, name: str
    ) -> None:
        program.run(f'CREATE TABLE things ("{name}" int PRIMARY KEY)')
        log.install([Tracked(table="things", pk=name)])
        position = log.position()
        program.run("INSERT INTO things VALUES (1)")
        program.run(f'UPDATE things SET "{name}" = 2')
        program.run("DELETE FROM things")
        assert since(log, position) == {"things": {"1", "2"}}

    def test_very_many_changed_keys_are_told_by_table(
        self, log: PostgreSQLLog, program: PostgreSQLProgram
    ) -> None:
        program.run("CREATE TABLE things (id int PRIMARY KEY)")
        log.install(THINGS)
        program.run("INSERT INTO things SELECT generate_series(1, 50001)")
        position = log.position()
        program.run("UPDATE things SET id = -id WHERE id < 50001")
        found = since(log, position)
        assert found is not None
        assert len(found["things"] or ()) == 100_000
        position = log.position()
        program.run("UPDATE things SET id = -id")
        assert since(log, position) == {"things": None}

    def test_a_session_of_replication_and_what_a_subscription_applies(
        self, log: PostgreSQLLog, program: PostgreSQLProgram
    ) -> None:
        position = log.position()
        program.run("SET session_replication_role = replica")
        program.run("INSERT INTO app_word VALUES ('a', 1)")
        program.run("UPDATE app_word SET text = 'b'")
        program.run("DELETE FROM app_word")
        assert since(log, position) == {WORD: {"a", "b"}}

    def test_a_huge_statement_is_told_by_table(
        self, log: PostgreSQLLog, program: PostgreSQLProgram
    ) -> None:
        position = log.position()
        program.add_products(100_000)
        found = since(log, position)
        assert found is not None
        assert found[PRODUCT] == {str(n) for n in range(1, 100_001)}
        position = log.position()
        program.add_products(1, first=100_001)
        program.run("UPDATE app_product SET stock = 1")
        assert since(log, position) == {PRODUCT: None}
        position = log.position()
        program.run("DELETE FROM app_product")
        assert since(log, position) == {PRODUCT: None}
        sizes = program.run("SELECT max(pg_column_size(pks)) FROM bindserver_log")
        assert sizes[0][0] < 1_000_000

    def test_a_column_that_changes_its_type_in_between(
        self, log: PostgreSQLLog, program: PostgreSQLProgram
    ) -> None:
        program.run("CREATE TABLE things (id int PRIMARY KEY, v int)")
        log.install(THINGS)
        position = log.position()
        program.run("INSERT INTO things VALUES (1)")
        program.run("ALTER TABLE things ALTER id TYPE bigint, ADD more text, DROP v")
        program.run("INSERT INTO things VALUES (2)")
        program.run("UPDATE things SET more = 'x' WHERE id = 2")
        assert since(log, position) == {"things": {"1", "2"}}


def test_what_a_real_subscription_applies_is_logged(
    log: PostgreSQLLog,
    program: PostgreSQLProgram,
    postgresql: Cluster,
    postgresql_database: str,
) -> None:
    source = postgresql.make_database()
    publisher = PostgreSQLProgram(postgresql.url(source))
    publisher.run("CREATE TABLE app_word (text varchar(50) PRIMARY KEY, count bigint NOT NULL)")
    publisher.run("INSERT INTO app_word VALUES ('first', 1)")
    publisher.run("CREATE PUBLICATION words FOR TABLE app_word")
    publisher.run("SELECT pg_create_logical_replication_slot('words', 'pgoutput')")
    position = log.position()
    program.run(
        f"CREATE SUBSCRIPTION words CONNECTION '{postgresql.url(source)}' PUBLICATION words "
        "WITH (create_slot = false, slot_name = 'words')"
    )
    try:
        wait_for(lambda: program.run("SELECT count(*) FROM app_word") == [(1,)])
        assert since(log, position) == {WORD: {"first"}}
        position = log.position()
        publisher.run("INSERT INTO app_word VALUES ('second', 1)")
        publisher.run("UPDATE app_word SET text = 'third' WHERE text = 'first'")
        publisher.run("DELETE FROM app_word WHERE text = 'second'")
        wait_for(lambda: program.run("SELECT text FROM app_word") == [("third",)])
        assert since(log, position) == {WORD: {"first", "second", "third"}}
        position = log.position()
        publisher.run("TRUNCATE app_word")
        wait_for(lambda: program.run("SELECT text FROM app_word") == [])
        assert since(log, position) == {WORD: None}
    finally:
        program.run("DROP SUBSCRIPTION words")
        publisher.close()
        postgresql.drop_database(source)
