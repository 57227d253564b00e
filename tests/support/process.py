"""Any program that listens on a port, started and stopped for a test."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

PATIENCE_SECONDS = 60
START_SECONDS = 180
"""How long a program may take to start; while ten others want each core, a minute is too short."""

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell has put the tests into the background. What they start would ignore Ctrl-C as well.
    signal.signal(signal.SIGINT, signal.default_int_handler)

if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
    # Whoever ends the tests ends what they have started: at once they would leave it all behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


class Process:
    """A program with its output in a file.

    Args:
        command: what to run.
        port: where it will listen, a port or a Unix socket; `start` returns when it does.
        env: its whole environment.
        cwd: its folder.
        log: the file for what it prints.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        port: int | Path,
        env: Mapping[str, str],
        cwd: Path,
        log: Path,
    ) -> None:
        self.port = port
        self._command = [str(part) for part in command]
        self._env = dict(env)
        self._cwd = cwd
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """What it has printed."""
        return self._log.read_text()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def status(self) -> int | None:
        """Return with which status it has ended; None while it runs."""
        assert self._process is not None
        return self._process.poll()

    def start(self) -> Process:
        """Start it, and return when its port answers."""
        self.launch()
        return self.answering()

    def launch(self) -> None:
        """Start it."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._cwd,
                env=self._env,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def answering(self) -> Process:
        """Return when its port answers.

        Raises:
            RuntimeError: it has ended instead, or took too long.
        """
        assert self._process is not None
        until = time.monotonic() + START_SECONDS
        while not listens(self.port):
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(self.log)
            time.sleep(0.05)
        return self

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end, and return its status."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(how)
        try:
            return self._process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def interrupt(self) -> int:
        """Press Ctrl-C, which its children get too, and return its status."""
        os.killpg(self.pid, signal.SIGINT)
        assert self._process is not None
        return self._process.wait(PATIENCE_SECONDS)

    def kill(self) -> None:
        """End it and all that it started, at once."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self._process.wait(PATIENCE_SECONDS)

    def get(self, path: str) -> tuple[int, str]:
        """Return the status and the text of a page, by its path without the first slash."""
        return get(f"http://127.0.0.1:{self.port}/{path}")

    def __enter__(self) -> Process:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def pause(pid: int) -> None:
    """Have a process do nothing, and return when all its threads do.

    Raises:
        TimeoutError: some go on; perhaps somebody has ended the pause meanwhile.
    """
    os.kill(pid, signal.SIGSTOP)
    until = time.monotonic() + PATIENCE_SECONDS
    while not all(_is_stopped(task) for task in Path(f"/proc/{pid}/task").iterdir()):
        if time.monotonic() > until:
            raise TimeoutError(f"process {pid} does not stop")
        time.sleep(0.001)


def _is_stopped(task: Path) -> bool:
    try:
        return (task / "stat").read_text().rpartition(")")[2].split()[0] in "TZ"
    except (FileNotFoundError, ProcessLookupError):
        return True  # it has ended


def get(url: str, **headers: str) -> tuple[int, str]:
    """Return the status and the text of a page."""
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as response:
            return int(response.status), response.read().decode()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read().decode()


def listens(port: int | Path) -> bool:
    """Return whether somebody listens on a port of this machine, or on a Unix socket."""
    if isinstance(port, Path):
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(port)) == 0
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
