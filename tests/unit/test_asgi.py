"""`bindserver.asgi.wrap`: who gets which connection, and what happens at the server's end."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from channels.auth import AuthMiddlewareStack
from channels.consumer import AsyncConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.test import modify_settings, override_settings
from django.urls import re_path

import bindserver
from bindserver.asgi import Lifespan, Wrapped
from bindserver.server.application import serves_bindings
from tests.support.logs import logged
from tests.support.server import ROOT

Messages = list[dict[str, Any]]


class Recorder:
    """An ASGI application that notes what it was called for."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.paths.append(scope["path"])


async def drive(application: Any, scope: dict[str, Any], *messages: dict[str, Any]) -> Messages:
    """Call an application with what a server would tell it, and return what it sent."""
    sent: Messages = []
    waiting = list(messages)

    async def receive() -> dict[str, Any]:
        if waiting:
            return waiting.pop(0)
        return await asyncio.Future()  # nothing more comes

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async with asyncio.timeout(10):
        await application(scope, receive, send)
    return sent


def socket_to(path: str, **more: Any) -> dict[str, Any]:
    return {"type": "websocket", "path": path, "headers": [], **more}


def around(inner: Any) -> tuple[Wrapped, Recorder]:
    """Wrap an application, with bindings that only note who came."""
    bindings = Recorder()
    return Wrapped(
        inner, bindings=bindings, health=None, start=lambda: None, stop=lambda: None
    ), bindings


class TestWebSockets:
    @pytest.mark.parametrize(
        "scope",
        [
            socket_to("/ws/"),
            socket_to("/live/ws/", root_path="/live"),
            socket_to("/ws/", root_path="/live"),
            socket_to("/a/prefix/that/a/proxy/left/ws/"),
            socket_to("/ws"),
            socket_to("/live/ws", root_path="/live"),
            socket_to("/ws", root_path="/live"),
            socket_to("/a/prefix/that/a/proxy/left/ws"),
        ],
    )
    async def test_at_the_path_go_to_the_bindings(self, scope: dict[str, Any]) -> None:
        application, bindings = around(get_asgi_application())
        await drive(application, scope)
        assert bindings.paths == [scope["path"]]

    @pytest.mark.parametrize("path", ["/chat/", "/ws/more", "/aws/", "/aws", "/", "//"])
    async def test_elsewhere_are_refused_before_they_are_open(self, path: str) -> None:
        application, bindings = around(get_asgi_application())
        sent = await drive(application, socket_to(path), {"type": "websocket.connect"})
        assert sent == [{"type": "websocket.close", "code": 4404}]
        assert bindings.paths == []

    async def test_elsewhere_go_to_the_project_s_own_router(self) -> None:
        chat: Any = Recorder()
        router = URLRouter([re_path("^chat/", chat)])
        application, bindings = around(ProtocolTypeRouter({"websocket": router}))
        await drive(application, socket_to("/chat/ws/"))
        assert (chat.paths, bindings.paths) == (["/chat/ws/"], [])
        await drive(application, socket_to("/ws/"))
        assert bindings.paths == ["/ws/"]

    async def test_a_router_for_http_alone_is_asked_for_none(self) -> None:
        application, _ = around(ProtocolTypeRouter({"http": get_asgi_application()}))
        sent = await drive(application, socket_to("/chat/"), {"type": "websocket.connect"})
        assert sent == [{"type": "websocket.close", "code": 4404}]

    async def test_the_path_is_a_setting(self) -> None:
        application, bindings = around(get_asgi_application())
        with override_settings(BINDSERVER={"WEBSOCKET_PATH": "/live"}):
            await drive(application, socket_to("/live"))
            await drive(application, socket_to("/live/"))
            await drive(application, socket_to("/ws/"), {"type": "websocket.connect"})
        assert bindings.paths == ["/live", "/live/"]

    async def test_bring_the_user_that_the_project_s_middleware_found(self) -> None:
        seen = []

        def middleware(inner: Any) -> Any:
            async def call(scope: Any, receive: Any, send: Any) -> None:
                seen.append(scope["path"])

            return call

        application = bindserver.asgi.wrap(get_asgi_application(), middleware=middleware)
        await drive(application, socket_to("/ws/"))
        assert seen == ["/ws/"]


class TestHttp:
    async def test_goes_to_the_project(self) -> None:
        inner = Recorder()
        application, _ = around(inner)
        await drive(application, {"type": "http", "path": "/anything"})
        assert inner.paths == ["/anything"]

    @pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
    @pytest.mark.parametrize(
        ("path", "root_path"), [("/ws/", ""), ("/ws", ""), ("/live/ws/", "/live"), ("/ws", "/live")]
    )
    async def test_at_the_websocket_s_path_is_told_what_to_do(
        self, path: str, root_path: str, method: str
    ) -> None:
        inner = Recorder()
        application, bindings = around(inner)
        scope = {"type": "http", "path": path, "root_path": root_path, "method": method}
        start, body = await drive(application, scope)
        headers = dict(start["headers"])
        assert start["status"] == 426
        assert (headers[b"upgrade"], headers[b"connection"]) == (b"websocket", b"Upgrade, close")
        text = b"connect to it with a WebSocket client"
        assert (text in body["body"]) == (method != "HEAD")
        assert inner.paths == bindings.paths == []

    @pytest.mark.parametrize("path", ["/ws/more/", "/aws/", "/prefix/ws/", "/"])
    async def test_near_the_websocket_s_path_goes_to_the_project(self, path: str) -> None:
        inner = Recorder()
        application, _ = around(inner)
        await drive(application, {"type": "http", "path": path, "method": "GET"})
        assert inner.paths == [path]

    async def test_health_is_not_answered_unless_asked_for(self) -> None:
        inner = Recorder()
        application = bindserver.asgi.wrap(inner)
        await drive(application, {"type": "http", "path": "/healthz", "method": "GET"})
        assert inner.paths == ["/healthz"]

    @modify_settings(INSTALLED_APPS={"append": "django.contrib.staticfiles"})
    @override_settings(DEBUG=True, STATIC_URL="static/")
    async def test_static_files_are_served_in_debug_mode(self) -> None:
        application = bindserver.asgi.wrap(get_asgi_application())
        scope = {"type": "http", "method": "GET", "headers": [], "query_string": b""}
        scope["path"] = "/static/bindserver/io.js"
        sent = await drive(application, scope, {"type": "http.request"})
        assert sent[0]["status"] == 200
        assert b"text/javascript" in dict(sent[0]["headers"])[b"Content-Type"]


