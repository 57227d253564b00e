"""Partitions and tables that inherit, in the change log on PostgreSQL."""

from __future__ import annotations

import pytest

from bindserver.capture.postgresql.log import PostgreSQLLog
from bindserver.capture.tables import Tracked
from tests.databases.capture.logged import since
from tests.support.postgresql import PostgreSQLProgram

THINGS = [Tracked(table="things", pk="id")]


@pytest.fixture(scope="module")
def vendor() -> str:
    return "postgresql"


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
    def test_a_partition_that_comes_or_goes_means_any_row(
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
        assert since(parted, position) == {"things": None}

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
