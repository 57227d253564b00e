"""Servers that are stopped and reloaded: what is under way is finished, and nobody is cut off."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import pty
import random
import shutil
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from tests.support.process import START_SECONDS, Process, listens
from tests.support.server import ROOT, free_port
from tests.support.talk import Following, Talk, talking

MANAGE = [sys.executable, "manage.py", "bindserver"]
CHATTY = '{"MAX_MESSAGES_PER_SECOND": 1000000, "MAX_MESSAGES_BURST": 1000000}'

Start = Callable[..., Process]


@pytest.fixture
def database(template: dict[bool, Path], tmp_path: Path) -> Path:
    return Path(shutil.copy(template[True], tmp_path / "db.sqlite3"))


def environment(database: Path, **more: str) -> dict[str, str]:
    return {
        **os.environ,
        "DATABASE_URL": f"sqlite:///{database}",
        "DJANGO_SETTINGS_MODULE": "tests.support.waiting_settings",
        "SIGNS": str(database.parent),
        "PYTHONUNBUFFERED": "1",
        **more,
    }


@pytest.fixture
def start(database: Path, tmp_path: Path) -> Iterator[Start]:
    """Start a server on the test's own database; all are killed at the end."""
    with contextlib.ExitStack() as stack:

        def start(*options: str, **env: str) -> Process:
            port = free_port()
            process = Process(
                [*MANAGE, "--port", str(port), *options],
                port=port,
                env=environment(database, **env),
                cwd=ROOT,
                log=tmp_path / "log",
            )
            stack.callback(process.kill)
            return process.start()

        yield start


def ws(process: Process) -> str:
    return f"ws://127.0.0.1:{process.port}/ws/"


async def until(done: Callable[[], object]) -> None:
    """Wait for what happens in another process."""
    async with asyncio.timeout(2 * START_SECONDS):
        while not done():
            await asyncio.sleep(0.02)


async def reload(process: Process, workers: int = 1) -> None:
    """Send SIGHUP, and return when all workers have been replaced."""
    before = process.log.count("takes over from")
    os.kill(process.pid, signal.SIGHUP)
    await until(lambda: process.log.count("takes over from") == before + workers)


