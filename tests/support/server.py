"""A real server, as a process of its own, on a free port of 127.0.0.1."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.process import START_SECONDS

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 60
PORTS = range(10_000, 32_000)
COMMAND = (sys.executable, "manage.py", "bindserver")


class Server:
    """The tests' project, served by `manage.py bindserver`.

    Args:
        database: the SQLite file; made, migrated and given a change log by `prepare`.
        settings: the project's BINDSERVER setting.
        module: the settings module.
        environment: more for the processes' environment.
        url: the database's address, if it is no file; `database` then only names the server's own.
        port: where to listen; a free one if left out.
        workers: how many processes serve.
    """

    def __init__(
        self,
        database: Path,
        settings: Mapping[str, Any] | None = None,
        module: str = "tests.settings",
        environment: Mapping[str, str] | None = None,
        *,
        url: str | None = None,
        port: int | None = None,
        workers: int = 1,
    ) -> None:
        self._workers = workers
        self.database = database
        self.url = url or f"sqlite:///{database}"
        self.log = database.with_suffix(".log")
        self.port = port or free_port()
        self.environment = {
            **os.environ,
            "DATABASE_URL": self.url,
            "DJANGO_SETTINGS_MODULE": module,
            "BINDSERVER": json.dumps(dict(settings or {})),
            "PYTHONUNBUFFERED": "1",
            **(environment or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws/"

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port}/bindings/"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def prepare(self, *, capture: bool = True) -> Server:
        """Make the tables, and the change log unless it is not wanted."""
        if not self.url.startswith("sqlite:"):  # which minds that a table points to none yet
            self.manage("migrate", "--verbosity", "0")
        self.manage("migrate", "--run-syncdb", "--verbosity", "0")
        if capture:
            self.manage("bindings", "capture", "install")
        return self

    def manage(self, *args: str) -> str:
        """Run a management command and return what it printed."""
        done = subprocess.run(
            [sys.executable, "manage.py", *args],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self) -> Server:
        """Start serving, and return when the port answers and this server has said that it is it.

        Another's, which took the port since it was found free, would answer as well.
        """
        said = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*COMMAND, "--port", str(self.port), "--workers", str(self._workers)],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            if self._process.poll() is not None:
                raise RuntimeError(self.log.read_text())
            with socket.socket() as probe:
                answers = probe.connect_ex(("127.0.0.1", self.port)) == 0
            if answers and f":{self.port}/".encode() in self.log.read_bytes()[said:]:
                return self
            time.sleep(0.02)
        raise TimeoutError(self.log.read_text())

    def kill(self) -> None:
        """End the process at once, as a crash would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End the process in order."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(how)
            self._process.wait(PATIENCE_SECONDS)

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def free_port() -> int:
    """Return a port that nobody listens on.

    It is none of those that the kernel gives to connections, or one of theirs might take it before
    a server does; and a random one, as several processes run tests.
    """
    while True:
        port = secrets.choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
