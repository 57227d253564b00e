"""The change log on PostgreSQL: which writes it names, and what its positions prove."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import connections, transaction

from bindserver.capture.log import has_log, log_of
from bindserver.capture.postgresql import PostgreSQLLog
from bindserver.capture.snapshots import Mark
from bindserver.capture.tables import Tracked, tracked
from bindserver.discovery import tables_of
from bindserver.engine.changes import Position
from bindserver.exceptions import CaptureBusy, CaptureError
from bindserver.registry import registry
from tests.app.models import Category, Product, Restaurant, Token, Word
from tests.support.postgresql import Cluster, PostgreSQLProgram, wait_for
from tests.support.trap import set_trap

CATEGORY, PRODUCT, WORD = "app_category", "app_product", "app_word"
THINGS = [Tracked(table="things", pk="id")]
Keys = dict[str, set[str] | None]


@pytest.fixture
def log(postgresql_database: str) -> PostgreSQLLog:
    return PostgreSQLLog(connections["default"])


@pytest.fixture
def program(postgresql_database: str) -> Iterator[PostgreSQLProgram]:
    program = PostgreSQLProgram(postgresql_database)
    yield program
    program.close()


@pytest.fixture
def other(postgresql_database: str) -> Iterator[PostgreSQLProgram]:
    program = PostgreSQLProgram(postgresql_database)
    yield program
    program.close()


def since(log: PostgreSQLLog, position: Position) -> Keys | None:
    """Return the keys logged since a position, by table; None for any row."""
    changes = log.changes(position)
    if changes is None:
        return None
    return {c.table: None if c.pks is None else {str(pk) for pk in c.pks} for c in changes}


def wanted() -> list[Tracked]:
    return tracked(tables_of(registry.all(), "default"))


class TestInstalling:
    def test_a_second_install_runs_nothing_and_keeps_the_epoch(self, log: PostgreSQLLog) -> None:
        epoch = log.position().epoch
        assert log.install(wanted()) == []
        assert log.position().epoch == epoch

    def test_a_plan_changes_nothing_and_is_what_is_run(self, bare_postgresql_database: str) -> None:
        log = PostgreSQLLog(connections["default"])
        planned = log.plan(wanted())
        assert any(statement.startswith("CREATE TRIGGER") for statement in planned)
        assert not has_log(connections["default"])
        assert log.status() == {"installed": False}
        assert log.install(wanted()) == planned
        assert has_log(connections["default"])
        assert {PRODUCT, CATEGORY, WORD, "app_place"} <= set(log.status()["tables"])

    def test_two_who_install_at_once_do_it_once(self, bare_postgresql_database: str) -> None:
        done: list[list[str]] = []

        def install() -> None:
            own = log_of(connections["default"])
            own.tries = 50
            done.append(own.install(wanted()))
            connections["default"].close()

        threads = [threading.Thread(target=install) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(done) == 4
        statements = [s for some in done for s in some if not s.startswith(("CREATE OR", "REVOKE"))]
        assert len(statements) == len(set(statements))
        assert PostgreSQLLog(connections["default"]).missing(wanted()) == []

    def test_what_is_no_table_is_refused_by_name(
        self, log: PostgreSQLLog, program: PostgreSQLProgram
    ) -> None:
        program.run("CREATE VIEW things AS SELECT * FROM app_word")
        with pytest.raises(CaptureError, match=r'"things" is a view; watch the tables behind it'):
            log.install(THINGS)
        program.run("DROP VIEW things")
        program.run("CREATE MATERIALIZED VIEW things AS SELECT * FROM app_word")
        with pytest.raises(CaptureError, match=r"is a materialized view"):
            log.install(THINGS)
        program.run("DROP MATERIALIZED VIEW things")
        with pytest.raises(CaptureError, match=r"No such tables: things\. Run .*migrate"):
            log.install(THINGS)
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

    def test_removing_leaves_nothing_of_ours(
        self, log: PostgreSQLLog, program: PostgreSQLProgram
    ) -> None:
        planned = log.plan_removal()
        assert log.installed()
        assert log.remove() == planned
        for catalog, column in (("pg_class", "rel"), ("pg_proc", "pro"), ("pg_trigger", "tg")):
            sql = f"SELECT {column}name FROM {catalog} WHERE {column}name LIKE 'bindserver%'"
            assert program.run(sql) == []
        program.add_products(1)
        assert log.remove() == []

    def test_after_removing_and_installing_old_positions_prove_nothing(
        self, log: PostgreSQLLog
    ) -> None:
        position = log.position()
        log.remove()
        log.install(wanted())
        assert log.changes(position) is None

    def test_status_tells_figures(self, log: PostgreSQLLog) -> None:
        Category.objects.create(name="a")
        status = log.status()
        assert status["entries"] == 1
        assert status["epoch"] == log.position().epoch
        assert set(status["more"]) == {"size", "open transactions"}


class TestLogging:
    """Each kind of write, by whatever program, is named by its keys."""

    def test_insert_update_and_delete(self, log: PostgreSQLLog, program: PostgreSQLProgram) -> None:
        for sql in (
            "INSERT INTO app_category (id, name) VALUES (7, 'a')",
            "UPDATE app_category SET name = 'b' WHERE id = 7",
            "DELETE FROM app_category WHERE id = 7",
        ):
            position = log.position()
            program.run(sql)
            assert since(log, position) == {CATEGORY: {"7"}}

    def test_the_orm_and_its_bulk_calls(self, log: PostgreSQLLog) -> None:
        position = log.position()
        Category.objects.bulk_create([Category(id=n, name="a") for n in (1, 2, 3)])
        Category.objects.filter(id__gt=1).update(name="b")
        assert since(log, position) == {CATEGORY: {"1", "2", "3"}}

    def test_a_changed_key_is_named_old_and_new(
        self, log: PostgreSQLLog, program: PostgreSQLProgram
    ) -> None:
        program.run("INSERT INTO app_word VALUES ('old', 1), ('kept', 1)")
        position = log.position()
        program.run("UPDATE app_word SET text = replace(text, 'old', 'new')")
        assert since(log, position) == {WORD: {"old", "new", "kept"}}

    def test_a_statement_that_touches_no_row_logs_nothing(
        self, log: PostgreSQLLog, program: PostgreSQLProgram
    ) -> None:
        program.run("UPDATE app_word SET count = 1 WHERE false")
        program.run("DELETE FROM app_word")
        program.run("INSERT INTO app_word SELECT text, 1 FROM app_word")
        assert program.run("SELECT * FROM bindserver_log") == []

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

    def test_cascades_and_set_null_by_the_database(
        self, log: PostgreSQLLog, program: PostgreSQLProgram
    ) -> None:
        program.run("CREATE TABLE keeper (id int PRIMARY KEY)")
        program.run(
            "CREATE TABLE things (id int PRIMARY KEY, "
            "one int REFERENCES keeper ON DELETE CASCADE ON UPDATE CASCADE, "
            "two int REFERENCES keeper ON DELETE SET NULL)"
        )
        log.install(THINGS)
        program.run("INSERT INTO keeper VALUES (1), (2), (3)")
        program.run("INSERT INTO things VALUES (1, 1, NULL), (2, 1, NULL), (3, 2, 3), (4, 2, 2)")
        position = log.position()
        program.run("DELETE FROM keeper WHERE id IN (1, 3)")
        assert since(log, position) == {"things": {"1", "2", "3"}}
        position = log.position()
        program.run("UPDATE keeper SET id = 9 WHERE id = 2 AND false")
        program.run("UPDATE things SET two = NULL")
        program.run("UPDATE keeper SET id = 9 WHERE id = 2")
        assert since(log, position) == {"things": {"3", "4"}}

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

    def test_keys_that_a_collation_holds_for_equal_are_two(
        self, log: PostgreSQLLog, program: PostgreSQLProgram
    ) -> None:
        program.run(
            "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', "
            "deterministic = false)"
        )
        program.run("CREATE TABLE things (id text COLLATE loose PRIMARY KEY)")
        log.install(THINGS)
        program.run("INSERT INTO things VALUES ('a')")
        position = log.position()
        program.run("UPDATE things SET id = 'A'")
        assert since(log, position) == {"things": {"a", "A"}}

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

    def test_many_to_many_rows_and_multi_table_children(self, log: PostgreSQLLog) -> None:
        position = log.position()
        restaurant = Restaurant.objects.create(name="a", seats=4)
        both = {"app_place": {str(restaurant.pk)}, "app_restaurant": {str(restaurant.pk)}}
        assert since(log, position) == both

    def test_what_is_rolled_back_leaves_nothing(
        self, log: PostgreSQLLog, program: PostgreSQLProgram
    ) -> None:
        position = log.position()
        with pytest.raises(LookupError), program.transaction():  # noqa: PT012
            program.run("INSERT INTO app_category (name) VALUES ('never')")
            raise LookupError
        with pytest.raises(psycopg.errors.UniqueViolation):
            program.run("INSERT INTO app_word VALUES ('a', 1), ('a', 2)")
        with transaction.atomic():
            kept = Category.objects.create(name="kept")
            with pytest.raises(LookupError), transaction.atomic():  # noqa: PT012
                Category.objects.create(name="never")
                raise LookupError
        assert since(log, position) == {CATEGORY: {str(kept.pk)}}

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

    def test_very_many_keys_are_told_by_table(
        self, log: PostgreSQLLog, program: PostgreSQLProgram, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("bindserver.capture.postgresql.MAX_KEYS", 10)
        position = log.position()
        program.add_products(11)
        program.run("INSERT INTO app_word VALUES ('a', 1)")
        assert since(log, position) == {PRODUCT: None, WORD: None}

    def test_the_log_holds_keys_and_no_contents(
        self, log: PostgreSQLLog, program: PostgreSQLProgram
    ) -> None:
        program.run("INSERT INTO app_category (id, name) VALUES (5, 'a secret')")
        row = program.run("SELECT tbl, pks FROM bindserver_log")[0]
        assert row == (CATEGORY, ["5"])

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


class TestKeys:
    """Keys come as text that Django's fields take, whatever the writer's session says."""

    @pytest.mark.parametrize(
        ("kind", "value", "told"),
        [
            ("bigint", "9223372036854775807", "9223372036854775807"),
            ("uuid", "'00000000-0000-0000-0000-00000000000a'", str(uuid.UUID(int=10))),
            ("char(4)", "'ab'", "ab  "),
            ("citext_like", "'Ab'", "Ab"),
            ("inet", "'10.0.0.1'", "10.0.0.1"),
            ("date", "'2026-02-03'", "2026-02-03"),
            ("timestamptz", "'2026-02-03 04:05:06+00'", "2026-02-03T04:05:06+00:00"),
            ("numeric(6,2)", "1.5", "1.50"),
            ("mood", "'sad'", "sad"),
            ("positive", "7", "7"),
            ("bytea", "'x'", None),
            ("interval", "'1 day'", None),
        ],
    )
    def test_of_any_type(
        self,
        log: PostgreSQLLog,
        program: PostgreSQLProgram,
        kind: str,
        value: str,
        told: str | None,
    ) -> None:
        program.run("CREATE TYPE mood AS ENUM ('sad', 'glad')")
        program.run("CREATE DOMAIN positive AS int CHECK (value > 0)")
        program.run("CREATE DOMAIN citext_like AS text")
        program.run(f"CREATE TABLE things (id {kind} PRIMARY KEY)")
        log.install(THINGS)
        position = log.position()
        program.run("SET datestyle = 'German'")
        program.run(f"INSERT INTO things VALUES ({value})")
        assert since(log, position) == {"things": None if told is None else {told}}
        for sql in ("UPDATE things SET id = id", "DELETE FROM things"):
            position = log.position()
            program.run(sql)
            assert since(log, position) == {"things": None if told is None else {told}}

    def test_keys_are_read_again_by_their_fields(self, log: PostgreSQLLog) -> None:
        position = log.position()
        token, word = Token.objects.create(label="a"), Word.objects.create(text="ä'")
        found = since(log, position)
        assert found == {"app_token": {str(token.pk)}, WORD: {"ä'"}}
        product = Product._meta.pk.to_python("5")
        assert (product, Token._meta.pk.to_python(str(token.pk))) == (5, token.pk)
        assert word.pk == "ä'"


class TestPartitionsAndHeirs:
    @pytest.fixture
    def parted(self, log: PostgreSQLLog, program: PostgreSQLProgram) -> PostgreSQLLog:
        program.run("CREATE TABLE things (id int PRIMARY KEY, v int) PARTITION BY RANGE (id)")
        program.run("CREATE TABLE low PARTITION OF things FOR VALUES FROM (0) TO (100)")
        program.run(
            "CREATE TABLE high PARTITION OF things FOR VALUES FROM (100) TO (200) "
            "PARTITION BY RANGE (id)"
        )
        program.run("CREATE TABLE high1 PARTITION OF high FOR VALUES FROM (100) TO (150)")
        log.install(THINGS)
        assert log.missing(THINGS) == []
        return log

    def test_writes_to_the_whole_and_to_a_partition(
        self, parted: PostgreSQLLog, program: PostgreSQLProgram
    ) -> None:
        for sql, keys in (
            ("INSERT INTO things VALUES (1), (101)", {"1", "101"}),
            ("INSERT INTO low VALUES (2)", {"2"}),
            ("INSERT INTO high VALUES (102)", {"102"}),
            ("UPDATE high1 SET v = 1 WHERE id = 101", {"101"}),
            ("UPDATE things SET id = id + 100 WHERE id = 2", {"2", "102"}),
            ("DELETE FROM things WHERE id = 1", {"1"}),
        ):
            position = parted.position()
            if "id + 100" in sql:
                program.run("DELETE FROM things WHERE id = 102")
            program.run(sql)
            assert since(parted, position) == {"things": keys}, sql

    def test_truncate_of_a_partition(
        self, parted: PostgreSQLLog, program: PostgreSQLProgram
    ) -> None:
        position = parted.position()
        program.run("TRUNCATE low")
        assert since(parted, position) == {"things": None}

    @pytest.mark.parametrize(
        "sql",
        [
            "CREATE TABLE more PARTITION OF things FOR VALUES FROM (200) TO (300)",
            "ALTER TABLE things ATTACH PARTITION filled FOR VALUES FROM (300) TO (400)",
            "ALTER TABLE things DETACH PARTITION low",
            "DROP TABLE low",
            "DROP TABLE high",
        ],
    )
    def test_a_partition_that_comes_or_goes_begins_a_new_epoch(
        self, parted: PostgreSQLLog, program: PostgreSQLProgram, sql: str
    ) -> None:
        program.run("CREATE TABLE filled (id int PRIMARY KEY, v int)")
        program.run("INSERT INTO filled VALUES (300)")
        mark, position = parted.schema_mark(), parted.position()
        program.run(sql)
        assert parted.schema_mark() != mark
        assert parted.missing(THINGS) == THINGS
        parted.install(THINGS)
        assert parted.missing(THINGS) == []
        assert parted.changes(position) is None

    def test_heirs_and_ancestors(self, log: PostgreSQLLog, program: PostgreSQLProgram) -> None:
        program.run("CREATE TABLE things (id int PRIMARY KEY, v int)")
        program.run("CREATE TABLE heirs (more int) INHERITS (things)")
        both = [*THINGS, Tracked(table="heirs", pk="id")]
        log.install(both)
        assert log.install(both) == []
        position = log.position()
        program.run("INSERT INTO heirs VALUES (1, 1, 1)")
        assert since(log, position) == {"things": {"1"}, "heirs": {"1"}}
        position = log.position()
        program.run("UPDATE things SET v = 2")
        assert since(log, position) == {"things": {"1"}, "heirs": {"1"}}


class TestPositions:
    def test_what_commits_late_is_not_lost(
        self, log: PostgreSQLLog, program: PostgreSQLProgram, other: PostgreSQLProgram
    ) -> None:
        """The classic lost row: one that began earlier and committed later than others."""
        early = log.position()
        program.run("BEGIN")
        program.run("INSERT INTO app_word VALUES ('late', 1)")
        other.run("INSERT INTO app_word VALUES ('quick', 1)")
        between = log.position()
        assert since(log, early) == {WORD: {"quick"}}
        assert since(log, between) == {}
        program.run("COMMIT")
        assert since(log, between) == {WORD: {"late"}}
        assert since(log, early) == {WORD: {"late", "quick"}}
        assert since(log, log.position()) == {}

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

    def test_another_epoch_and_another_history_prove_nothing(
        self, log: PostgreSQLLog, program: PostgreSQLProgram
    ) -> None:
        position = log.position()
        assert log.changes(Position(epoch="another", mark=position.mark)) is None
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

    def test_a_log_that_was_deleted_from_proves_nothing(
        self, log: PostgreSQLLog, program: PostgreSQLProgram
    ) -> None:
        program.run("INSERT INTO app_word VALUES ('a', 1)")
        position = log.position()
        program.run("DELETE FROM bindserver_log")
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
        assert log.changes(position) is None
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

    def test_a_position_with_very_many_open_transactions_has_a_brief_mark(
        self, log: PostgreSQLLog
    ) -> None:
        open_ids = tuple(range(1000, 2000, 2))
        mark = Mark(xmin=1000, xmax=5000, open=open_ids, entry=(900, 5))
        assert Mark.load(mark.dump()) == mark
        brief = Mark.load(mark.brief())
        assert len(mark.brief()) < 200
        assert (brief.xmin, brief.xmax, brief.open) == (1000, 1000, ())
        short = Mark(xmin=1, xmax=2, open=(1,), entry=(0, 0))
        assert short.brief() == short.dump()


class TestPurging:
    def test_takes_what_was_over_long_enough_ago_and_spares_the_newest_of_it(
        self, log: PostgreSQLLog, program: PostgreSQLProgram
    ) -> None:
        for number in range(10):
            program.run(f"INSERT INTO app_word VALUES ('old {number}', 1)")
        assert log.purge(60, 1000, wait=True) == 0
        program.age(3600)
        between = log.position()
        program.run("INSERT INTO app_word VALUES ('young', 1)")
        assert log.purge(60, 4, wait=True) == 4
        assert log.purge(60, 1000, wait=False) == 5
        assert log.purge(60, 1000, wait=False) == 0
        assert log.status()["entries"] == 2
        assert since(log, between) == {WORD: {"young"}}

    def test_a_purged_position_proves_nothing(
        self, log: PostgreSQLLog, program: PostgreSQLProgram
    ) -> None:
        empty = log.position()
        program.run("INSERT INTO app_word VALUES ('a', 1)")
        early = log.position()
        program.run("INSERT INTO app_word VALUES ('b', 1)")
        program.age(3600)
        late = log.position()
        assert log.purge(60, 1000, wait=True) == 1
        assert log.changes(empty) is None
        assert log.changes(early) is None
        assert since(log, late) == {}

    def test_never_takes_what_a_long_transaction_may_still_commit(
        self, log: PostgreSQLLog, program: PostgreSQLProgram, other: PostgreSQLProgram
    ) -> None:
        other.run("INSERT INTO app_word VALUES ('first', 1)")
        program.run("BEGIN")
        program.run("INSERT INTO app_word VALUES ('late', 1)")
        other.run("INSERT INTO app_word VALUES ('quick', 1)")
        other.age(3600)
        position = log.position()
        assert log.purge(60, 1000, wait=True) == 0
        program.run("COMMIT")
        log.purge(60, 1000, wait=True)
        assert since(log, position) == {WORD: {"late"}}

    def test_does_not_wait_for_another_who_purges(
        self, log: PostgreSQLLog, program: PostgreSQLProgram, other: PostgreSQLProgram
    ) -> None:
        for number in range(3):
            program.run(f"INSERT INTO app_word VALUES ('old {number}', 1)")
        program.age(3600)
        with other.transaction():
            other.run("SELECT pg_advisory_xact_lock(?)", 0x62696E64 + 1)
            assert log.purge(60, 1000, wait=False) == 0
        assert log.purge(60, 1000, wait=False) == 2

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


def test_marks_are_read_as_they_were_written() -> None:
    def of(snapshot: str) -> Any:
        return Mark.of(snapshot, (7, 8))

    assert of("10:20:10,15").dump() == "10:10:0,5~7.8"
    assert Mark.load("10:10:0,5~7.8") == of("10:20:10,15")
    assert of("10:10:").dump() == "10:0:~7.8"
    assert of("10:20:10,15").saw_all_below(10)
    assert not of("10:20:10,15").saw_all_below(11)
    assert of("10:20:").saw_all_below(20)
    assert not of("10:20:").saw_all_below(21)
