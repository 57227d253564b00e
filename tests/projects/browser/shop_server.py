"""The demo shop as a user runs it: a process of its own, and plain SQL beside it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.support.server import free_port

ROOT = Path(__file__).resolve().parents[3]
START_SECONDS = 30


class ShopServer:
    """A server on a free port, with `shop.db` in a folder of its own.

    Args:
        folder: where its database and its log are.
        settings: environment variables beside or in place of debug mode's.
    """

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.settings = settings
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def database(self) -> Path:
        return self.folder / "shop.db"

    def prepare(self) -> None:
        self.manage("migrate", "--verbosity", "0")
        self.manage("seed")
        self.manage("bindings", "capture", "install")

    def manage(self, *arguments: str) -> str:
        """Run a command of Django's to its end.

        Raises:
            RuntimeError: it failed; the message is what it wrote.
        """
        ended = subprocess.run(
            self.command(*arguments),
            env=self.environment(),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if ended.returncode != 0:
            raise RuntimeError(ended.stdout)
        return ended.stdout

    def start(self) -> None:
        """Start it, also again after `kill`, and wait until it answers."""
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command("bindserver", "--no-reload", "--port", str(self.port)),
                env=self.environment(),
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.folder / "server.log").read_text())
            time.sleep(0.05)

    def kill(self) -> None:
        """End it as a crash does, with no word to anybody."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.url, timeout=5) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def run_sql(self, sql: str) -> None:
        """Run a statement from another process that knows nothing of Django."""
        script = (
            "import sqlite3, sys; connection = sqlite3.connect(sys.argv[1], timeout=20); "
            "connection.execute(sys.argv[2]); connection.commit()"
        )
        subprocess.run([sys.executable, "-c", script, str(self.database), sql], check=True)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, str(ROOT / "manage.py"), *arguments]

    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "DEBUG": "1",
            "DEMO": "1",
            "DATABASE_URL": "sqlite:///shop.db",
            "DJANGO_SETTINGS_MODULE": "bindserver_project.settings",
            "PYTHONUNBUFFERED": "1",
            **self.settings,
        }
