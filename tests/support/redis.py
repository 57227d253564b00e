"""A real Redis server, as a process of its own, which tests may kill and bring back."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path

from tests.support.server import free_port

PATIENCE_SECONDS = 60


class Redis:
    """A Redis on a free port of 127.0.0.1, which keeps nothing on disk.

    Args:
        folder: where it may write.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> Redis:
        """Start it, always on the same port, and return when it answers."""
        binary = shutil.which("redis-server")
        assert binary, "redis-server is missing: apt-get install redis-server"
        self._process = subprocess.Popen(
            [binary, "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""],
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
        )
        until = time.monotonic() + PATIENCE_SECONDS
        while not self.answers():
            assert time.monotonic() < until, "redis-server does not answer"
            time.sleep(0.02)
        return self

    def answers(self) -> bool:
        """Return whether it can be spoken to."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
                probe.sendall(b"PING\r\n")
                return probe.recv(64).startswith(b"+PONG")
        except OSError:
            return False

    def command(self, *words: str) -> None:
        """Have it do something."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as talk:
            talk.sendall(" ".join(words).encode() + b"\r\n")
            assert not talk.recv(256).startswith(b"-")

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Redis:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()
