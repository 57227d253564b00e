"""A real PostgreSQL server for tests, in a temporary folder and on a free port."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.process import pause
from tests.support.program import Program
from tests.support.server import free_port

if TYPE_CHECKING:  # whoever needs no PostgreSQL needs no driver of it
    import psycopg

USER = "postgres"
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "wal_level": "logical",
    "max_connections": "100",
    "max_prepared_transactions": "10",
    "listen_addresses": "'127.0.0.1'",
    "shared_buffers": "'64MB'",
    "max_wal_size": "'512MB'",
    "autovacuum_naptime": "'10s'",
    "log_min_messages": "warning",
    "timezone": "'UTC'",
}


class Cluster:
    """One server. Its superuser is "postgres", and whoever comes from this machine is trusted.

    Args:
        folder: an empty folder for it, which others may enter.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._data = folder / "data"
        self._made = 0

    def make(self) -> Cluster:
        """Make its files."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for parent in (self.folder, *self.folder.parents[:2]):
            with contextlib.suppress(PermissionError):
                parent.chmod(parent.stat().st_mode | 0o755)
        self.folder.chmod(0o777)
        self._run("initdb", "-D", self._data, "-U", USER, "-A", "trust", "-E", "UTF8", "-N",
                  "--locale=C.UTF-8")  # fmt: skip
        lines = [f"{name} = {value}" for name, value in SETTINGS.items()]
        lines += [f"port = {self.port}", f"unix_socket_directories = '{self.folder}'"]
        with (self._data / "postgresql.conf").open("a") as conf:
            conf.write("\n".join(lines) + "\n")
        return self

    def start(self) -> Cluster:
        """Start it, and return when it takes connections."""
        self._run("pg_ctl", "-D", self._data, "-l", self.folder / "log", "-w", "start")
        return self

    def stop(self, mode: str = "fast") -> None:
        """End it; in mode "immediate", as a crash would."""
        self._run("pg_ctl", "-D", self._data, "-m", mode, "-w", "stop", check=False)

    def is_running(self) -> bool:
        """Return whether it has been started and not ended."""
        status = [*_as_other(), _binary("pg_ctl"), "-D", str(self._data), "status"]
        return subprocess.run(status, cwd="/", stdout=subprocess.DEVNULL).returncode == 0

    def restart(self, mode: str = "fast") -> None:
        """End it and start it again."""
        self.stop(mode)
        self.start()

    def standby(self, folder: Path) -> Cluster:
        """Return a streaming standby of it, made by pg_basebackup and started."""
        other = Cluster(folder)
        folder.mkdir()
        folder.chmod(0o777)
        self._run("pg_basebackup", "-D", other._data, "-R", "-c", "fast", "-d", self.url(USER))
        with (other._data / "postgresql.conf").open("a") as conf:
            conf.write(f"port = {other.port}\nunix_socket_directories = '{folder}'\n")
        return other.start()

    def is_as_new_as(self, primary: Cluster) -> bool:
        """Return whether a standby has all that its primary has committed."""
        with primary.connect() as there, self.connect() as here:
            mark = there.execute("SELECT pg_current_wal_lsn()::text").fetchall()[0]
            return bool(
                here.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", mark).fetchall()[0][0]
            )

    def promote(self) -> None:
        """Make a standby a server that takes writes."""
        self._run("pg_ctl", "-D", self._data, "-w", "promote")

    def demote(self) -> None:
        """Start it anew as a standby, of nobody in particular."""
        self.stop()
        (self._data / "standby.signal").touch()
        self.start()

    def pause(self) -> None:
        """Have every process of it do nothing, as on a machine that hangs."""
        for pid in self._processes():
            with contextlib.suppress(ProcessLookupError, FileNotFoundError):  # it has just ended
                pause(pid)

    def go_on(self) -> None:
        """End a pause."""
        for pid in self._processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def _processes(self) -> list[int]:
        head = int((self._data / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{head}/task/{head}/children").read_text().split()
        return [head, *map(int, children)]

    def make_database(self, template: str = "template0") -> str:
        """Make a database, as a copy of another that nobody uses, and return its name."""
        from psycopg import sql as sqls

        self._made += 1
        name = f"test{self._made}"
        with self.connect() as connection:
            names = sqls.Identifier(name), sqls.Identifier(template)
            connection.execute(sqls.SQL("CREATE DATABASE {} TEMPLATE {}").format(*names))
        return name

    def drop_database(self, name: str) -> None:
        """Take a database away, whoever uses it."""
        from psycopg import sql as sqls

        with self.connect() as connection:
            connection.execute(
                sqls.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sqls.Identifier(name))
            )

    def connect(self, name: str = "postgres", **options: Any) -> psycopg.Connection[Any]:
        """Return a connection that commits each statement by itself."""
        import psycopg

        return psycopg.connect(self.url(name), autocommit=True, **options)

    def url(self, name: str) -> str:
        """Return a database's address."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{name}"

    def psql(self, name: str, text: str) -> str:
        """Type SQL into psql, and return what it prints."""
        done = subprocess.run(
            [_binary("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", self.url(name)],
            input=text,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run(self, command: str, *args: object) -> None:
        """Run one of PostgreSQL's programs."""
        self._run(command, *args)

    def output(self, command: str, *args: str) -> str:
        """Run one of PostgreSQL's programs, and return what it prints."""
        done = subprocess.run(
            [_binary(command), *args], capture_output=True, text=True, check=True, cwd="/"
        )
        return done.stdout

    def _run(self, command: str, *args: object, check: bool = True) -> None:
        done = subprocess.run(
            [*_as_other(), _binary(command), *map(str, args)],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if command != "pg_ctl" else subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if check and done.returncode:
            raise RuntimeError(f"{command}: {done.stdout or (self.folder / 'log').read_text()}")


@contextlib.contextmanager
def own_cluster() -> Iterator[Cluster]:
    """A server that runs in a folder of its own, both gone when the block is left."""
    folder = Path(tempfile.mkdtemp(prefix="bindserver-pg-"))
    cluster = Cluster(folder / "cluster")
    try:
        yield cluster.make().start()
    finally:
        cluster.stop("immediate")
        shutil.rmtree(folder, ignore_errors=True)


class Bouncer:
    """PgBouncer before a cluster, in transaction mode: no session is anybody's own.

    Args:
        cluster: the server behind it.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._config = cluster.folder / "pgbouncer.ini"
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    def url(self, name: str) -> str:
        """Return a database's address by way of it."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{name}"

    def start(self) -> Bouncer:
        """Start it, and return when it takes connections."""
        self._config.write_text(
            f"[databases]\n* = host=127.0.0.1 port={self._cluster.port} user={USER}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {self.port}\n"
            f"auth_type = any\npool_mode = transaction\ndefault_pool_size = 4\n"
            f"unix_socket_dir =\nlogfile = {self._cluster.folder}/pgbouncer.log\n"
        )
        with (self._cluster.folder / "pgbouncer.out").open("ab") as out:
            self._process = subprocess.Popen(
                [*_as_other(), shutil.which("pgbouncer") or "/usr/sbin/pgbouncer", self._config],
                cwd="/",
                stdout=out,
                stderr=out,
            )
        wait_for(self._answers)
        return self

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        """End it; runuser hands the signal on."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait(30)


class PostgreSQLProgram(Program):
    """Another program on PostgreSQL.

    Args:
        url: the database's address.
    """

    def __init__(self, url: str) -> None:
        import psycopg

        kind = psycopg.ClientCursor
        super().__init__(url, psycopg.connect(url, autocommit=True, cursor_factory=kind))

    @property
    def pid(self) -> int:
        """Its backend's process id."""
        return int(self._connection.info.backend_pid)

    def run(self, sql: str, *args: Any) -> list[tuple[Any, ...]]:
        cursor = self._connection.execute(sql.replace("?", "%s") if args else sql, args or None)
        return list(cursor.fetchall()) if cursor.description else []

    def write_as_sqlite_does(self) -> None:
        """Let 0 and 1 be written into boolean columns of its database."""
        write_as_sqlite_does(self._connection)

    def numbers(self, first: int, last: int) -> str:
        return f"generate_series({first}, {last}) AS i"

    def age(self, seconds: int) -> None:
        wait_for(self._is_without_autovacuum)  # whose transaction would be older than the entries
        self.run(f"UPDATE bindserver_log SET at = at - interval '{seconds} s'")
        self.run(
            "INSERT INTO bindserver_meta SELECT 'seen:' || pg_snapshot_xmin(pg_current_snapshot()),"
            " extract(epoch FROM now()) - ?",
            seconds,
        )

    def _is_without_autovacuum(self) -> bool:
        workers = "backend_type = 'autovacuum worker' AND backend_xid IS NOT NULL"
        return not self.run(f"SELECT FROM pg_stat_activity WHERE {workers}")


def write_as_sqlite_does(connection: psycopg.Connection[Any]) -> None:
    """Let 0 and 1 be written into boolean columns, so that tests can say one thing everywhere."""
    connection.execute(
        "UPDATE pg_cast SET castcontext = 'a' "
        "WHERE castsource = 'int4'::regtype AND casttarget = 'bool'::regtype"
    )


def wait_for(done: Any, seconds: float = 30) -> None:
    """Wait until `done()`."""
    until = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < until
        time.sleep(0.02)


def find_binaries() -> Path | None:
    """Return the folder with the newest PostgreSQL server's programs."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"),
        key=lambda path: [int(n) for n in re.findall(r"\d+", path.parts[-3])],
    )
    if found:
        return found[-1].parent
    here = shutil.which("initdb")
    return Path(here).resolve().parent if here else None


def _binary(name: str) -> str:
    folder = find_binaries()
    assert folder is not None, (
        "PostgreSQL is missing. On Debian or Ubuntu: apt-get install postgresql"
    )
    return str(folder / name)


def _as_other() -> list[str]:
    """PostgreSQL does not run as root."""
    if os.getuid() != 0:
        return []
    with contextlib.suppress(KeyError):
        pwd.getpwnam(USER)
        return ["runuser", "-u", USER, "--"]
    return ["runuser", "-u", "nobody", "--"]
