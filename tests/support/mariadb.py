"""A MariaDB server of the tests' own: on a free port, in a folder of its own, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.support.process import pause
from tests.support.program import Program
from tests.support.server import Server, free_port

PATIENCE_SECONDS = 180


class MariaDB:
    """A server.

    Args:
        options: more options of `mariadbd`.
    """

    def __init__(self, *options: str) -> None:
        self.port = free_port()
        # Not below pytest's own folders, into which the server's user may not look.
        self._folder = folder = Path(tempfile.mkdtemp(prefix="bindserver-mariadb-"))
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        self._as_user: dict[str, Any] = {}
        if os.geteuid() == 0:  # the server refuses to run as root
            group = pwd.getpwnam("mysql").pw_gid
            # By ourselves: a program in between that pauses with its child wakes it when it likes.
            self._as_user = {"user": "mysql", "group": group, "extra_groups": []}
            shutil.chown(folder, "mysql")
        self._run(
            "mariadb-install-db",
            "--no-defaults",
            f"--datadir={folder / 'data'}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            f"--tmpdir={folder}",  # a server that starts deletes what others have in a common one
        )

    def start(self) -> MariaDB:
        """Start it, and return when it answers."""
        command = [
            "mariadbd",
            "--no-defaults",
            f"--datadir={self._folder / 'data'}",
            f"--socket={self._folder / 'socket'}",
            f"--pid-file={self._folder / 'pid'}",
            f"--port={self.port}",
            f"--tmpdir={self._folder}",
            "--bind-address=127.0.0.1",
            "--innodb-flush-log-at-trx-commit=0",
            "--debug-no-sync",  # who is killed loses nothing by it; tables take half the time
            "--innodb-buffer-pool-size=64M",
            "--skip-name-resolve",
            "--default-time-zone=+00:00",  # Django, once set up, leaves TZ to whoever it starts
            *self._options,
        ]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=_environment(),
                **self._as_user,
                start_new_session=True,  # what ends a whole group of tests is for them to hand on
            )
        from MySQLdb import OperationalError  # whoever needs no MariaDB needs no driver of it

        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                self.connect("").close()
                return self
            except OperationalError:
                if self._process.poll() is not None or time.monotonic() > until:
                    text = (self._folder / "log").read_text()
                    raise RuntimeError(text) from None
                time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it, in order or at once."""
        assert self._process is not None
        self._process.send_signal(how)
        self._process.wait(PATIENCE_SECONDS)

    def pause(self) -> None:
        """Have it do nothing, as on a machine that hangs."""
        assert self._process is not None
        pause(self._process.pid)

    def go_on(self) -> None:
        """End a pause."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def remove(self) -> None:
        """End it, and take its files away."""
        self.stop()
        shutil.rmtree(self._folder)

    def connect(self, database: str, **options: Any) -> Any:
        """Return a raw connection, in autocommit mode."""
        import MySQLdb

        settings = {"user": "root", "charset": "utf8mb4", **options}
        return MySQLdb.connect(
            host="127.0.0.1", port=self.port, db=database, autocommit=True, **settings
        )

    def url(self, database: str) -> str:
        """Return the DATABASE_URL of a database."""
        return f"mysql://root@127.0.0.1:{self.port}/{database}"

    def make(self, *, like: str | None = None) -> str:
        """Make a database, empty or a copy of another, and return its name."""
        self._databases += 1
        name = f"test{self._databases}"
        connection = self.connect("")
        connection.query(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        connection.close()
        if like is not None:
            self.load(name, self.dump(like))
        return name

    def dump(self, database: str) -> str:
        """Return a database's dump, with its triggers."""
        return self._run("mariadb-dump", *self._client, "--single-transaction", database)

    def load(self, database: str, dump: str) -> None:
        """Load a dump into a database."""
        self._run("mariadb", *self._client, database, text=dump)

    @property
    def _client(self) -> list[str]:
        return ["--no-defaults", "-uroot", "-h127.0.0.1", f"-P{self.port}"]

    def _run(self, *command: str, text: str | None = None) -> str:
        done: subprocess.CompletedProcess[str] = subprocess.run(
            command,
            input=text,
            capture_output=True,
            text=True,
            env=_environment(),
            **self._as_user,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def _environment() -> dict[str, str]:
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])
    return {**os.environ, "PATH": path, "HOME": "/nonexistent"}


class MariaDBProgram(Program):
    """Another program on MariaDB.

    Args:
        server: where the database is.
        database: its name.
        options: of the connection.
    """

    NAME = "CONCAT('product ', i)"

    def __init__(self, server: MariaDB, database: str, **options: Any) -> None:
        super().__init__(server.url(database), server.connect(database, **options))

    @classmethod
    def at(cls, url: str) -> MariaDBProgram:
        """Return a program on a database, by its address."""
        address = urlsplit(url)
        server = MariaDB.__new__(MariaDB)
        server.port = int(address.port or 0)
        return cls(server, address.path.lstrip("/"))

    def run(self, sql: str, *args: Any) -> list[tuple[Any, ...]]:
        """Run a statement, with "?" or "%s" for arguments, and return its rows."""
        with self._connection.cursor() as cursor:
            cursor.execute(sql.replace("?", "%s") if args else sql, args or None)
            return list(cursor.fetchall())

    def numbers(self, first: int, last: int) -> str:
        return f"(SELECT seq AS i FROM seq_{first}_to_{last}) AS numbers"

    def clean(self) -> None:
        self.run("SET foreign_key_checks = 0")  # it minds them row by row
        super().clean()
        self.run("SET foreign_key_checks = 1")

    def age(self, seconds: int) -> None:
        for (number,) in self.run("SELECT id FROM bindserver_log"):  # others may be locked
            self.run("UPDATE bindserver_log SET at = at - %s WHERE id = %s", seconds, number)


def served(server: MariaDB, database: str, folder: Path, **settings: Any) -> Server:
    """Return a server of ours on a database, not started yet."""
    return Server(folder / "server", settings, environment={"DATABASE_URL": server.url(database)})


def prepare(server: Server, *, capture: bool = True) -> None:
    """Make the tables: those that others refer to first."""
    server.manage("migrate", "--verbosity", "0")
    server.prepare(capture=capture)
