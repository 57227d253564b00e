"""Whoever ends a run of tests, by Ctrl-C or as a machine does, ends all that it has started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.postgresql import wait_for
from tests.support.server import ROOT

PATIENCE_SECONDS = 60
SIGNALS = [signal.SIGINT, signal.SIGTERM]
TEST = """
import asyncio, sys
from pathlib import Path
from tests.support.mariadb import MariaDB
from tests.support.postgresql import own_cluster
from tests.support.process import Process
from tests.support.server import free_port

async def test_with_servers(tmp_path):
    with own_cluster() as cluster:
        mariadb = MariaDB()
        try:
            mariadb.start()
            pids = [cluster._processes()[0], int((mariadb._folder / "pid").read_text())]
            port = free_port()
            command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
            with Process(command, port=port, env={}, cwd=tmp_path, log=tmp_path / "log") as server:
                (Path(__file__).parent / "pids").write_text(f"{[*pids, server.pid]}\\n")
                await asyncio.Event().wait()
        finally:
            mariadb.remove()
"""


STARTING_SECONDS = 240
"""How long three servers may take to start while others have the processors."""


@contextmanager
def running(folder: Path, *command: str, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run one of our programs, as whoever starts it from a shell."""
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), **env},
            stdout=out,
            stderr=out,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait(PATIENCE_SECONDS)


def below(pid: int) -> set[int]:
    """Return the processes that one has started, and those that these have."""
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        found.update(map(int, (task / "children").read_text().split()))
    return found.union(*map(below, found))


def are_gone(pids: set[int]) -> bool:
    """Return whether no process of these is left."""
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


@pytest.mark.parametrize("how", SIGNALS)
def test_strangers_that_are_interrupted_leave_no_process_behind(
    tmp_path: Path, how: signal.Signals
) -> None:
    with running(tmp_path, "tests.strangers", "small", TMPDIR=str(tmp_path)) as runner:
        wait_for(
            lambda: any("http" in log.read_text() for log in tmp_path.glob("*/server.log")),
            STARTING_SECONDS,
        )
        started = below(runner.pid)
        assert len(started) >= 2  # the server and the writer
        runner.send_signal(how)
        assert runner.wait(PATIENCE_SECONDS) != 0
        wait_for(lambda: are_gone(started))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("how", SIGNALS)
def test_tests_that_are_interrupted_leave_no_server_behind(
    tmp_path: Path, how: signal.Signals
) -> None:
    (tmp_path / "test_inner.py").write_text(TEST)
    pids = tmp_path / "pids"
    options = ("-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml"))
    with running(tmp_path, "pytest", *options, str(tmp_path / "test_inner.py")) as runner:
        wait_for(lambda: pids.exists() and pids.read_text().endswith("\n"), STARTING_SECONDS)
        runner.send_signal(how)
        assert runner.wait(PATIENCE_SECONDS) == pytest.ExitCode.INTERRUPTED
    started = set(map(int, pids.read_text().strip("[]\n").split(",")))
    wait_for(lambda: are_gone(started))
