"""Real servers, each with a conversation: `manage.py bindserver`, uvicorn, gunicorn, daphne."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from websockets.asyncio.client import unix_connect
from websockets.exceptions import InvalidStatus

from tests.support.client import Client
from tests.support.process import PATIENCE_SECONDS, Process, listens
from tests.support.server import ROOT, free_port
from tests.support.streams import streaming
from tests.support.talk import Talk, talking

Start = Callable[..., Process]
MANAGE = [sys.executable, "manage.py", "bindserver"]


@pytest.fixture
def database(template: dict[bool, Path], tmp_path: Path) -> Path:
    return Path(shutil.copy(template[True], tmp_path / "db.sqlite3"))


@pytest.fixture
def start(database: Path, tmp_path: Path) -> Iterator[Start]:
    """Start a server on the test's own database; all are killed at the end."""
    started: list[Process] = []

    def start(command: list[str], *, port: int | Path | None = None, **env: str) -> Process:
        port = port or free_port()
        process = Process(
            [part.replace("PORT", str(port)) for part in command],
            port=port,
            env=environment(database, **env),
            cwd=ROOT,
            log=tmp_path / f"{len(started)}.log",
        )
        started.append(process)
        return process.start()

    yield start
    for process in started:
        process.kill()


def environment(database: Path, **more: str) -> dict[str, str]:
    return {
        **os.environ,
        "DATABASE_URL": f"sqlite:///{database}",
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "PYTHONUNBUFFERED": "1",
        **more,
    }


def write(database: Path, sql: str) -> None:
    """Write from beside, as another program."""
    connection = sqlite3.connect(database, timeout=20)
    connection.execute(sql)
    connection.commit()
    connection.close()


def add_tag(database: Path, key: int) -> None:
    write(database, f"INSERT INTO app_tag (id, name) VALUES ({key}, 'tag {key}')")


async def see(talk: Talk, database: Path, key: int) -> None:
    """Follow the tags, and see one come that another program adds."""
    following = await talk.follow("tags")
    assert key not in following.column("id")
    await asyncio.to_thread(add_tag, database, key)
    await talk.until(lambda: key in following.column("id"))


def ws(process: Process, path: str = "ws/") -> str:
    return f"ws://127.0.0.1:{process.port}/{path}"


def told_until_it_ends(process: Process) -> int:
    """Send SIGTERM every few milliseconds until the process has ended; return its status."""
    while (status := process.status()) is None:
        os.kill(process.pid, signal.SIGTERM)
        time.sleep(0.005)
    return status


SERVERS = {
    "manage.py": [*MANAGE, "--port", "PORT"],
    "uvicorn": [sys.executable, "-m", "uvicorn", "tests.asgi:application", "--port", "PORT"],
    "gunicorn": [
        *(sys.executable, "-m", "gunicorn", "tests.asgi:application", "--bind", "127.0.0.1:PORT"),
        *("--workers", "2", "--worker-class", "uvicorn_worker.UvicornWorker"),
    ],
    "daphne": [sys.executable, "-m", "daphne", "tests.asgi:application", "--port", "PORT"],
    "standalone": [*MANAGE, "--standalone", "--port", "PORT"],
}


@pytest.mark.parametrize("name", SERVERS)
async def test_every_server_holds_a_conversation_and_ends_in_order(
    name: str, start: Start, database: Path
) -> None:
    process = start(SERVERS[name])
    async with talking(ws(process)) as talk:
        await see(talk, database, 1)
    async with talking(ws(process, "ws")) as talk:
        await talk.ping()
    for page in ("ws/", "ws"):
        status, text = await asyncio.to_thread(process.get, page)
        assert (status, "with a WebSocket client" in text) == (426, True)
    status, text = await asyncio.to_thread(process.get, "bindings/tags/")
    assert (status, text) == (200, '[{"id":1,"name":"tag 1"}]')
    assert (await asyncio.to_thread(process.get, "readyz"))[0] == 200
    with pytest.raises(InvalidStatus, match="403"):
        async with talking(ws(process, "elsewhere/")):
            pass
    status = await asyncio.to_thread(process.stop)
    assert status in (0, -signal.SIGTERM)
    assert "Traceback" not in process.log