def children(pid: int) -> list[int]:
    """Return the worker processes of a server."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(n) for n in listed if b"resource_tracker" not in command_of(n)]


def command_of(pid: str) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


class Writer(threading.Thread):
    """Another program that writes all the time, until it is told to stop."""

    def __init__(self, database: Path) -> None:
        super().__init__()
        self._database = database
        self._stop_writing = threading.Event()

    def run(self) -> None:
        connection = sqlite3.connect(self._database, timeout=60, isolation_level=None)
        draw = random.Random(1)
        while not self._stop_writing.wait(0.03):
            key = draw.randrange(60)
            if draw.random() < 0.3:
                connection.execute("DELETE FROM app_tag WHERE id = ?", (key,))
            else:
                name = f"tag {draw.random()}"
                connection.execute("INSERT OR REPLACE INTO app_tag VALUES (?, ?)", (key, name))
        connection.close()

    def end(self) -> None:
        self._stop_writing.set()
        self.join()


def rows_of(database: Path) -> list[tuple[int, str]]:
    connection = sqlite3.connect(database)
    rows = connection.execute("SELECT id, name FROM app_tag ORDER BY id").fetchall()
    connection.close()
    return rows


class Visitor:
    """A client that follows the tags, and comes back whenever it is sent away, as ours does.

    Attributes:
        closes: the codes that it was sent away with.
        answers: the first action that it was answered with, each time it came.
        copy: what it holds.
    """

    def __init__(self, process: Process) -> None:
        self.closes: list[int | None] = []
        self.answers: list[str] = []
        self.copy = Following({"key": "id"})
        self._url = ws(process)

    @property
    def rows(self) -> list[tuple[int, str]]:
        return [(row["id"], row["name"]) for row in self.copy.replica.rows]

    async def stay(self) -> None:
        """Follow for as long as the test lasts. Whenever it comes, it must be let in at once."""
        known: dict[str, Any] = {}
        while True:
            async with talking(self._url) as talk:
                try:
                    await self._follow(talk, **known)
                except ConnectionClosed as closed:
                    self.closes.append(closed.rcvd.code if closed.rcvd is not None else None)
            if self.answers:
                known = {"cursor": self.copy.cursor, "held": self.copy.replica.held}
            await asyncio.sleep(random.random())  # ours waits up to five seconds

    async def _follow(self, talk: Talk, **known: Any) -> None:
        following = await talk.follow("tags", **known)
        self.answers.append(following.actions[0])
        taken = 0
        while True:
            for frame in following.frames[taken:]:
                self.copy.take(frame)
            taken = len(following.frames)
            await talk.hear(seconds=600)


def all_are_back(been: dict[Visitor, int]) -> bool:
    """Return whether all have been answered more often than they had been."""
    return all(len(visitor.answers) > times for visitor, times in been.items())


async def ask_again_and_again(process: Process) -> None:
    """Ask for a page on a new connection each time; each must be answered."""
    while True:
        status, _ = await asyncio.to_thread(process.get, "bindings/tags/")
        assert status == 200


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_rolling_reload_under_load_loses_nothing(
    workers: int, start: Start, database: Path
) -> None:
    process = start("--workers", str(workers))
    visitors = [Visitor(process) for _ in range(8)]
    writer = Writer(database)
    writer.start()
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(visitor.stay()) for visitor in visitors]
            tasks += [group.create_task(ask_again_and_again(process))]
            await until(lambda: all(visitor.answers for visitor in visitors))
            for _ in range(2):
                been = {visitor: len(visitor.answers) for visitor in visitors}
                await reload(process, workers)
                await until(partial(all_are_back, been))
            await asyncio.to_thread(writer.end)
            await until(lambda: all(v.rows == rows_of(database) for v in visitors))
            for task in tasks:
                task.cancel()
    finally:
        writer.end()
    for visitor in visitors:
        assert set(visitor.closes) == {1012}
        assert visitor.answers[0] == "sync"
        assert "sync" not in visitor.answers[1:]
    assert await asyncio.to_thread(process.stop) == 0
    assert "Traceback" not in process.log


class TestSIGHUP:
    async def test_replaces_a_single_server_that_keeps_its_number(
        self, start: Start, database: Path
    ) -> None:
        process = start()
        for _ in range(2):
            async with talking(ws(process)) as talk:
                await talk.follow("tags")
                await reload(process)
                assert await talk.closed() == 1012
            assert process.status() is None
        await until(lambda: len(children(process.pid)) == 1)
        (child,) = children(process.pid)
        assert await asyncio.to_thread(process.stop) == 0
        assert not Path(f"/proc/{child}").exists()
        assert not listens(process.port)
        assert "Traceback" not in process.log

    async def test_lets_what_is_under_way_end(
        self, start: Start, database: Path, tmp_path: Path
    ) -> None:
        process = start("--drain-seconds", "60")
        asked = asyncio.create_task(asyncio.to_thread(process.get, "wait/"))
        await until((tmp_path / "asked").exists)
        await reload(process)
        async with talking(ws(process)) as talk:
            await talk.follow("tags")
            (tmp_path / "answer").touch()
            assert await asked == (200, "answered")
            await talk.ping()

    @pytest.mark.parametrize("workers", ["1", "2"])
    async def test_leaves_the_old_ones_where_new_ones_cannot_start(
        self, workers: str, start: Start, tmp_path: Path
    ) -> None:
        process = start("--workers", workers)
        async with talking(ws(process)) as talk:
            await talk.follow("tags")
            (tmp_path / "broken").touch()
            os.kill(process.pid, signal.SIGHUP)
            await until(lambda: "does not come to serve" in process.log)
            await talk.ping()
            (tmp_path / "broken").unlink()
            await reload(process, int(workers))
            assert await talk.closed() == 1012

    def test_of_a_terminal_that_is_closed_ends_the_server(
        self, database: Path, tmp_path: Path
    ) -> None:
        port = free_port()
        pid, terminal = pty.fork()
        if pid == 0:  # whose terminal this is
            os.chdir(ROOT)
            os.execve(
                sys.executable, [*MANAGE, "--port", str(port)], environment(database)
            )  # fmt: skip
        told = b""
        while b"Application startup complete" not in told:
            told += os.read(terminal, 1000)
        os.close(terminal)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert not listens(port)


class TestSIGTERM:
    @pytest.mark.parametrize("workers", ["1", "2"])
    async def test_takes_nobody_more_and_answers_what_was_asked(
        self, workers: str, start: Start, tmp_path: Path
    ) -> None:
        process = start("--workers", workers, "--drain-seconds", "60")
        asked = asyncio.create_task(asyncio.to_thread(process.get, "wait/"))
        await until((tmp_path / "asked").exists)
        os.kill(process.pid, signal.SIGTERM)
        await until(lambda: not listens(process.port))
        (tmp_path / "answer").touch()
        assert await asked == (200, "answered")
        assert await asyncio.to_thread(process.stop) == 0

    async def test_waits_for_no_view_that_never_ends(self, start: Start, tmp_path: Path) -> None:
        process = start("--drain-seconds", "0")
        asked = asyncio.create_task(asyncio.to_thread(process.get, "wait/"))
        await until((tmp_path / "asked").exists)
        assert await asyncio.to_thread(process.stop) == 0
        assert "A thread has not ended within" in process.log
        with contextlib.suppress(OSError, http.client.HTTPException):
            await asked

    async def test_tells_a_client_why_though_not_all_that_it_says_was_read(
        self, start: Start
    ) -> None:
        """A connection that is closed on unread messages is reset, close frame and all."""
        process = start(BINDSERVER=CHATTY)
        async with talking(ws(process)) as talk:
            await talk.ping()

            async def chatter() -> None:
                with contextlib.suppress(ConnectionClosed):
                    while True:
                        await talk.socket.send('{"event": "$ping", "data": 1}')

            chatting = asyncio.create_task(chatter())
            await talk.hear()
            closed = asyncio.create_task(talk.closed())  # answers are read all the time
            os.kill(process.pid, signal.SIGTERM)
            assert await closed == 1012
            await chatting


class TestWorkers:
    async def test_one_that_is_killed_is_replaced(self, start: Start) -> None:
        process = start("--workers", "2")
        before = children(process.pid)
        os.kill(before[0], signal.SIGKILL)
        await until(lambda: len(children(process.pid)) == 2 and before != children(process.pid))
        async with talking(ws(process)) as talk:
            await talk.follow("tags")
        assert await asyncio.to_thread(process.stop) == 0

    async def test_end_in_order_when_their_parent_is_killed(self, start: Start) -> None:
        process = start("--workers", "2")
        async with talking(ws(process)) as talk:
            await talk.follow("tags")
            os.kill(process.pid, signal.SIGKILL)
            assert await talk.closed() == 1012
        await until(lambda: not listens(process.port))
