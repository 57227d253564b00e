"""MariaDB for tests: one server for all, and databases on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import connections
from pytest_django import DjangoDbBlocker

from bindserver.bindings.registry import registry
from bindserver.capture.mysql.log import MySQLLog
from bindserver.capture.tables import tracked
from bindserver.queries.tables import reads_of
from tests.support import mariadb
from tests.support.default import as_default
from tests.support.program import Program


@pytest.fixture(scope="session")
def maria() -> Iterator[mariadb.MariaDB]:
    """A MariaDB server."""
    server = mariadb.MariaDB().start()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def maria_template(
    maria: mariadb.MariaDB, tmp_path_factory: pytest.TempPathFactory
) -> dict[bool, str]:
    """The dump of a migrated database without (False) and with (True) a change log."""
    name = maria.make()
    server = mariadb.served(maria, name, tmp_path_factory.mktemp("template"))
    mariadb.prepare(server, capture=False)
    plain = maria.dump(name)
    server.manage("bindings", "capture", "install")
    return {False: plain, True: maria.dump(name)}


@pytest.fixture(scope="module")
def maria_database(maria: mariadb.MariaDB, maria_template: dict[bool, str]) -> str:
    """A module's own database on MariaDB, with the change log."""
    name = maria.make()
    maria.load(name, maria_template[True])
    return name


@pytest.fixture
def on_maria(
    maria: mariadb.MariaDB, maria_database: str, django_db_blocker: DjangoDbBlocker
) -> Iterator[Program]:
    """The module's MariaDB database, empty, as "default"; and another program that writes to it."""
    program = mariadb.MariaDBProgram(maria, maria_database)
    program.clean()
    with as_default(program.url, django_db_blocker):
        yield program
    program.close()


@pytest.fixture
def on_own_maria(
    maria: mariadb.MariaDB, maria_template: dict[bool, str], django_db_blocker: DjangoDbBlocker
) -> Iterator[Program]:
    """A MariaDB database of the test's own without a change log, and another program."""
    yield from _own(maria, maria_template[False], django_db_blocker)


@pytest.fixture
def on_own_logged_maria(
    maria: mariadb.MariaDB, maria_template: dict[bool, str], django_db_blocker: DjangoDbBlocker
) -> Iterator[Program]:
    """The same with a change log."""
    for program in _own(maria, maria_template[False], django_db_blocker):
        MySQLLog(connections["default"]).install(tracked(reads_of(registry.all(), "default")))
        yield program


@pytest.fixture
def on_copied_maria(
    maria: mariadb.MariaDB, maria_template: dict[bool, str], django_db_blocker: DjangoDbBlocker
) -> Iterator[Program]:
    """A copy of one with a change log, in a tenth of the time; to install again makes it anew."""
    yield from _own(maria, maria_template[True], django_db_blocker)


def _own(server: mariadb.MariaDB, dump: str, blocker: DjangoDbBlocker) -> Iterator[Program]:
    name = server.make()
    server.load(name, dump)
    program = mariadb.MariaDBProgram(server, name)
    with as_default(program.url, blocker):
        yield program
    program.close()


@pytest.fixture(scope="session")
def mysql_copies(
    maria: mariadb.MariaDB, maria_template: dict[bool, str]
) -> Callable[[bool, Path], str]:
    """Make databases with (True) or without a change log; returns their addresses."""

    def copy_of(capture: bool, path: Path) -> str:
        name = maria.make()
        maria.load(name, maria_template[capture])
        return maria.url(name)

    return copy_of
