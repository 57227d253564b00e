"""Whether a thread's own connection sees more than others do."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, connection, connections, transaction

from bindserver.database.uncommitted import sees_uncommitted
from tests.app.models import Category


class Undone(Exception):
    """Rolls a block back."""


@pytest.mark.usefixtures("database")
class TestSeesUncommitted:
    def test_not_outside_of_a_transaction(self) -> None:
        Category.objects.create(name="one")
        assert not sees_uncommitted("default")

    def test_not_in_a_transaction_that_only_reads(self) -> None:
        with transaction.atomic():
            assert list(Category.objects.all()) == []
            assert not sees_uncommitted("default")

    def test_in_a_transaction_that_has_written_by_the_orm_or_by_hand(self) -> None:
        with transaction.atomic():
            Category.objects.create(name="one")
            assert sees_uncommitted("default")
        assert not sees_uncommitted("default")
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("  UPDATE app_category SET name = 'two'")
            assert sees_uncommitted("default")

    def test_still_after_a_savepoint_was_rolled_back_before_or_after_the_write(self) -> None:
        with transaction.atomic():
            with suppress(Undone), transaction.atomic():
                Category.objects.create(name="one")
                raise Undone
            Category.objects.create(name="two")
            assert sees_uncommitted("default")

    def test_no_more_once_a_rolled_back_transaction_is_over(self) -> None:
        with suppress(Undone), transaction.atomic():
            Category.objects.create(name="one")
            raise Undone
        assert not sees_uncommitted("default")

    def test_where_the_application_commits_by_hand(self) -> None:
        transaction.set_autocommit(False)
        try:
            assert sees_uncommitted("default")
        finally:
            transaction.rollback()
            transaction.set_autocommit(True)

    def test_not_where_another_thread_has_written(self) -> None:
        found: list[bool] = []

        def look() -> None:
            found.append(sees_uncommitted("default"))
            connections["default"].close()

        with transaction.atomic():
            Category.objects.create(name="one")
            thread = threading.Thread(target=look)
            thread.start()
            thread.join()
        assert found == [False]


@pytest.mark.django_db
def test_in_a_test_case_and_on_a_database_in_memory() -> None:
    assert sees_uncommitted("default")


def test_in_a_test_cases_transaction_before_anything_is_written(database: Path) -> None:
    with transaction.atomic():
        block: Any = connection.atomic_blocks[-1]
        block._from_testcase = True
        assert sees_uncommitted("default")


WRITER = """
    CREATE FUNCTION add_category() RETURNS void LANGUAGE SQL AS
    $$ INSERT INTO app_category (name) VALUES ('one') $$
"""


@pytest.mark.usefixtures("postgresql_database")
class TestPastDjangosCursorsOnPostgreSQL:
    def test_not_before_the_first_statement_nor_after_one_that_only_reads(self) -> None:
        with transaction.atomic():
            assert not sees_uncommitted("default")
            assert list(Category.objects.all()) == []
            assert not sees_uncommitted("default")

    def test_by_a_function_that_a_query_calls(self) -> None:
        connection.cursor().execute(WRITER)
        with transaction.atomic():
            connection.cursor().execute("SELECT add_category()")
            assert sees_uncommitted("default")
        assert not sees_uncommitted("default")

    def test_by_callproc(self) -> None:
        connection.cursor().execute(WRITER)
        with transaction.atomic():
            connection.cursor().callproc("add_category")
            assert sees_uncommitted("default")

    def test_by_the_driver_s_own_copy(self) -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            with cursor.copy("COPY app_category (name) FROM STDIN") as copy:
                copy.write_row(("one",))
            assert sees_uncommitted("default")

    def test_nothing_is_asked_of_a_transaction_that_has_failed(self) -> None:
        with suppress(DatabaseError), transaction.atomic():
            with suppress(DatabaseError):
                connection.cursor().execute("SELECT 1/0")
            assert not sees_uncommitted("default")
            raise DatabaseError
