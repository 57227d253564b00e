"""Headers that pass for those of a proxy: under each server, to users and origins alike."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from tests.support.process import PATIENCE_SECONDS, Process
from tests.support.server import ROOT, free_port
from tests.support.sqlite import SQLiteProgram
from tests.support.talk import talking

SERVERS = {
    "manage.py": ["manage.py", "bindserver", "--port", "PORT"],
    "uvicorn": ["-m", "uvicorn", "tests.asgi:application", "--port", "PORT"],
    "daphne": ["-m", "daphne", "tests.asgi:application", "--port", "PORT"],
}

ANN = {"X-Forwarded-User": "ann"}
SPOOFED = [{"x_forwarded_user": "ann"}, {"X_Forwarded-User": "ann"}, {"X-Forwarded_User": "ann"}]


@pytest.fixture(scope="module", params=SERVERS)
def proxied(
    request: pytest.FixtureRequest,
    template: dict[bool, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Process]:
    """A server of a project that believes what a proxy says; Ann is one of its users."""
    folder, port = tmp_path_factory.mktemp("proxied"), free_port()
    database = Path(shutil.copy(template[True], folder / "db.sqlite3"))
    program = SQLiteProgram(database)
    program.log_in("ann")
    program.add_products(1)
    program.close()
    command = [sys.executable]
    command += [word.replace("PORT", str(port)) for word in SERVERS[request.param]]
    environment = {
        "DATABASE_URL": f"sqlite:///{database}",
        "DJANGO_SETTINGS_MODULE": "tests.support.proxied_settings",
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": str(ROOT),
    }
    with Process(command, port=port, env=environment, cwd=ROOT, log=folder / "log") as process:
        yield process
    assert "Traceback" not in process.log, process.log


async def door(server: Process, headers: Mapping[str, str]) -> str:
    """Connect with a proof that alone is none, and return how the server greets it: `$pong`, or
    the code that it closes with."""
    url = f"ws://127.0.0.1:{server.port}/ws/"
    async with talking(url, {"Authorization": "Proxy x", **headers}) as talk:
        try:
            await talk.say("$ping")
            return str((await talk.hear())["event"])
        except ConnectionClosed as closed:
            return str(closed.rcvd and closed.rcvd.code)


def status_of(server: Process, path: str, headers: Mapping[str, str]) -> int:
    connection = HTTPConnection("127.0.0.1", int(str(server.port)), timeout=PATIENCE_SECONDS)
    try:
        connection.request("GET", path, headers=dict(headers))
        return connection.getresponse().status
    finally:
        connection.close()


async def test_a_websocket_takes_the_proxy_s_header_and_no_other(proxied: Process) -> None:
    assert await door(proxied, ANN) == "$pong"
    for spoofed in SPOOFED:
        assert await door(proxied, spoofed) == "4401"


@pytest.mark.parametrize("path", ["/bindings/members/", "/drf/bound/members/"])
def test_http_takes_the_proxy_s_header_and_no_other(proxied: Process, path: str) -> None:
    assert status_of(proxied, path, ANN) == 200
    for spoofed in SPOOFED:
        assert status_of(proxied, path, spoofed) == 403
