"""Servers that have no WebSocket, or none at this address, say so."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import path, re_path

from tests.support.process import Process, get
from tests.support.server import ROOT, Server, free_port


@pytest.fixture
def runserver(tmp_path: Path) -> Iterator[Process]:
    """Django's own server, by WSGI, on a project that has no line for the WebSocket."""
    port = free_port()
    server = Server(tmp_path / "a.sqlite3").prepare(capture=False)
    words = ("manage.py", "runserver", "--noreload", "--skip-checks", f"127.0.0.1:{port}")
    log = tmp_path / "runserver.log"
    env = {**server.environment, "PATH": os.environ["PATH"]}
    with Process([sys.executable, *words], port=port, env=env, cwd=ROOT, log=log) as process:
        yield process


@pytest.mark.parametrize("page", ["ws/", "ws"])
def test_runserver_says_that_it_has_none_and_what_to_start(runserver: Process, page: str) -> None:
    status, text = runserver.get(page)
    assert status == 426
    assert "speaks no WebSocket" in text
    assert "`python manage.py bindserver`" in text


def test_runserver_says_so_to_a_handshake_too_and_serves_the_rest(runserver: Process) -> None:
    url = f"http://127.0.0.1:{runserver.port}"
    handshake = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    assert get(f"{url}/ws/", **handshake)[0] == 426
    assert get(f"{url}/bindings/")[0] == 200
    assert get(f"{url}/ws/more/")[0] == 404


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse("the project's own")


@pytest.fixture
def urls(request: pytest.FixtureRequest) -> Iterator[types.ModuleType]:
    """A project's URLs: none, unless the test names some."""
    module: Any = types.ModuleType("tests.servers.transports.passing_urls")
    module.urlpatterns = list(getattr(request, "param", ()))
    with override_settings(ROOT_URLCONF=module.__name__):
        sys.modules[module.__name__] = module
        yield module
        del sys.modules[module.__name__]


def test_any_method_is_answered_and_nobody_need_log_in(urls: types.ModuleType) -> None:
    middleware = [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
    ]
    with override_settings(MIDDLEWARE=middleware, APPEND_SLASH=True):
        client = Client(enforce_csrf_checks=True)
        answers = [client.get("/ws/"), client.get("/ws"), client.post("/ws/"), client.head("/ws/")]
    assert [answer.status_code for answer in answers] == [426] * 4
    assert len(urls.urlpatterns) == 1


@pytest.mark.parametrize(
    "urls", [[path("ws/", page)], [re_path("", page)]], indirect=True, ids=["page", "catch-all"]
)
def test_the_project_s_own_pages_go_first(urls: types.ModuleType) -> None:
    assert Client().get("/ws/").content == b"the project's own"


async def test_by_asgi_it_is_the_wrapping_that_lacks(urls: types.ModuleType) -> None:
    answer = await AsyncClient().get("/ws/")
    assert (answer.status_code, answer["Upgrade"]) == (426, "websocket")
    assert b"bindserver.asgi.wrap" in answer.content


def test_another_path_is_answered_where_the_setting_says_so(urls: types.ModuleType) -> None:
    with override_settings(BINDSERVER={"WEBSOCKET_PATH": "/live.socket"}):
        client = Client()
        assert client.get("/live.socket").status_code == 426
        assert client.get("/live.socket/").status_code == 426
        assert client.get("/liveXsocket").status_code == 404


@pytest.mark.parametrize("urls", [("no", "routes")], indirect=True)
def test_urls_that_are_broken_are_still_told_by_django(urls: types.ModuleType) -> None:
    del urls.urlpatterns
    with pytest.raises(Exception, match="does not appear to have any patterns"):
        Client().get("/ws/")
