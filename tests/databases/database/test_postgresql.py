"""Reading PostgreSQL in one snapshot, and the orders that Python can repeat."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import DatabaseError, OperationalError, connections, transaction
from django.db.models import (
    DateField,
    DateTimeField,
    DecimalField,
    FloatField,
    TextField,
    UUIDField,
)

from bindserver.database.pacing import Pacer
from bindserver.database.postgresql import PostgreSQL
from bindserver.database.snapshot import connect, guarded, snapshot
from bindserver.testing.live import Live
from tests.app.models import Product, Word
from tests.databases.database.conftest import ask
from tests.support.postgresql import PostgreSQLProgram


@pytest.fixture
def url(postgresql_database: str) -> str:
    return postgresql_database


@pytest.fixture
def program(postgresql_database: str) -> Iterator[PostgreSQLProgram]:
    program = PostgreSQLProgram(postgresql_database)
    yield program
    program.close()


class TestASnapshot:
    def test_stays_as_it_was_and_takes_no_writes(
        self, own: Any, program: PostgreSQLProgram
    ) -> None:
        program.run("INSERT INTO app_word VALUES ('a', 1)")
        with pytest.raises(DatabaseError, match="read-only"), snapshot(own, Pacer(10)):  # noqa: PT012  (what comes before belongs to it)
            assert ask(own, "SELECT count FROM app_word") == [(1,)]
            program.run("UPDATE app_word SET count = 2")
            assert ask(own, "SELECT count FROM app_word") == [(1,)]
            ask(own, "DELETE FROM app_word RETURNING text")
        with snapshot(own, Pacer(10)):
            assert ask(own, "SELECT count FROM app_word") == [(2,)]

    def test_leaves_nothing_behind_in_its_session(self, own: Any) -> None:
        names = "statement_timeout", "lock_timeout", "default_transaction_isolation"
        before = [ask(own, f"SHOW {name}") for name in names]
        with snapshot(own, Pacer(7)):
            assert ask(own, "SHOW statement_timeout") == [("7s",)]
            assert ask(own, "SHOW transaction_isolation") == [("repeatable read",)]
        assert [ask(own, f"SHOW {name}") for name in names] == before
        assert ask(own, "SHOW transaction_read_only") == [("off",)]

    def test_ends_what_takes_too_long(self, own: Any) -> None:
        with pytest.raises(OperationalError, match="statement timeout"), snapshot(own, Pacer(0.1)):
            ask(own, "SELECT pg_sleep(10)")

    def test_goes_on_after_a_statement_that_failed_in_a_guard(
        self, own: Any, program: PostgreSQLProgram
    ) -> None:
        program.run("INSERT INTO app_word VALUES ('a', 1)")
        with snapshot(own, Pacer(10)):
            assert ask(own, "SELECT count FROM app_word") == [(1,)]
            program.run("UPDATE app_word SET count = 2")
            for _ in range(3):
                with pytest.raises(DatabaseError, match="no_such_table"), guarded("default"):  # noqa: PT012  (what comes before belongs to it)
                    assert ask(own, "SELECT count FROM app_word") == [(1,)]
                    ask(own, "SELECT * FROM no_such_table")
                with guarded("default"):
                    assert ask(own, "SELECT count FROM app_word") == [(1,)]
                with guarded("default"):
                    pass  # no statement, no savepoint
            assert ask(own, "SELECT count FROM app_word") == [(1,)]

    def test_guards_in_guards(self, own: Any) -> None:
        with snapshot(own, Pacer(10)), guarded("default"):
            ask(own, "SELECT 1")
            with pytest.raises(DatabaseError), guarded("default"):
                ask(own, "SELECT 1/0")
            assert ask(own, "SELECT 1") == [(1,)]

    def test_a_guard_leaves_nothing_behind_in_somebody_else_s_transaction(
        self, postgresql_database: str
    ) -> None:
        connection = connections["default"]
        with transaction.atomic():
            with pytest.raises(DatabaseError), guarded("default"):
                ask(connection, "SELECT 1/0")
            with guarded("default"):
                ask(connection, "SELECT 1")
            with pytest.raises(DatabaseError, match="does not exist"), transaction.atomic():
                connection.cursor().execute("RELEASE SAVEPOINT bindserver_guard")

    def test_a_connection_that_the_server_has_ended_meanwhile_is_made_anew(
        self, own: Any, program: PostgreSQLProgram, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("bindserver.database.base.IDLE_SECONDS", -1.0)
        connect(own)
        pid = ask(own, "SELECT pg_backend_pid()")[0][0]
        program.run("SELECT pg_terminate_backend(?, 5000)", pid)
        with snapshot(own, Pacer(10)):
            assert ask(own, "SELECT 1") == [(1,)]

    def test_a_connection_of_ours_knows_that_hosts_go_away(self, own: Any) -> None:
        parameters = own.get_connection_params()
        assert parameters["connect_timeout"] == 5
        assert parameters["tcp_user_timeout"] == 10_000
        assert own.settings_dict["DISABLE_SERVER_SIDE_CURSORS"]
        settings: dict[str, Any] = {"OPTIONS": {"pool": True, "connect_timeout": 1}}
        PostgreSQL().adapt(settings)
        assert "pool" not in settings["OPTIONS"]
        assert settings["OPTIONS"]["connect_timeout"] == 1

    def test_a_connection_that_is_ended_raises_what_the_cycle_rides_out(
        self, own: Any, program: PostgreSQLProgram
    ) -> None:
        with pytest.raises(DatabaseError):  # noqa: SIM117, PT012  (what comes before belongs to it)
            with snapshot(own, Pacer(10)), guarded("default"):
                pid = ask(own, "SELECT pg_backend_pid()")[0][0]
                program.run("SELECT pg_terminate_backend(?)", pid)
                ask(own, "SELECT 1")


@pytest.mark.parametrize(
    ("field", "column", "values"),
    [
        (
            DecimalField(max_digits=60, decimal_places=30),
            "numeric",
            "0 -0 1.5 1.50 NaN Infinity -Infinity -3 1e-30 "
            "123456789012345678901234567890.000000000000000000000000000001 "
            "123456789012345678901234567890.000000000000000000000000000002",
        ),
        (DateField(), "date", "2026-01-01 1970-01-01 0001-01-01 9999-12-31 2026-01-02"),
        (
            DateTimeField(),
            "timestamptz",
            "2026-03-29T00:59:59.999999Z 2026-03-29T01:00:00Z 2026-03-29T03:30:00+02 "
            "0001-01-02T00:00:00Z 9999-12-30T23:59:59.999999Z 1969-12-31T23:59:59.5Z",
        ),
        (
            UUIDField(),
            "uuid",
            "ffffffff-0000-0000-0000-000000000000 0fffffff-0000-0000-0000-000000000000 "
            "00000000-0000-0000-0000-0000000000ff 7f000000-0000-0000-0000-0000000000ff "
            "80000000-0000-0000-0000-000000000000",
        ),
    ],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_python_sorts_as_the_database_does(
    own: Any, field: Any, column: str, values: str, sign: int
) -> None:
    sorting = PostgreSQL().sorting(field)
    assert sorting is not None
    direction = "ASC" if sign > 0 else "DESC"
    rows = ask(
        own,
        "SELECT v, row_number() OVER w, rank() OVER w FROM "
        f"unnest('{{{','.join(values.split())}}}'::{column}[]) AS v "
        f"WINDOW w AS (ORDER BY v {direction})",
    )
    random.Random(1).shuffle(rows)
    ranked = sorted(rows, key=lambda row: sorting(row[0], sign))
    assert [rank for _, _, rank in ranked] == sorted(rank for _, _, rank in rows)
    for one, _, rank in rows:
        for other, _, its in rows:
            assert (sorting(one, sign) == sorting(other, sign)) == (rank == its)


def test_texts_and_floats_are_left_to_the_database() -> None:
    assert PostgreSQL().sorting(TextField()) is None
    assert PostgreSQL().sorting(FloatField()) is None

    encrypted: Any = DecimalField()
    encrypted.from_db_value = lambda value, *args: value
    assert PostgreSQL().sorting(encrypted) is None


class TestInATestCase:
    """Views kept live on the test's own connection, in its transaction."""

    def test_a_binding_that_fails_leaves_the_transaction_to_the_others(
        self, postgresql_database: str
    ) -> None:
        live = Live()
        live.raises = False
        with transaction.atomic():
            Product.objects.create(name="a")
            Word.objects.create(text="a", count=1)
            products, words = live.subscribe("products"), live.subscribe("words")
            with connections["default"].cursor() as cursor:
                cursor.execute("ALTER TABLE app_word RENAME count TO amount")
            Product.objects.create(name="b")
            live.settle()
            assert [row["name"] for row in products.rows] == ["a", "b"]
            with connections["default"].cursor() as cursor:
                cursor.execute("ALTER TABLE app_word RENAME amount TO count")
                cursor.execute("UPDATE app_word SET count = 2")
            live.settle()
            assert [row["count"] for row in words.rows] == [2]
            transaction.set_rollback(True)
