"""One PostgreSQL server for all tests, and databases that are copies of a migrated one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest_django import DjangoDbBlocker

from tests.support.default import as_default
from tests.support.postgresql import Cluster, own_cluster, write_as_sqlite_does
from tests.support.server import Server


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Cluster]:
    """The server that tests share; one that harms its server makes its own."""
    with own_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def postgresql_templates(
    postgresql: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> dict[bool, str]:
    """Migrated databases without (False) and with (True) a change log."""
    return make_templates(postgresql, tmp_path_factory.mktemp("postgresql"))


def make_templates(cluster: Cluster, folder: Path) -> dict[bool, str]:
    """Migrate a database, and install a change log in a copy of it."""
    plain = cluster.make_database()
    with cluster.connect(plain) as connection:
        write_as_sqlite_does(connection)
    Server(folder / "plain", url=cluster.url(plain)).prepare(capture=False)
    logged = cluster.make_database(plain)
    Server(folder / "logged", url=cluster.url(logged)).manage("bindings", "capture", "install")
    return {False: plain, True: logged}


@pytest.fixture(scope="session")
def postgresql_copies(
    postgresql: Cluster, postgresql_templates: dict[bool, str]
) -> Callable[[bool, Path], str]:
    """Make PostgreSQL databases with (True) or without a change log; returns their addresses."""

    def copy_of(capture: bool, path: Path) -> str:
        return postgresql.url(postgresql.make_database(postgresql_templates[capture]))

    return copy_of


@pytest.fixture
def postgresql_database(
    postgresql: Cluster,
    postgresql_templates: dict[bool, str],
    django_db_blocker: DjangoDbBlocker,
) -> Iterator[str]:
    """A database of the test's own, with a change log, as this process's "default"."""
    yield from _own(postgresql, postgresql_templates[True], django_db_blocker)


@pytest.fixture
def bare_postgresql_database(
    postgresql: Cluster,
    postgresql_templates: dict[bool, str],
    django_db_blocker: DjangoDbBlocker,
) -> Iterator[str]:
    """The same without a change log."""
    yield from _own(postgresql, postgresql_templates[False], django_db_blocker)


def _own(cluster: Cluster, template: str, blocker: DjangoDbBlocker) -> Iterator[str]:
    name = cluster.make_database(template)
    with as_default(cluster.url(name), blocker) as url:
        yield url
    cluster.drop_database(name)
