"""`/healthz` and `/readyz`: what a load balancer hears, and what it never does."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from django.test import override_settings

import bindserver
from bindserver.http import health
from tests.conftest import MakeServer
from tests.support.process import get
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
        status, text = get(url(server, "readyz"))
        assert status == 503
        assert json.loads(text) == {
            "status": "not ready",
            "problems": {"database default": "out of reach"},
        }
        assert get(url(server, "healthz"))[0] == 200
        assert "not ready: database default: unable to open" in server.log.read_text()
        away.rename(server.database)
        assert get(url(server, "readyz"))[0] == 200


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


async def test_a_channel_layer_out_of_reach_is_named_without_its_address(
    database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    with layer_at(port):
        status, told = await ask(bindserver.asgi.wrap(None, health=True))
    assert status == 503
    assert told["problems"] == {"channel layer": "out of reach"}
    assert str(port) in caplog.text


async def test_what_does_not_answer_is_asked_once_however_many_probes_there_are(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, go_on = [], threading.Event()

    def hang(alias: str) -> None:
        asked.append(alias)
        go_on.wait(30)

    monkeypatch.setattr(health, "_ask_database", hang)
    monkeypatch.setattr(health, "READY_SECONDS", 0.05)
    application = bindserver.asgi.wrap(None, health=True)
    for _ in range(3):
        status, told = await ask(application)
        assert status == 503
        assert told["problems"] == {"database default": "no answer within 0.05 s"}
    assert asked == ["default"]
    go_on.set()
