"""A Gunicorn with two workers, which serves the tests' project by WSGI."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping

from tests.support.server import PATIENCE_SECONDS, ROOT, free_port


class Gunicorn:
    """The tests' project as people serve it who have no WebSocket.

    Args:
        environment: the processes' environment.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.port = free_port()
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None

    def write(self, name: str) -> int:
        """Have a worker make a product, and return its key."""
        url = f"http://127.0.0.1:{self.port}/write/{name}/"
        with urllib.request.urlopen(url, timeout=PATIENCE_SECONDS) as answer:
            return int(answer.read())

    def __enter__(self) -> Gunicorn:
        bind = f"127.0.0.1:{self.port}"
        words = ("gunicorn", "--preload", "--workers", "2", "--bind", bind, "--log-level", "error")
        self._process = subprocess.Popen(
            [sys.executable, "-m", *words, "--no-control-socket", "tests.wsgi"],
            cwd=ROOT,
            env=self._environment,
        )
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            assert self._process.poll() is None, "gunicorn has ended"
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.02)
        raise TimeoutError

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE_SECONDS)
