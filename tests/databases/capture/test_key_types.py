"""Keys of every type, as the change log of each kind of database names them."""

from __future__ import annotations

import uuid

import pytest

from bindserver.capture.log import Log
from bindserver.capture.tables import Tracked
from tests.conftest import EVERY_DATABASE
from tests.databases.capture.logged import since
from tests.support.program import Program

ID = str(uuid.UUID(int=10))
THINGS = [Tracked(table="things", pk="the key")]

SQLITE = [
    ("INTEGER", "-5", "-5"),
    ("INTEGER", "9223372036854775807", "9223372036854775807"),
    ("TEXT", "'Ünï'", "Ünï"),
    ("char(32)", "'0000000a'", "0000000a"),
    ("BLOB", "x'00FF4100'", b"\x00\xffA\x00"),
]
POSTGRESQL = [
    ("bigint", "9223372036854775807", "9223372036854775807"),
    ("uuid", f"'{ID}'", ID),
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
]
MARIADB = [
    ("BIGINT UNSIGNED", "18446744073709551615", "18446744073709551615"),
    ("TINYINT", "-5", "-5"),
    ("DECIMAL(30, 10)", "12345678901234567890.0123456789", "12345678901234567890.0123456789"),
    ("CHAR(32)", "'ABC'", "ABC"),
    ("UUID", "'123E4567-E89B-12D3-A456-426655440000'", "123e4567-e89b-12d3-a456-426655440000"),
    ("BINARY(4)", "x'00FF4100'", b"\x00\xffA\x00"),
    ("VARBINARY(16)", "x'FFFE'", b"\xff\xfe"),
    ("VARCHAR(700) CHARACTER SET latin1", "'ß'", "ß"),
    ("VARCHAR(3000) CHARACTER SET latin1", "REPEAT('ß', 3000)", "ß" * 3000),
    ("VARCHAR(700) COLLATE utf8mb4_unicode_ci", "'É😀'", "É😀"),
    ("DATETIME(6)", "'2026-01-02 03:04:05.678901'", "2026-01-02 03:04:05.678901"),
    ("DATE", "'2026-01-02'", "2026-01-02"),
    ("ENUM('x', 'y')", "'y'", "y"),
    ("FLOAT", "0.1", None),
]
"""Kinds of columns, a value of each in SQL, and its name in the log; None for any row."""

KEYS = [
    *(("sqlite", *key) for key in SQLITE),
    *(("postgresql", *key) for key in POSTGRESQL),
    *(("mysql", *key) for key in MARIADB),
]
PREPARING = {
    "postgresql": [
        "CREATE TYPE mood AS ENUM ('sad', 'glad')",
        "CREATE DOMAIN positive AS int CHECK (value > 0)",
        "CREATE DOMAIN citext_like AS text",
        "SET datestyle = 'German'",
    ],
}
"""What a key's type needs, and a writer's session that writes values in another way."""

LOOSE = {
    "mysql": "VARCHAR(50) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci",
    "postgresql": "text COLLATE loose",
    "sqlite": "text COLLATE NOCASE",
}
"""A column to which "a" and "A" are the same, where a database has one."""


def make_things(log: Log, program: Program, vendor: str, kind: str) -> None:
    """Make a table whose key is of a kind, and watch it."""
    quote = "`" if vendor == "mysql" else '"'
    program.run(f"CREATE TABLE things ({quote}the key{quote} {kind} PRIMARY KEY, v INT)")
    log.install(THINGS)


@pytest.mark.parametrize(("vendor", "kind", "value", "key"), KEYS, indirect=["vendor"])
def test_a_key_of_any_type_is_named_as_the_database_holds_it(
    log: Log, program: Program, vendor: str, kind: str, value: str, key: object
) -> None:
    for statement in PREPARING.get(vendor, ()):
        program.run(statement)
    make_things(log, program, vendor, kind)
    for write in (
        f"INSERT INTO things VALUES ({value}, 1)",
        "UPDATE things SET v = 2",
        "DELETE FROM things",
    ):
        position = log.position()
        program.run(write)
        assert since(log, position) == {"things": None if key is None else {key}}


@EVERY_DATABASE
def test_a_key_that_changes_by_case_alone_is_named_old_and_new(
    log: Log, program: Program, vendor: str
) -> None:
    """To the collation 'a' = 'A'; to a client's rows it is another key."""
    if vendor == "postgresql":
        rule = "provider = icu, locale = 'und-u-ks-level2', deterministic = false"
        program.run(f"CREATE COLLATION loose ({rule})")
    make_things(log, program, vendor, LOOSE[vendor])
    program.run("INSERT INTO things VALUES ('a', 1)")
    key = '"the key"' if vendor != "mysql" else "`the key`"
    assert program.run(f"SELECT v FROM things WHERE {key} = 'A'") == [(1,)]
    position = log.position()
    program.run(f"UPDATE things SET {key} = 'A'")
    assert since(log, position) == {"things": {"a", "A"}}
    if vendor != "postgresql":  # it has no REPLACE
        position = log.position()
        program.run("REPLACE INTO things VALUES ('a', 2)")
        assert since(log, position) == {"things": {"a", "A"}}
