"""Databases and servers for tests. Every database is a copy of one that was migrated once."""

from __future__ import annotations

import shutil
import sqlite3
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.db import connections
from django.db.backends.sqlite3.base import DatabaseWrapper
from pytest_django import DjangoDbBlocker

from tests.support.server import Server

pytest_plugins = ["tests.support.chromium"]

TABLES: tuple[str, ...] = (
    "app_product_tags",
    "app_product",
    "app_category",
    "app_tag",
    "app_restaurant",
)
TABLES += ("app_parcel", "app_tallshelf", "app_shelf", "app_note")
TABLES += ("app_place", "app_token", "app_word", "app_membership", "auth_user", "django_session")


RIGHTS = ("auth_user_user_permissions", "auth_user_groups", "auth_group_permissions", "auth_group")
TABLES = (*RIGHTS, "authtoken_token", *TABLES)


class Program:
    """Another program, which writes to a database with plain SQL and knows nothing of Django."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection = sqlite3.connect(
            path, timeout=20, isolation_level=None, check_same_thread=False
        )
        # Whoever forgets to close it, on whichever thread that comes to light.
        weakref.finalize(self, self._connection.close)
        self._connection.execute("PRAGMA foreign_keys = ON")

    def run(self, sql: str, *args: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, args).fetchall()

    def add_products(self, count: int, first: int = 1, **values: Any) -> None:
        """Insert products named after their keys, in one statement."""
        row = {"price": 1, "stock": 0, "active": 1, "category_id": None, **values}
        self.run(
            "WITH RECURSIVE n(i) AS (VALUES(?) UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
            "INSERT INTO app_product (id, name, price, stock, active, category_id) "
            "SELECT i, 'product ' || i, ?, ?, ?, ? FROM n",
            *(first, first + count - 1, *row.values()),
        )

    def log_in(self, name: str, expires: str = "2100-01-01 00:00:00") -> dict[str, str]:
        """Make a user and a session of theirs, and return the headers of a browser that has it."""
        user = User(username=name, password="!", pk=1 + len(self.run("SELECT 1 FROM auth_user")))
        row = (user.pk, name, user.password, "", "", "", "2026-01-01", 0, 0, 1)
        self.run(
            "INSERT INTO auth_user (id, username, password, first_name, last_name, email, "
            "date_joined, is_superuser, is_staff, is_active) VALUES (?,?,?,?,?,?,?,?,?,?)",
            *row,
        )
        session = {
            SESSION_KEY: str(user.pk),
            BACKEND_SESSION_KEY: "django.contrib.auth.backends.ModelBackend",
            HASH_SESSION_KEY: user.get_session_auth_hash(),
        }
        key = f"sessionof{name}".ljust(32, "0")
        data = SessionStore().encode(session)
        self.run("INSERT INTO django_session VALUES (?, ?, ?)", key, data, expires)
        return {"Cookie": f"sessionid={key}"}

    def clean(self) -> None:
        with self.transaction():
            for table in TABLES:
                self.run(f"DELETE FROM {table}")

    def transaction(self) -> _Transaction:
        return _Transaction(self)

    def close(self) -> None:
        self._connection.close()


class _Transaction:
    def __init__(self, program: Program) -> None:
        self._program = program

    def __enter__(self) -> None:
        self._program.run("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, *_: object) -> None:
        self._program.run("COMMIT" if kind is None else "ROLLBACK")


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """A migrated database without (False) and with (True) a change log."""
    folder = tmp_path_factory.mktemp("template")
    plain = Server(folder / "plain.sqlite3").prepare(capture=False)
    logged = Server(folder / "logged.sqlite3")
    shutil.copy(plain.database, logged.database)
    logged.manage("bindings", "capture", "install")
    return {False: plain.database, True: logged.database}


MakeServer = Callable[..., Server]


@pytest.fixture(scope="module")
def make_server(
    template: dict[bool, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MakeServer]:
    """Make servers, each on its own copy of the database; all are ended with the module."""
    made: list[Server] = []

    def make(
        capture: bool = True, environment: dict[str, str] | None = None, **settings: Any
    ) -> Server:
        path = tmp_path_factory.mktemp("server") / "db.sqlite3"
        shutil.copy(template[capture], path)
        server = Server(path, settings, environment=environment)
        made.append(server)
        return server

    yield make
    for server in made:
        server.stop()
    logs = "".join(server.log.read_text() for server in made if server.log.exists())
    assert "Task exception was never retrieved" not in logs, logs


@pytest.fixture(scope="module")
def server(make_server: MakeServer) -> Server:
    """One server for all tests of a module."""
    return make_server().start()


@pytest.fixture
def program(server: Server) -> Iterator[Program]:
    """Another program that writes to the module's server's database, which is empty now."""
    program = Program(server.database)
    program.clean()
    yield program
    program.close()


@pytest.fixture
def database(
    template: dict[bool, Path], tmp_path: Path, django_db_blocker: DjangoDbBlocker
) -> Iterator[Path]:
    """A database of the test's own, with a change log, as this process's "default"."""
    path = tmp_path / "own.sqlite3"
    shutil.copy(template[True], path)
    yield from _as_default(path, django_db_blocker)


@pytest.fixture
def bare_database(
    template: dict[bool, Path], tmp_path: Path, django_db_blocker: DjangoDbBlocker
) -> Iterator[Path]:
    """The same without a change log."""
    path = tmp_path / "bare.sqlite3"
    shutil.copy(template[False], path)
    yield from _as_default(path, django_db_blocker)


def _as_default(path: Path, blocker: DjangoDbBlocker) -> Iterator[Path]:
    usual = connections["default"]
    shared = connections.settings["default"]  # what threads make connections of their own from
    name, shared["NAME"] = shared["NAME"], str(path)
    with blocker.unblock():
        own = DatabaseWrapper(dict(shared), "default")
        connections["default"] = own
        try:
            yield path
        finally:
            own.close()
            connections["default"] = usual
            shared["NAME"] = name
