"""What somebody is told who sets bindserver up for the first time, and makes a mistake."""

from __future__ import annotations

import importlib
import logging
import os
import socket
import sys
from pathlib import Path
from typing import ClassVar

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

import bindserver.urls
from bindserver.asgi import refuse
from bindserver.bindings.registry import registry
from bindserver.exceptions import UnknownEvent
from bindserver.websocket.origins import why_refused
from tests.conftest import MakeServer
from tests.support.process import Process
from tests.support.server import ROOT
from tests.support.talk import talking


class TestAnEventThatNoBindingHas:
    @override_settings(DEBUG=True)
    def test_in_debug_mode_the_events_that_there_are_are_named(self) -> None:
        with pytest.raises(UnknownEvent, match="no binding has the event 'catalog'; there are: "):
            registry.find("catalog")
        with pytest.raises(UnknownEvent, match=r"; there are: .*\bcatalogue\b"):
            registry.find("catalog")

    def test_else_nobody_is_told_of_events_that_are_not_theirs(self) -> None:
        with pytest.raises(UnknownEvent) as caught:
            registry.find("catalog")
        assert str(caught.value) == "no binding has the event 'catalog'"


def test_routes_of_an_app_that_is_not_installed_say_so() -> None:
    with (
        override_settings(INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes"]),
        pytest.raises(ImproperlyConfigured, match='Add "bindserver" to INSTALLED_APPS'),
    ):
        importlib.reload(bindserver.urls)


class TestAPageThatMayNotConnect:
    SCOPE: ClassVar = {
        "headers": [(b"origin", b"http://localhost:5173"), (b"host", b"localhost:8000")]
    }

    def test_the_log_names_its_origin_and_the_setting_to_write(self) -> None:
        assert why_refused(self.SCOPE) == (
            "its origin 'http://localhost:5173' is not the host asked for, 'localhost:8000', or "
            'ALLOWED_HOSTS has not that host; BINDSERVER["ORIGINS"] may list origins'
        )

    @override_settings(BINDSERVER={"ORIGINS": ["https://shop.example"]})
    def test_where_origins_are_listed_it_is_that_list(self) -> None:
        listed = "BINDSERVER[\"ORIGINS\"] does not list its origin 'http://localhost:5173'"
        assert why_refused(self.SCOPE) == listed

    async def test_page_and_log_are_told(self, make_server: MakeServer) -> None:
        with make_server() as server:
            async with talking(server.ws, {"Origin": "http://localhost:5173"}) as talk:
                assert await talk.closed() == 4403
                assert "see ORIGINS in the server's settings" in str(talk.socket.close_reason)
            assert (
                "a page may not connect: its origin 'http://localhost:5173'"
                in server.log.read_text()
            )


class TestAWebSocketAtAnotherAddress:
    async def ask(self, caplog: pytest.LogCaptureFixture) -> list[str]:
        sent: list[object] = []

        async def receive() -> dict[str, object]:
            return {"type": "websocket.connect"}

        async def send(message: object) -> None:
            sent.append(message)

        with caplog.at_level(logging.WARNING, "bindserver"):
            await refuse({"type": "websocket", "path": "/live/"}, receive, send)
        assert sent == [{"type": "websocket.close", "code": 4404}]
        return [record.getMessage() for record in caplog.records]

    @override_settings(DEBUG=True)
    async def test_in_debug_mode_the_log_says_where_it_is(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        [line] = await self.ask(caplog)
        assert "no WebSocket is at '/live/': bindings are served at /ws/" in line

    async def test_else_it_keeps_silent(self, caplog: pytest.LogCaptureFixture) -> None:
        assert await self.ask(caplog) == []


def test_a_database_that_was_never_migrated_is_told_of_when_the_server_starts(
    tmp_path: Path,
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"sqlite:///{tmp_path / 'new.sqlite3'}"
    env = {**os.environ, "DEBUG": "1", "DEMO": "1", "DATABASE_URL": url}
    env.pop("DJANGO_SETTINGS_MODULE", None)  # of the tests; manage.py has its own
    server = Process(
        [sys.executable, "manage.py", "bindserver", "--no-reload", "--port", str(port)],
        port=port,
        env=env,
        cwd=ROOT,
        log=tmp_path / "log",
    )
    server.start()
    try:
        assert "unapplied migration(s)" in server.log
        assert "Run 'python manage.py migrate' to apply them." in server.log
    finally:
        server.stop()
