"""Databases and servers for tests. Every database is a copy of one that was migrated once."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from pytest_django import DjangoDbBlocker

from bindserver import logs
from bindserver.bindings.registry import registry
from tests.support import opened
from tests.support.default import as_default
from tests.support.mariadb import MariaDBProgram
from tests.support.postgresql import PostgreSQLProgram
from tests.support.program import Program
from tests.support.server import Server
from tests.support.sqlite import SQLiteProgram
from tests.support.talk import Talk, talking

pytest_plugins = [
    "tests.support.chromium",
    "tests.support.mariadb_fixtures",
    "tests.support.postgresql_fixtures",
    "tests.support.shop",
    "tests.support.turning_fixtures",
]


@pytest.fixture(autouse=True)
def close_programs() -> Iterator[None]:
    """Close the programs that a test has opened, though it failed before it could."""
    with opened.closing():
        yield


@pytest.fixture(autouse=True)
def log_anew() -> None:
    """Have the log told again what an earlier test has had it told."""
    logs.forget()


@pytest.fixture(autouse=True)
def forget_bindings() -> Iterator[None]:
    """Leave the registry as it was: another test's hub would call `message` of its bindings."""
    known = registry.all()
    yield
    for binding in registry.all():
        if binding not in known:
            registry.remove(binding)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """A migrated database without (False) and with (True) a change log; made once for all
    processes that share a run."""
    run = tmp_path_factory.getbasetemp()
    folder = run.parent if "PYTEST_XDIST_WORKER" in os.environ else run
    with made_once(folder / "template") as new:
        plain = Server(folder / "template/plain.sqlite3")
        logged = Server(folder / "template/logged.sqlite3")
        if new:
            plain.prepare(capture=False)
            shutil.copy(plain.database, logged.database)
            logged.manage("bindings", "capture", "install")
    return {False: plain.database, True: logged.database}


@contextmanager
def made_once(folder: Path) -> Iterator[bool]:
    """Say whether a folder is to be filled: by whoever comes first, while the others wait."""
    done = folder / "done"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        new = not done.exists()
        yield new
        done.touch()


MakeServer = Callable[..., Server]

EVERY_DATABASE = pytest.mark.every_database
"""For a module whose tests say what holds on every kind of database."""

VENDORS = ("sqlite", "postgresql", "mysql")

BARE = {
    "mysql": "on_own_maria",
    "postgresql": "bare_postgresql_database",
    "sqlite": "bare_database",
}
"""Which fixture makes a database of a kind, without a change log, this process's "default"."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run such tests on each, if they have a server at all."""
    wanted = metafunc.definition.get_closest_marker("every_database") is not None
    if wanted and "vendor" in metafunc.fixturenames:
        metafunc.parametrize("vendor", VENDORS, indirect=True, scope="module")


@pytest.fixture(scope="module")
def vendor(request: pytest.FixtureRequest) -> str:
    """The kind of database that the module's servers have, by Django's name."""
    return str(getattr(request, "param", os.environ.get("TEST_VENDOR", "sqlite")))


@pytest.fixture
def only_sqlite(vendor: str) -> None:
    """For what only SQLite has, in a module for every database."""
    if vendor != "sqlite":
        pytest.skip("this is about SQLite")


@pytest.fixture(scope="module")
def make_server(
    vendor: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MakeServer]:
    """Make servers, each on its own copy of the database; all are ended with the module."""
    made: list[Server] = []
    ends = ExitStack()  # one that will not end keeps no other from it
    copy_of = request.getfixturevalue(f"{vendor}_copies")

    def make(
        capture: bool = True,
        environment: dict[str, str] | None = None,
        on: Server | None = None,
        workers: int = 1,
        **settings: Any,
    ) -> Server:
        path = tmp_path_factory.mktemp("server") / "db.sqlite3"
        url = copy_of(capture, path) if on is None else on.url
        server = Server(path, settings, environment=environment, url=url, workers=workers)
        made.append(server)
        ends.callback(server.stop)
        return server

    with ends:
        yield make
    logs = "".join(server.log.read_text() for server in made if server.log.exists())
    assert "Task exception was never retrieved" not in logs, logs


@pytest.fixture(scope="session")
def sqlite_copies(template: dict[bool, Path]) -> Callable[[bool, Path], str]:
    """Make SQLite databases with (True) or without a change log; returns their addresses."""

    def copy_of(capture: bool, path: Path) -> str:
        shutil.copy(template[capture], path)
        return f"sqlite:///{path}"

    return copy_of


def program_on(server: Server) -> Program:
    """Return another program that writes to a server's database."""
    return program_at(server.url)


def address_of(given: Path | str | Program) -> str:
    """Return a database's address by what its fixture gives: a file, the address, a program."""
    if isinstance(given, Path):
        return f"sqlite:///{given}"
    return given if isinstance(given, str) else given.url


def program_at(url: str) -> Program:
    """Return another program that writes to a database, by its address."""
    if url.startswith("postgresql:"):
        return PostgreSQLProgram(url)
    if url.startswith("mysql:"):
        return MariaDBProgram.at(url)
    return SQLiteProgram(Path(url.removeprefix("sqlite:///")))


@pytest.fixture(scope="module")
def server(make_server: MakeServer) -> Server:
    """One server for all tests of a module."""
    return make_server().start()


@pytest.fixture
def program(server: Server) -> Iterator[Program]:
    """Another program that writes to the module's server's database, which is empty now."""
    program = program_on(server)
    program.clean()
    yield program
    program.close()


@pytest.fixture
async def talk(server: Server, program: Program) -> AsyncIterator[Talk]:
    """A connection to the module's server, whose database is empty."""
    async with talking(server.ws) as talk:
        yield talk


@pytest.fixture
def database(
    template: dict[bool, Path], tmp_path: Path, django_db_blocker: DjangoDbBlocker
) -> Iterator[Path]:
    """A database of the test's own, with a change log, as this process's "default"."""
    yield from _own(template[True], tmp_path, django_db_blocker)


@pytest.fixture
def bare_database(
    template: dict[bool, Path], tmp_path: Path, django_db_blocker: DjangoDbBlocker
) -> Iterator[Path]:
    """The same without a change log."""
    yield from _own(template[False], tmp_path, django_db_blocker)


def _own(template: Path, folder: Path, blocker: DjangoDbBlocker) -> Iterator[Path]:
    path = folder / "own.sqlite3"
    shutil.copy(template, path)
    with as_default(f"sqlite:///{path}", blocker):
        yield path
