"""A server whose bindings stand in its urlconf, and whose own consumers hear of changes."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from tests.support.program import Program
from tests.support.server import Server, free_port
from tests.support.sqlite import SQLiteProgram
from tests.support.talk import PATIENCE_SECONDS, talking


def make_ticker(folder: Path, template: Path) -> Server:
    """Return a server that is not started, on a database of its own."""
    shutil.copy(template, folder / "db.sqlite3")
    return Server(folder / "db.sqlite3", module="tests.projects.ticker.settings")


@pytest.fixture(scope="module")
def ticker(
    template: dict[bool, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    with make_ticker(tmp_path_factory.mktemp("ticker"), template[True]) as server:
        yield server


@pytest.fixture
def program(ticker: Server) -> Iterator[Program]:
    program = SQLiteProgram(ticker.database)
    program.clean()
    yield program
    program.close()


def ticking(server: Server) -> Any:
    """Connect to the project's own consumer."""
    return connect(server.ws.replace("/ws/", "/ticker/"))


async def until(socket: Any, **wanted: Any) -> list[dict[str, Any]]:
    """Hear what the consumer passes on, until a message's data is as wanted; return all data."""
    heard: list[dict[str, Any]] = []
    while not heard or heard[-1] != wanted:
        async with asyncio.timeout(PATIENCE_SECONDS):
            message = json.loads(await socket.recv())
        assert (message["type"], message["event"]) == ("bindserver.message", "shelf")
        heard.append(message["data"])
    return heard


async def test_a_view_s_event_is_served_before_any_http_request(
    ticker: Server, program: Program
) -> None:
    async with talking(ticker.ws) as talk:
        shelf = await talk.follow("shelf")
        program.run("INSERT INTO app_product (id, name, price, stock, active) VALUES (1,'a',1,2,1)")
        await talk.until(lambda: shelf.actions == ["sync", "create"])
        assert shelf.replica.rows == [{"id": 1, "name": "a", "stock": 2}]


async def test_a_group_hears_what_nobody_subscribes_to(ticker: Server, program: Program) -> None:
    async with ticking(ticker) as socket:
        program.run("INSERT INTO app_product (id, name, price, stock, active) VALUES (7,'a',1,2,1)")
        row = {"id": 7, "name": "a", "stock": 2}
        await until(socket, action="create", payload=row)
        program.run("UPDATE app_product SET stock = 3")
        assert await until(socket, action="update", payload={**row, "stock": 3})
        program.run("DELETE FROM app_product")
        heard = await until(socket, action="delete", payload={"id": 7})
        assert [data["action"] for data in heard] == ["delete"]


async def test_a_group_hears_before_anybody_has_connected_to_the_bindings(
    template: dict[bool, Path], tmp_path: Path
) -> None:
    with make_ticker(tmp_path, template[True]) as server:
        program = SQLiteProgram(server.database)
        async with ticking(server) as socket, asyncio.timeout(PATIENCE_SECONDS):
            action = None
            for number in count(1):  # the first may be a part of the first sync
                program.add_products(1, first=number)
                while action != "create":
                    try:
                        async with asyncio.timeout(1):
                            action = json.loads(await socket.recv())["data"]["action"]
                    except TimeoutError:
                        break
                if action == "create":
                    break
        program.close()


async def test_each_change_of_a_commit_is_told(ticker: Server, program: Program) -> None:
    async with ticking(ticker) as socket:
        program.add_products(3)
        heard = await until(
            socket, action="create", payload={"id": 3, "name": "product 3", "stock": 0}
        )
        assert [data["payload"]["id"] for data in heard if data["action"] == "create"] == [1, 2, 3]


async def test_a_hook_that_fails_harms_nobody(ticker: Server, program: Program) -> None:
    async with ticking(ticker) as socket, talking(ticker.ws) as talk:
        tags = await talk.follow("broken_hook")
        program.run("INSERT INTO app_tag (id, name) VALUES (1, 'red')")
        await talk.until(lambda: tags.actions == ["sync", "create"])
        program.add_products(1)
        await until(socket, action="create", payload={"id": 1, "name": "product 1", "stock": 0})
    assert "a secret of the hook" in ticker.log.read_text()
    assert "message() failed" in ticker.log.read_text()


def test_the_view_s_url_says_where_to_connect(ticker: Server) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(ticker.http.replace("/bindings/", "/shelf"))
    with caught.value as answer:
        assert answer.code == 426
        assert b'{"event": "shelf"}' in answer.read()


async def test_plain_uvicorn_loads_the_urlconf_too(ticker: Server, program: Program) -> None:
    port = free_port()
    env = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.projects.ticker.settings",
        "DATABASE_URL": f"sqlite:///{ticker.database}",
        "BINDSERVER": "{}",
    }
    command = [sys.executable, "-m", "uvicorn", "tests.projects.ticker.asgi:application"]
    process = subprocess.Popen([*command, "--port", str(port)], env=env, stderr=subprocess.PIPE)
    try:
        assert process.stderr is not None
        while b"Uvicorn running" not in process.stderr.readline():
            assert process.poll() is None
        async with talking(f"ws://127.0.0.1:{port}/ws/") as talk:
            assert (await talk.follow("shelf")).replica.rows == []
    finally:
        process.terminate()
        process.communicate()
