"""A shop in this process's database, on each kind of it and under each capture."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from django.test import override_settings

from bindserver.hub.hub import hub
from bindserver.queries.dependencies import Recorder
from tests.conftest import address_of, program_at


@dataclass(frozen=True)
class Shop:
    """This process's database, and another program that writes to it.

    Attributes:
        url: the database's address.
        another: makes another such program.
    """

    program: Any
    url: str
    another: Callable[[], Any]

    def run(self, sql: str) -> None:
        self.program.run(sql)

    def add_products(self, count: int, first: int = 1, **values: Any) -> None:
        self.program.add_products(count, first, **values)


PROVING = ["sqlite log", "sqlite signals", "postgresql log", "mysql log"]
"""Where memory can be proved to be as new as the database."""
ALL = [*PROVING, "postgresql signals", "mysql signals"]
FIXTURES = {
    "sqlite log": "database",
    "sqlite signals": "bare_database",
    "postgresql log": "postgresql_database",
    "postgresql signals": "bare_postgresql_database",
    "mysql log": "on_maria",
    "mysql signals": "on_own_maria",
}


@pytest.fixture(params=ALL)
def shop(request: pytest.FixtureRequest) -> Iterator[Shop]:
    """Another program that writes to this process's database, of each kind, under each capture."""
    url = address_of(request.getfixturevalue(FIXTURES[request.param]))
    shop = Shop(program_at(url), url, partial(program_at, url))
    with override_settings(BINDSERVER={"COMPARE_SECONDS": 3600, "AUDIT_SHARE": 0}):
        yield shop
        hub.stop()
    shop.program.close()


proving = pytest.mark.parametrize("shop", PROVING, indirect=True)


def names(rows: Any) -> list[str]:
    return [row.name for row in rows]


class ReadsOfTable:
    """Counts the statements of views that read a table."""

    def __init__(self, table: str) -> None:
        self.table, self.count = table, 0

    def __enter__(self) -> ReadsOfTable:
        self._usual = Recorder.__call__
        counter = self

        def count(self: Recorder, execute: Any, sql: str, *args: Any) -> Any:
            counter.count += counter.table in sql
            return counter._usual(self, execute, sql, *args)

        self._replace(count)
        return self

    def __exit__(self, *_: object) -> None:
        self._replace(self._usual)

    @staticmethod
    def _replace(call: Any) -> None:
        kind: Any = Recorder
        kind.__call__ = call
