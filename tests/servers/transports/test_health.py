"""`/healthz` and `/readyz`: what a load balancer hears, and what it never does."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from django.test import override_settings

import bindserver
from bindserver.cycle.cycle import Cycle
from bindserver.http import health
from bindserver.hub.hub import hub
from bindserver.relay.relay import Relay
from tests.conftest import MakeServer
from tests.support.process import PATIENCE_SECONDS, get
from tests.support.server import Server, free_port
from tests.unit.test_asgi import drive


@pytest.fixture(scope="module")
def server(make_server: MakeServer) -> Server:
    return make_server().start()


def url(server: Server, path: str) -> str:
    return f"http://127.0.0.1:{server.port}/{path}"


def test_a_server_that_runs_is_alive_and_ready(server: Server) -> None:
    assert get(url(server, "healthz")) == (200, '{"status": "alive"}')
    assert get(url(server, "readyz")) == (200, '{"status": "ready"}')


@pytest.mark.parametrize("path", ["healthz", "readyz"])
def test_a_probe_need_not_know_an_allowed_host(server: Server, path: str) -> None:
    assert get(url(server, "bindings/"), Host="10.0.0.7")[0] == 400
    assert get(url(server, path), Host="10.0.0.7")[0] == 200


def test_answers_are_kept_by_nobody_and_head_has_no_body(server: Server) -> None:
    request = urllib.request.Request(url(server, "readyz"), method="HEAD")
    with urllib.request.urlopen(request) as response:
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Content-Length"] == "19"
        assert response.read() == b""


def test_they_are_there_to_be_read(server: Server) -> None:
    request = urllib.request.Request(url(server, "healthz"), method="POST", data=b"")
    with pytest.raises(urllib.error.HTTPError, match="405") as refusal:
        urllib.request.urlopen(request)
    with refusal.value as answer:
        assert answer.headers["Allow"] == "GET, HEAD"


def test_without_its_database_a_server_is_alive_and_not_ready(make_server: MakeServer) -> None:
    with make_server() as server:
        away = server.database.rename(server.database.with_suffix(".away"))
        told = json.loads(until_status(server, 503))
        assert told["status"] == "not ready"
        assert list(told["problems"]) == ["database default"]
        assert re.fullmatch(
            r"out of reach since \d+ s: OperationalError", told["problems"]["database default"]
        )
        assert get(url(server, "healthz"))[0] == 200
        assert "database 'default' cannot be followed" in server.log.read_text()
        away.rename(server.database)
        assert until_status(server, 200) == '{"status": "ready"}'


def until_status(server: Server, wanted: int) -> str:
    """Wait until readiness has a status, and return what is told then."""
    until = time.monotonic() + PATIENCE_SECONDS
    while (told := get(url(server, "readyz")))[0] != wanted:
        assert time.monotonic() < until
        time.sleep(0.05)
    return told[1]


async def ask(application: object) -> tuple[int, dict[str, object]]:
    scope = {"type": "http", "method": "GET", "path": "/readyz", "headers": []}
    start, body = await drive(application, scope)
    return start["status"], json.loads(body["body"])


def layer_at(port: int) -> override_settings:
    return override_settings(
        CHANNEL_LAYERS={
            "default": {
                "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
                "CONFIG": {"hosts": [f"redis://:hunter2@127.0.0.1:{port}"]},
            }
        }
    )


@pytest.fixture
async def serving(database: Path) -> AsyncIterator[None]:
    """End what probes of this process have begun."""
    yield
    await asyncio.to_thread(hub.stop)


async def test_a_channel_layer_out_of_reach_is_told_without_its_address_and_does_not_count(
    serving: None, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    with layer_at(port):
        relay = Relay(hub)
        relay.listen()
        try:
            status, told = await ask(bindserver.asgi.wrap(None, health=True))
        finally:
            await asyncio.to_thread(relay.close)
    assert (status, told["status"]) == (200, "ready")
    warnings = told["warnings"]
    assert isinstance(warnings, dict)
    assert re.fullmatch(r"out of reach since \d+ s: \w+", warnings["channel layer"])
    assert str(port) in caplog.text


async def test_a_database_that_does_not_answer_keeps_no_probe_waiting(
    serving: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def hang(cycle: Cycle, items: object) -> None:
        asked.set()
        assert go_on.wait(PATIENCE_SECONDS)

    monkeypatch.setattr(Cycle, "_turn", hang)
    monkeypatch.setattr(health, "STARTING_SECONDS", 0.05)
    application = bindserver.asgi.wrap(None, health=True)
    for _ in range(3):
        status, told = await ask(application)
        assert status == 503
        assert told["problems"] == {"database default": "nobody has asked it yet"}
    assert await asyncio.to_thread(asked.wait, PATIENCE_SECONDS)
    go_on.set()
