"""Databases for benchmarks, one class for each kind: all in a folder, gone afterwards."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import MySQLdb

from benchmarks.load import Execute, Script, transactions_per_second
from tests.support.mariadb import MariaDB, MariaDBProgram
from tests.support.postgresql import Cluster, PostgreSQLProgram, find_binaries, write_as_sqlite_does
from tests.support.program import Program
from tests.support.server import Server

TICKS = os.sysconf("SC_CLK_TCK")
SETTINGS = "tests.settings"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A database with the tests' tables.

    Attributes:
        server: a server of ours on it, not started.
        kind: what is called to have another program on it.
        arguments: with these.
    """

    server: Server
    kind: Callable[..., Any]
    arguments: tuple[Any, ...]

    @property
    def url(self) -> str:
        """Its address."""
        return self.server.url

    def program(self) -> Any:
        """Return another program, which writes."""
        return self.kind(*self.arguments)


class Home(Protocol):
    """A kind of database, and whoever keeps it."""

    def make(self, *, logged: bool = True, settings: str = SETTINGS) -> Place:
        """Make a database, with a change log or without, for a project with these settings."""

    def rate(self, place: Place, script: Script, writers: int, seconds: float) -> float:
        """Return how many transactions of a script writers do in a second, at full speed."""

    def computed(self) -> float:
        """Return how long the database has computed for servers of ours, in seconds."""

    def stop(self) -> None:
        """End it."""


class SQLite:
    """Files. One program writes at a time, so that is how many are measured.

    Args:
        folder: for its files.
        durable: whether a commit waits for the disk, as it does in production.
    """

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        self._folder = folder
        self._durable = durable

    def make(self, *, logged: bool = True, settings: str = SETTINGS) -> Place:
        path = self._folder / f"{'logged' if logged else 'plain'}.sqlite3"
        server = Server(path, module=settings)
        with sqlite3.connect(server.database) as database:
            database.execute("PRAGMA journal_mode=WAL")
        server.prepare(capture=logged)
        return Place(server=server, kind=Program, arguments=(server.database,))

    def rate(self, place: Place, script: Script, writers: int, seconds: float) -> float:
        def connect() -> Execute:
            path = place.server.database
            connection = sqlite3.connect(path, timeout=60, isolation_level=None)
            connection.execute(f"PRAGMA synchronous={'FULL' if self._durable else 'OFF'}")
            return connection.execute

        return transactions_per_second(connect, script.told("last_insert_rowid()"), 1, seconds)

    def computed(self) -> float:
        return 0.0

    def stop(self) -> None:
        pass


class PostgreSQL:
    """One server of PostgreSQL. The arguments are those of `SQLite`."""

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        self._cluster = Cluster(folder / "cluster").make().start()
        if durable:
            with self._cluster.connect() as connection:
                connection.execute("ALTER SYSTEM SET fsync = on")
                connection.execute("SELECT pg_reload_conf()")

    def make(self, *, logged: bool = True, settings: str = SETTINGS) -> Place:
        name = self._cluster.make_database()
        with self._cluster.connect(name) as connection:
            write_as_sqlite_does(connection)
        url = self._cluster.url(name)
        server = Server(self._cluster.folder / name, module=settings, url=url)
        server.prepare(capture=logged)
        return Place(server=server, kind=PostgreSQLProgram, arguments=(url,))

    def rate(self, place: Place, script: Script, writers: int, seconds: float) -> float:
        folder = find_binaries()
        assert folder is not None
        path = self._cluster.folder / "script.sql"
        path.write_text(script.told("lastval()").for_pgbench())
        done = subprocess.run(
            [folder / "pgbench", "-n", "-M", "prepared", "-c", str(writers),
             "-T", str(max(1, round(seconds))), "-f", path, place.url],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        found = re.search(r"tps = ([\d.]+)", done.stdout)
        assert found, done.stdout
        return float(found[1])

    def computed(self) -> float:
        with self._cluster.connect() as connection:
            pids = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE application_name = 'bindserver'"
            ).fetchall()
        return sum(cpu_of(pid) for (pid,) in pids)

    def stop(self) -> None:
        self._cluster.stop("immediate")


class MySQL:
    """One server of MariaDB. The arguments are those of `SQLite`."""

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        self._folder = folder
        self._maria = MariaDB(f"--innodb-flush-log-at-trx-commit={int(durable)}").start()
        connection = self._maria.connect("")
        connection.query("SELECT @@pid_file")
        self._pid = int(Path(connection.store_result().fetch_row()[0][0]).read_text())
        connection.close()

    def make(self, *, logged: bool = True, settings: str = SETTINGS) -> Place:
        name = self._maria.make()
        server = Server(self._folder / name, module=settings, url=self._maria.url(name))
        server.prepare(capture=logged)
        return Place(server=server, kind=MariaDBProgram.at, arguments=(server.url,))

    def rate(self, place: Place, script: Script, writers: int, seconds: float) -> float:
        def connect() -> Execute:
            address = urlsplit(place.url)
            connection = MySQLdb.connect(
                host=address.hostname, port=address.port, user="root",
                db=address.path.lstrip("/"), autocommit=True,
            )  # fmt: skip
            query: Execute = connection.query
            return query

        told = script.told("LAST_INSERT_ID()")
        return transactions_per_second(connect, told, writers, seconds)

    def computed(self) -> float:
        return cpu_of(self._pid)

    def stop(self) -> None:
        self._maria.remove()


HOMES: dict[str, type[SQLite | PostgreSQL | MySQL]] = {
    "sqlite": SQLite,
    "postgresql": PostgreSQL,
    "mysql": MySQL,
}


def cpu_of(pid: int) -> float:
    """Return how long a process has computed, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS
