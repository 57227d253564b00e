"""Where the database is: a file, or a real server in a temporary folder, which may be killed."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Protocol

from tests.support.mariadb import MariaDB
from tests.support.postgresql import Cluster


class Home(Protocol):
    """A database with somebody who keeps it."""

    vendor: str
    url: str

    def start(self) -> None:
        """Make it, and start whoever keeps it."""

    def restart(self, *, crash: bool) -> bool:
        """End whoever keeps it, and start them again; return whether there is somebody."""

    def stop(self) -> None:
        """End whoever keeps it."""


class SQLiteHome:
    """A file in a folder."""

    vendor = "sqlite"

    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:///{folder / 'oracle.sqlite3'}"

    def start(self) -> None:
        pass

    def restart(self, *, crash: bool) -> bool:
        return False

    def stop(self) -> None:
        pass


class PostgreSQLHome:
    """A cluster in a folder."""

    vendor = "postgresql"

    def __init__(self, folder: Path) -> None:
        self._cluster = Cluster(folder / "postgresql")
        self.url = self._cluster.url("test1")

    def start(self) -> None:
        self._cluster.make().start()
        assert self._cluster.make_database() == "test1"

    def restart(self, *, crash: bool) -> bool:
        self._cluster.restart("immediate" if crash else "fast")
        return True

    def stop(self) -> None:
        self._cluster.stop("immediate")


class MariaDBHome:
    """A server in a folder of its own."""

    vendor = "mysql"

    def __init__(self, folder: Path) -> None:
        # What is committed must outlive the server's process, if not the machine.
        self._server = MariaDB("--innodb-flush-log-at-trx-commit=2")
        self.url = self._server.url("test1")

    def start(self) -> None:
        self._server.start()
        assert self._server.make() == "test1"

    def restart(self, *, crash: bool) -> bool:
        self._server.stop(signal.SIGKILL if crash else signal.SIGTERM)
        self._server.start()
        return True

    def stop(self) -> None:
        self._server.remove()


HOMES: dict[str, type[SQLiteHome] | type[PostgreSQLHome] | type[MariaDBHome]] = {
    home.vendor: home for home in (SQLiteHome, PostgreSQLHome, MariaDBHome)
}