@pytest.mark.parametrize("name", SERVERS)
def test_every_server_streams_events_and_is_not_held_up_by_a_stream(
    name: str, start: Start, database: Path
) -> None:
    process = start(SERVERS[name])
    with streaming(int(str(process.port)), "/bindings/tags/") as stream:
        assert stream.next().name == "sync"
        add_tag(database, 1)
        assert stream.next().data["payload"] == {"id": 1, "name": "tag 1"}
        assert process.stop() in (0, -signal.SIGTERM)
    assert "Traceback" not in process.log


async def test_a_project_s_own_channels_routes_go_on(start: Start, database: Path) -> None:
    command = [sys.executable, "-m", "uvicorn", "tests.chat_asgi:application", "--port", "PORT"]
    process = start(command)
    async with talking(ws(process)) as talk, talking(ws(process, "chat/")) as chat:
        await chat.say_text("hello")
        assert await chat.socket.recv() == "hello"
        await see(talk, database, 1)


def test_a_worker_sets_its_interpreter_up_for_serving() -> None:
    code = (
        "from bindserver.server.worker import Worker; import gc, sys; "
        "Worker(path='tests.asgi:application')(); "
        "print(sys.getswitchinterval(), gc.get_freeze_count() > 10_000)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "0.001 True\n", done.stderr


class TestStopping:
    @pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
    @pytest.mark.parametrize("workers", ["1", "2"])
    async def test_closes_clients_so_that_they_come_back_and_is_quiet(
        self, how: signal.Signals, workers: str, start: Start, database: Path
    ) -> None:
        process = start([*SERVERS["manage.py"], "--workers", workers])
        async with talking(ws(process)) as talk, talking(ws(process)) as other:
            await talk.follow("tags")
            await other.follow("products")
            end = process.interrupt if how is signal.SIGINT else process.stop
            stopping = asyncio.create_task(asyncio.to_thread(end))
            assert await talk.closed() == 1012
            assert await other.closed() == 1012
            assert await stopping == 0
        assert "Traceback" not in process.log

    async def test_ends_in_order_though_it_is_told_so_again_and_again(
        self, start: Start, database: Path
    ) -> None:
        process = start(SERVERS["manage.py"])
        async with talking(ws(process)) as talk:
            await talk.follow("tags")
            assert await asyncio.to_thread(told_until_it_ends, process) == 0
            assert await talk.closed() == 1012
        assert "Traceback" not in process.log

    async def test_while_rows_fly_is_quiet_too(self, start: Start, database: Path) -> None:
        process = start(SERVERS["manage.py"])
        async with talking(ws(process)) as talk:
            following = await talk.follow("tags")
            for key in range(1, 4):
                await asyncio.to_thread(add_tag, database, key)
            await talk.until(lambda: following.column("id"))
            process.stop()
            assert await talk.closed() == 1012
        assert "Traceback" not in process.log

    async def test_waits_no_longer_than_it_says_for_a_client_that_does_not_read(
        self, start: Start, database: Path
    ) -> None:
        write(
            database,
            "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 40000) "
            "INSERT INTO app_tag (id, name) SELECT i, hex(zeroblob(200)) FROM n",
        )
        process = start(SERVERS["manage.py"])
        client = await Client.open(ws(process))
        await client.send("tags")
        assert (await client.receive())[0] == "$subscribed"
        assert (await client.receive())[0] == "tags"
        await asyncio.sleep(2)  # by then no more goes into the sockets' buffers
        assert await asyncio.to_thread(process.stop) == 0
        client.abort()
        assert "timeout graceful shutdown exceeded" in process.log
        assert "Traceback" not in process.log


class TestWorkers:
    async def test_each_sees_every_write(self, start: Start, database: Path) -> None:
        process = start([*SERVERS["manage.py"], "--workers", "2"])
        assert "  workers: 2\n" in process.log
        async with contextlib.AsyncExitStack() as stack:
            talks = [await stack.enter_async_context(talking(ws(process))) for _ in range(8)]
            followings = [await talk.follow("tags") for talk in talks]
            await asyncio.to_thread(add_tag, database, 5)
            for talk, following in zip(talks, followings, strict=True):
                await talk.until(partial(following.column, "id"))
                assert following.column("id") == [5]

    def test_under_signals_without_a_layer_are_warned_of(
        self, start: Start, database: Path
    ) -> None:
        process = start([*SERVERS["manage.py"], "--workers", "2"], BINDSERVER=SIGNALS)
        assert "warning: without a channel layer, a write in one worker" in process.log

    def test_alone_are_not(self, start: Start) -> None:
        assert "warning" not in start(SERVERS["manage.py"], BINDSERVER=SIGNALS).log


SIGNALS = '{"CAPTURE": "signals"}'


class TestListening:
    def run(self, database: Path, *options: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*MANAGE, *options],
            cwd=ROOT,
            env=environment(database, **env),
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
        )

    def test_on_a_port_that_is_taken_is_one_line(self, database: Path) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            done = self.run(database, "--port", str(port))
        assert done.returncode == 1
        assert done.stderr == (
            f"CommandError: Port {port} of 127.0.0.1 is in use already: stop who has it, "
            "or choose another --port.\n"
        )

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            (["--port", "65536"], "ports end at 65535"),
            (["--host", "203.0.113.1"], "Cannot listen on port 8000 of 203.0.113.1: "),
            (["--uds", "/nowhere/at/all.sock"], "Cannot listen on /nowhere/at/all.sock: "),
            (["--workers", "0"], "--workers is 1 or more."),
            (["--reload", "--workers", "2"], "--reload is for one worker"),
        ],
    )
    def test_where_nobody_can_is_one_line(
        self, options: list[str], told: str, database: Path
    ) -> None:
        done = self.run(database, *options)
        assert done.returncode == 1
        assert told in done.stderr
        assert done.stderr.count("\n") == 1

    def test_checking_says_what_would_be_served(self, database: Path) -> None:
        done = self.run(database, "--check", "--port", "0")
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("bindserver: http://localhost:")
        assert "  capture on default: change log" in done.stdout

    async def test_on_a_unix_socket(self, start: Start, database: Path, tmp_path: Path) -> None:
        path = tmp_path / "bindserver.sock"
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(path))
        process = start([*MANAGE, "--uds", str(path)], port=path)
        assert process.log.startswith(f"bindserver: unix:{path}\n")
        async with unix_connect(str(path), "ws://localhost/ws/", compression=None) as connection:
            await see(Talk(connection), database, 1)
        told = await asyncio.to_thread(ask, path, "X-Forwarded-Proto: https")
        assert '"url":"https://localhost/bindings/tags/"' in told
        assert await asyncio.to_thread(process.stop) == 0
        assert not path.exists()


