"""Backups: a database that is put back has never seen what positions from before have.

PostgreSQL's own are tried in `tests/servers/test_postgresql_outages.py`, with a
server that may be stopped.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Protocol

import pytest
from django.db import connections

from bindserver.capture.log import Log, log_of
from bindserver.capture.mysql.marks import parse
from bindserver.engine.changes import Position
from tests.databases.capture.logged import Another, add, keys, since
from tests.support.mariadb import MariaDB


class Restorable(Protocol):
    """A database that can be put back to what it was."""

    def save(self) -> Any:
        """Return a backup."""

    def restore(self, backup: Any) -> None:
        """Put a backup in the database's place."""

    def number_of(self, position: Position) -> int:
        """Return the number of the last entry before a position."""


class RestorableFile:
    """A file of SQLite."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def save(self) -> Path:
        connections["default"].close()
        return Path(shutil.copy(self._path, self._path.with_suffix(".backup")))

    def restore(self, backup: Path) -> None:
        connections["default"].close()
        shutil.copy(backup, self._path)

    def number_of(self, position: Position) -> int:
        return int(position.mark.split(".")[0])


class RestorableDump:
    """A database on MariaDB."""

    def __init__(self, server: MariaDB, name: str) -> None:
        self._server, self._name = server, name

    def save(self) -> str:
        return self._server.dump(self._name)

    def restore(self, backup: str) -> None:
        self._server.load(self._name, backup)

    def number_of(self, position: Position) -> int:
        return parse(position.mark).high


@pytest.fixture
def restorable(url: str, vendor: str, request: pytest.FixtureRequest) -> Restorable:
    """The database, which can be put back."""
    if vendor == "mysql":
        return RestorableDump(request.getfixturevalue("maria"), url.rpartition("/")[2])
    return RestorableFile(Path(url.removeprefix("sqlite:///")))


@pytest.mark.parametrize("vendor", ["sqlite", "mysql"], indirect=True)
def test_a_restored_backup_proves_nothing_about_what_it_never_saw(
    log: Log, another: Another, restorable: Restorable
) -> None:
    """The entries that it gets have numbers that positions from before know as other ones."""
    write(another, 1)
    shared = log.position()
    backup = restorable.save()
    write(another, 2, 3, 4)
    lost = log.position()
    restorable.restore(backup)
    write(another, 20, 21, 22)
    fresh = log_of(connections["default"])
    assert restorable.number_of(fresh.position()) == restorable.number_of(lost)
    for reader in (log, fresh):
        assert reader.changes(lost) is None
        assert since(reader, shared) == keys(20, 21, 22)


def write(another: Another, *numbers: int) -> None:
    """Write categories by a program that is closed again, so that it holds no file."""
    program = another()
    add(program, *numbers)
    program.close()