STARTUP, SHUTDOWN = {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}
BOTH = [{"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"}]


async def test_without_a_lifespan_a_check_that_fails_is_logged_and_keeps_nobody_waiting(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gate = threading.Event()

    def check() -> list[str]:
        assert gate.wait(60)
        raise RuntimeError

    inner: Any = Recorder()
    how: dict[str, Any] = {"bindings": Recorder(), "health": None, "check": check}
    application = Wrapped(inner, start=lambda: None, stop=lambda: None, **how)
    for _ in range(2):
        await drive(application, {"type": "http", "path": "/", "method": "GET"})
    assert inner.paths == ["/", "/"]  # while it is checked
    gate.set()
    async with asyncio.timeout(10):
        while not logged(caplog):
            await asyncio.sleep(0.005)
    assert ["RuntimeError" in line for line in logged(caplog)] == [True]


class TestLifespan:
    @pytest.fixture
    def ended(self) -> list[str]:
        return []

    @pytest.fixture
    def live(self, ended: list[str]) -> Callable[[Any], Any]:
        async def live(inner: Any) -> Messages:
            lifespan = Lifespan(inner, lambda: None, lambda: ended.append("ours"))
            return await drive(lifespan, {"type": "lifespan"}, STARTUP, SHUTDOWN)

        return live

    async def test_is_answered_for_an_application_that_has_none(
        self, live: Callable[[Any], Any], ended: list[str]
    ) -> None:
        assert await live(None) == BOTH
        assert ended == ["ours"]

    async def test_is_answered_for_an_application_that_raises(
        self, live: Callable[[Any], Any], ended: list[str]
    ) -> None:
        async def unable(scope: Any, receive: Any, send: Any) -> None:
            assert scope["type"] == "http"

        async def unable_later(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            raise ValueError("what is this?")

        assert await live(unable) == BOTH
        assert await live(unable_later) == BOTH
        assert ended == ["ours", "ours"]

    async def test_is_the_inner_application_s_too_and_ours_ends_first(
        self, live: Callable[[Any], Any], ended: list[str]
    ) -> None:
        async def inner(scope: Any, receive: Any, send: Any) -> None:
            assert await receive() == STARTUP
            await send({"type": "lifespan.startup.complete"})
            assert await receive() == SHUTDOWN
            ended.append("theirs")
            await send({"type": "lifespan.shutdown.complete"})

        assert await live(inner) == BOTH
        assert ended == ["ours", "theirs"]

    async def test_a_failed_start_is_told(self, live: Callable[[Any], Any]) -> None:
        async def inner(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "lifespan.startup.failed", "message": "no disk"})

        assert await live(inner) == [{"type": "lifespan.startup.failed", "message": "no disk"}]

    async def test_an_error_after_the_start_is_not_hidden(self, live: Callable[[Any], Any]) -> None:
        async def inner(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "lifespan.startup.complete"})
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await live(inner)


def test_an_application_that_serves_no_bindings_is_found_out() -> None:
    django = get_asgi_application()
    chat = AuthMiddlewareStack(URLRouter([re_path("^chat/", AsyncConsumer.as_asgi())]))
    assert not serves_bindings(django)
    assert not serves_bindings(ProtocolTypeRouter({"http": django}))
    assert serves_bindings(ProtocolTypeRouter({"http": django, "websocket": chat}))  # it may
    assert serves_bindings(bindserver.asgi.wrap(django))
    assert serves_bindings(Recorder())


def python(code: str) -> str:
    """Run some Python in a process of its own, and return the last line that it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env={"PATH": ""}
    )
    return (done.stdout + done.stderr).strip().splitlines()[-1]


@pytest.mark.slow
def test_importing_it_needs_no_django_that_is_set_up() -> None:
    assert python("import bindserver; print(bindserver.asgi.wrap.__name__)") == "wrap"


@pytest.mark.slow
@pytest.mark.parametrize(
    "before",
    [
        "",
        "from django.conf import settings; settings.configure(INSTALLED_APPS=['bindserver']); ",
    ],
)
def test_wrapping_before_django_is_set_up_says_what_to_write(before: str) -> None:
    told = python(f"import bindserver; {before}bindserver.asgi.wrap(None)")
    assert "Django is not set up yet." in told
    assert "`application = bindserver.asgi.wrap(get_asgi_application())`" in told


@pytest.mark.slow
def test_wrapping_without_the_app_says_what_to_install() -> None:
    told = python(
        "import bindserver; from django.conf import settings; import django; "
        "settings.configure(); django.setup(); bindserver.asgi.wrap(None)"
    )
    assert told.endswith('Add "bindserver" to INSTALLED_APPS.')