def ask(path: Path, header: str) -> str:
    """Get the list of bindings over a Unix socket, as the proxy at its other end."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE_SECONDS)
        connection.connect(str(path))
        request = (
            f"GET /bindings/ HTTP/1.1\r\nHost: localhost\r\n{header}\r\nConnection: close\r\n\r\n"
        )
        connection.sendall(request.encode())
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return answer.decode()


class TestReloading:
    """`tests.settings` is not for debugging, so `--reload` is said."""

    async def test_starts_anew_when_code_changes(
        self, start: Start, database: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "watched.py").write_text("ANSWER = 1\n")
        (tmp_path / "watched_settings.py").write_text(
            "from tests.settings import *\nimport watched\n"
        )
        process = start(
            [*SERVERS["manage.py"], "--reload"],
            DJANGO_SETTINGS_MODULE="watched_settings",
            PYTHONPATH=str(tmp_path),
        )
        async with talking(ws(process)) as talk:
            await talk.follow("tags")
            await asyncio.sleep(1.5)  # the reloader has taken its first look by then
            (tmp_path / "watched.py").write_text("ANSWER = 2  # changed\n")
            await talk.closed()
        until = time.monotonic() + PATIENCE_SECONDS
        while process.log.count("bindserver: http://") < 2 or not listens(process.port):
            assert time.monotonic() < until, process.log
            await asyncio.sleep(0.1)
        async with talking(ws(process)) as talk:
            await see(talk, database, 1)
        assert await asyncio.to_thread(process.stop) == 0
        await gone(process.port)

    async def test_ends_with_ctrl_c(self, start: Start) -> None:
        process = start([*SERVERS["manage.py"], "--reload"])
        assert await asyncio.to_thread(process.interrupt) == 0
        assert "Traceback" not in process.log
        await gone(process.port)


async def gone(port: int | Path) -> None:
    """Wait until nobody listens."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while listens(port):
            await asyncio.sleep(0.1)
