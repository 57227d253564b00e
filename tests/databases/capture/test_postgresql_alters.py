"""ALTER TABLE on PostgreSQL: what may have changed values past the triggers, and what cannot."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from django.db import connections

from bindserver.capture.log import log_of
from bindserver.capture.postgresql.log import PostgreSQLLog
from bindserver.capture.tables import Tracked
from tests.databases.capture.logged import since
from tests.support.postgresql import PostgreSQLProgram, wait_for

THINGS = [Tracked(table="things", pk="id")]

HARMLESS = [
    "ALTER TABLE things ADD more int",
    "ALTER TABLE things ADD more int NOT NULL DEFAULT 5",
    "ALTER TABLE things ADD more uuid DEFAULT gen_random_uuid()",  # writes the table anew
    "ALTER TABLE things DROP spare",
    "ALTER TABLE things ALTER name SET DEFAULT 'x'",
    "ALTER TABLE things ALTER v SET NOT NULL",
    "ALTER TABLE things ALTER v SET STATISTICS 10",
    "ALTER TABLE things ALTER name TYPE varchar(130)",
    "ALTER TABLE things ALTER name TYPE text",
    "ALTER TABLE things ADD CHECK (v > 0)",
    "ALTER TABLE things SET UNLOGGED",
    "ALTER TABLE things CLUSTER ON things_pkey; CLUSTER things",
    "VACUUM FULL things",
    "TRUNCATE things",
    "GRANT SELECT (v) ON things TO public",
]
HARMFUL = [
    "ALTER TABLE things ALTER v TYPE int USING v + 1",
    "ALTER TABLE things ALTER v TYPE bigint",
    "ALTER TABLE things ALTER v TYPE oid",  # -1 is shown as another number, and nothing rewritten
    "ALTER TABLE things ALTER name TYPE varchar(130) USING upper(name)",
    "ALTER TABLE things ALTER name TYPE varchar(5)",
    'ALTER TABLE things ALTER name TYPE varchar(100) COLLATE "POSIX"',  # another order
    "ALTER TABLE things RENAME v TO x",
    "ALTER TABLE things DROP v, ADD v int DEFAULT 7",
    "ALTER TABLE things RENAME v TO x; ALTER TABLE things RENAME spare TO v",
    "ALTER TABLE things ALTER id TYPE bigint",
    "ALTER TABLE things ALTER id TYPE text",
    "ALTER TABLE things RENAME id TO key",
]


@pytest.fixture(scope="module")
def vendor() -> str:
    return "postgresql"


@pytest.fixture
def things(log: PostgreSQLLog, program: PostgreSQLProgram) -> PostgreSQLLog:
    """The log of a table that no client could miss a change of so far."""
    program.run("CREATE TABLE things (id int PRIMARY KEY, name varchar(100), v int, spare int)")
    program.run("INSERT INTO things VALUES (1, 'one', 1, 1)")
    log.install(THINGS)
    return log


def run(program: PostgreSQLProgram, sql: str) -> None:
    for statement in sql.split("; "):
        program.run(statement)


FAMILY = [Tracked(table="kept", pk="id"), Tracked(table="parted", pk="id")]


def make_family(log: PostgreSQLLog, program: PostgreSQLProgram) -> None:
    """Make and watch a table with partitions and one with an heir."""
    program.run(
        "CREATE TABLE parted (id int PRIMARY KEY, v int, spare int) PARTITION BY RANGE (id)"
    )
    program.run("CREATE TABLE low PARTITION OF parted FOR VALUES FROM (0) TO (100)")
    program.run("CREATE TABLE high PARTITION OF parted FOR VALUES FROM (100) TO (200)")
    program.run("CREATE TABLE kept (id int PRIMARY KEY, v int, spare int)")
    program.run("CREATE TABLE heir (own int) INHERITS (kept)")
    log.install(FAMILY)


class TestWhatCannotHaveChangedValues:
    @pytest.mark.parametrize("sql", HARMLESS)
    def test_leaves_everything_in_place(
        self, things: PostgreSQLLog, program: PostgreSQLProgram, sql: str
    ) -> None:
        position = things.position()
        run(program, sql)
        assert things.missing(THINGS) == []
        assert things.install(THINGS) == []
        assert things.position().epoch == position.epoch
        program.run("INSERT INTO things (id, v) VALUES (2, 2)")
        found = since(things, position)
        assert found is not None
        assert found["things"] in ({"2"}, None)

    @pytest.mark.parametrize("sql", HARMLESS)
    def test_is_taken_note_of_so_that_no_two_together_look_like_harm(
        self, things: PostgreSQLLog, program: PostgreSQLProgram, sql: str
    ) -> None:
        for statement in ("VACUUM FULL things", sql, "TRUNCATE things"):
            run(program, statement)
            assert things.missing(THINGS) == [], statement
            things.accept(THINGS)

    def test_is_looked_at_also_where_nothing_but_the_file_is_another(
        self, things: PostgreSQLLog, program: PostgreSQLProgram
    ) -> None:
        assert things.missing(THINGS) == []
        mark = things.schema_mark()
        program.run("TRUNCATE things")
        assert things.schema_mark() != mark

    def test_is_no_harm_to_partitions_and_heirs(
        self, log: PostgreSQLLog, program: PostgreSQLProgram
    ) -> None:
        make_family(log, program)
        for table in ("parted", "kept"):
            for sql in ("ADD more int", "ALTER v SET DEFAULT 1", "DROP spare"):
                program.run(f"ALTER TABLE {table} {sql}")
                assert log.missing(FAMILY) == [], sql
                log.accept(FAMILY)
        program.run("TRUNCATE low")
        program.run("VACUUM FULL heir")
        assert log.missing(FAMILY) == []


class TestWhatMayHaveChangedValues:
    @pytest.mark.parametrize("before", ["", "TRUNCATE things", "ALTER TABLE things ADD late int"])
    @pytest.mark.parametrize("sql", HARMFUL)
    def test_means_any_row_of_the_table(
        self, things: PostgreSQLLog, program: PostgreSQLProgram, sql: str, before: str
    ) -> None:
        if before:
            program.run(before)
            things.accept(THINGS)
        assert things.missing(THINGS) == []
        mark, position = things.schema_mark(), things.position()
        run(program, sql)
        assert things.schema_mark() != mark
        assert things.missing(THINGS) == THINGS
        things.accept(THINGS)
        assert things.missing(THINGS) == THINGS
        things.install(THINGS)
        assert things.missing(THINGS) == []
        assert since(things, position) == {"things": None}

    def test_a_name_that_went_and_comes_back_is_another_column_s(
        self, things: PostgreSQLLog, program: PostgreSQLProgram
    ) -> None:
        program.run("ALTER TABLE things DROP v")
        assert things.missing(THINGS) == []  # nobody can be served what is not there
        for _ in range(2):
            things.accept(THINGS)
        program.run("ALTER TABLE things ADD v int DEFAULT 7")
        assert things.missing(THINGS) == THINGS

    def test_how_a_generated_column_is_computed(
        self, things: PostgreSQLLog, program: PostgreSQLProgram
    ) -> None:
        program.run("ALTER TABLE things ADD twice int GENERATED ALWAYS AS (v * 2) STORED")
        assert things.missing(THINGS) == []
        things.accept(THINGS)
        program.run("ALTER TABLE things ALTER twice DROP EXPRESSION")
        assert things.missing(THINGS) == THINGS

    def test_a_new_file_of_a_table_that_kept_a_default_aside_looks_like_it(
        self, things: PostgreSQLLog, program: PostgreSQLProgram
    ) -> None:
        program.run("ALTER TABLE things ADD more int DEFAULT 5")
        things.accept(THINGS)
        program.run("VACUUM FULL things")  # has the default written into the rows
        assert things.missing(THINGS) == THINGS

    def test_what_another_design_wrote_down_vouches_for_nothing(
        self, things: PostgreSQLLog, program: PostgreSQLProgram
    ) -> None:
        program.run("UPDATE bindserver_meta SET value = '2:id:a1' WHERE name = 'table:things'")
        assert things.missing(THINGS) == THINGS
        things.install(THINGS)
        assert things.missing(THINGS) == []

    @pytest.mark.parametrize("table", ["parted", "kept", "heir"])
    def test_in_partitions_and_heirs_too(
        self, log: PostgreSQLLog, program: PostgreSQLProgram, table: str
    ) -> None:
        make_family(log, program)
        column = "own" if table == "heir" else "v"
        program.run(f"ALTER TABLE {table} ALTER {column} TYPE int USING {column} + 1")
        expected = "parted" if table == "parted" else "kept"
        assert [item.table for item in log.missing(FAMILY)] == [expected]

    def test_the_key_s_rename_is_put_right_by_install(
        self, things: PostgreSQLLog, program: PostgreSQLProgram
    ) -> None:
        program.run("ALTER TABLE things RENAME id TO key")
        renamed = [Tracked(table="things", pk="key")]
        assert things.missing(renamed) == renamed
        things.install(renamed)
        position = things.position()
        program.run("INSERT INTO things (key) VALUES (5)")
        assert since(things, position) == {"things": {"5"}}


def test_what_somebody_else_wrote_down_meanwhile_is_left_alone(
    things: PostgreSQLLog, program: PostgreSQLProgram, other: PostgreSQLProgram
) -> None:
    def accept() -> None:
        log_of(connections["default"]).accept(THINGS)
        connections["default"].close()

    program.run("ALTER TABLE things ALTER v SET DEFAULT 1")
    thread = threading.Thread(target=accept)
    with program.transaction():
        program.run("UPDATE bindserver_meta SET value = 'later' WHERE name = 'table:things'")
        thread.start()
        wait_for(lambda: other.run("SELECT 1 FROM pg_locks WHERE NOT granted"))
    thread.join()
    noted = program.run("SELECT value FROM bindserver_meta WHERE name = 'table:things'")
    assert noted == [("later",)]


class TestARoleThatOnlyReads:
    @pytest.fixture(autouse=True)
    def reading(self, things: PostgreSQLLog, program: PostgreSQLProgram) -> Iterator[None]:
        program.run("DROP ROLE IF EXISTS looker")
        program.run("CREATE ROLE looker")
        program.run("GRANT SELECT ON ALL TABLES IN SCHEMA public TO looker")
        with connections["default"].cursor() as cursor:
            cursor.execute("SET ROLE looker")
            yield
            cursor.execute("RESET ROLE")
        program.run("DROP OWNED BY looker")

    def test_finds_all_in_place_and_writes_nothing(
        self, things: PostgreSQLLog, program: PostgreSQLProgram
    ) -> None:
        noted = program.run("SELECT * FROM bindserver_meta ORDER BY 1")
        for sql in ("ADD more int DEFAULT 5", "ALTER v SET DEFAULT 1", "ADD even int"):
            program.run(f"ALTER TABLE things {sql}")
            assert things.missing(THINGS) == []
            things.accept(THINGS)
        assert program.run("SELECT * FROM bindserver_meta ORDER BY 1") == noted

    def test_in_a_session_that_may_write_nothing_it_is_the_same(
        self, things: PostgreSQLLog, program: PostgreSQLProgram
    ) -> None:
        program.run("ALTER TABLE things ALTER v SET DEFAULT 1")
        with connections["default"].cursor() as cursor:
            cursor.execute("RESET ROLE")
            cursor.execute("SET default_transaction_read_only = on")
            things.accept(THINGS)
            cursor.execute("RESET default_transaction_read_only")

    def test_sees_what_may_have_changed_values(
        self, things: PostgreSQLLog, program: PostgreSQLProgram
    ) -> None:
        program.run("ALTER TABLE things ALTER v TYPE int USING v + 1")
        assert things.missing(THINGS) == THINGS
