"""What is told of tables that were changed after a PostgreSQL snapshot, before they were read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import DatabaseError, connections

from bindserver.database.overtaken import overtaken
from bindserver.database.pacing import Pacer
from bindserver.database.snapshot import open_connection, snapshot, vouch
from bindserver.exceptions import Overtaken
from tests.support.postgresql import PostgreSQLProgram

MAKE = """
CREATE TABLE t (id int PRIMARY KEY, v int, w int); INSERT INTO t VALUES (1, 1, 2);
CREATE TABLE older (id int PRIMARY KEY, v int, w int); INSERT INTO older VALUES (7, 7, 7);
CREATE TABLE p (id int, v int) PARTITION BY RANGE (id);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20);
CREATE TABLE p3 (id int, v int); INSERT INTO p3 VALUES (25, 1);
INSERT INTO p VALUES (1, 1), (11, 1);
CREATE TABLE h (id int, v int); CREATE TABLE h1 (id int, v int); INSERT INTO h1 VALUES (1, 1);
CREATE SCHEMA other; CREATE TABLE other.t (id int PRIMARY KEY, v int, w int);
"""
ATTACH = "ALTER TABLE p ATTACH PARTITION p3 FOR VALUES FROM (20) TO (30)"
OVERTAKING = {
    "emptied": ("t", "TRUNCATE t; INSERT INTO t VALUES (9, 9, 9)"),
    "rewritten": ("t", "ALTER TABLE t ALTER v TYPE bigint"),
    "with columns that changed names": (
        "t",
        "ALTER TABLE t RENAME v TO x; ALTER TABLE t RENAME w TO v; ALTER TABLE t RENAME x TO w",
    ),
    "built anew": (
        "t",
        "CREATE TABLE new AS SELECT * FROM t; DROP TABLE t; ALTER TABLE new RENAME TO t",
    ),
    "renamed in its place": (
        "t",
        "ALTER TABLE t RENAME TO gone; ALTER TABLE older RENAME TO t",
    ),
    "of another schema": (
        "t",
        "ALTER SCHEMA public RENAME TO past; ALTER SCHEMA other RENAME TO public",
    ),
    "one of whose partitions is emptied": ("p", "TRUNCATE p1"),
    "all of whose partitions are emptied": ("p", "TRUNCATE p"),
    "with another partition": ("p", ATTACH),
    "without a partition": ("p", "ALTER TABLE p DETACH PARTITION p2"),
    "one of whose partitions is dropped": ("p", "DROP TABLE p2"),
    "with an heir": ("h", "ALTER TABLE h1 INHERIT h"),
}  # fmt: skip
HARMLESS = {
    "written to": ("t", "UPDATE t SET v = 3; DELETE FROM t"),
    "not touched": ("p", "TRUNCATE t; ALTER TABLE t ALTER v TYPE bigint"),
    "that somebody wanted to empty": ("t", "BEGIN; TRUNCATE t; ROLLBACK"),
    "analyzed": ("t", "ANALYZE t"),
    "with another index": ("t", "CREATE INDEX ON t (v)"),
}


@pytest.fixture
def program(postgresql_database: str) -> Iterator[PostgreSQLProgram]:
    program = PostgreSQLProgram(postgresql_database)
    program.run(MAKE)
    yield program
    program.close()


@pytest.fixture
def own(program: PostgreSQLProgram) -> Iterator[Any]:
    """A connection as the cycle's thread has it."""
    usual = connections["default"]
    connection = open_connection("default")
    yield connection
    connection.close()
    connections["default"] = usual


def read(connection: Any, table: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id, v FROM {table}")
        cursor.fetchall()


def begin(connection: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


@pytest.mark.parametrize(("table", "what"), OVERTAKING.values(), ids=list(OVERTAKING))
def test_a_table_is_another_than_the_snapshot_saw(
    own: Any, program: PostgreSQLProgram, table: str, what: str
) -> None:
    with snapshot(own, Pacer(10)):
        begin(own)
        program.run(f"BEGIN; {what}; COMMIT")
        read(own, table)
        with pytest.raises(Overtaken, match=table):
            vouch("default", {"app_product", table})
        vouch("default", {"app_product"})
    with snapshot(own, Pacer(10)):
        read(own, table)
        vouch("default", {"app_product", table})


@pytest.mark.parametrize(("table", "what"), HARMLESS.values(), ids=list(HARMLESS))
def test_a_table_is_what_the_snapshot_saw(
    own: Any, program: PostgreSQLProgram, table: str, what: str
) -> None:
    with snapshot(own, Pacer(10)):
        begin(own)
        program.run(what)
        read(own, table)
        vouch("default", {table})
    with snapshot(own, Pacer(10)):  # what was rolled back leaves its mark for long
        read(own, table)
        vouch("default", {table})


def test_a_partition_that_comes_between_two_reads_is_noticed(
    own: Any, program: PostgreSQLProgram
) -> None:
    with snapshot(own, Pacer(10)):
        read(own, "p")
        vouch("default", {"p"})
        program.run(ATTACH)
        read(own, "p")
        assert overtaken(own, {"p"})


def test_nothing_that_was_read_can_be_emptied_until_the_snapshot_ends(
    own: Any, program: PostgreSQLProgram
) -> None:
    program.run("SET lock_timeout = '50ms'")
    with snapshot(own, Pacer(10)):
        read(own, "t")
        for what in ("TRUNCATE t", "ALTER TABLE t RENAME TO u", "ALTER TABLE t RENAME v TO x"):
            with pytest.raises(Exception, match="lock timeout"):
                program.run(what)


def test_a_table_that_is_not_there_is_none_that_was_overtaken(own: Any) -> None:
    with snapshot(own, Pacer(10)):
        vouch("default", {"no_such_table"})
        with pytest.raises(DatabaseError):
            read(own, "no_such_table")
