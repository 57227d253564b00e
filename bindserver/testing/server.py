"""A real server in a thread of the test's process, on the test database."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import uvicorn
from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.test.utils import modify_settings
from django.utils.module_loading import import_string

from bindserver.bindings.registry import registry
from bindserver.capture.log import LOGS, log_of, sift
from bindserver.capture.tables import tracked
from bindserver.conf import conf
from bindserver.exceptions import CaptureError
from bindserver.hub.hub import hub
from bindserver.queries.tables import reads_of
from bindserver.server.application import application_path

HOST = "127.0.0.1"


class LiveServer:
    """Where a server of this process listens.

    Attributes:
        url: its address, without a slash at the end.
        ws: where WebSockets connect.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://{HOST}:{port}"
        self.ws = f"ws://{HOST}:{port}{conf.WEBSOCKET_PATH}"

    def __str__(self) -> str:
        return self.url


@contextmanager
def serving() -> Iterator[LiveServer]:
    """Serve the project's ASGI application on a free port, for as long as the block lasts.

    The test must really commit: use it in a `TransactionTestCase`, or with pytest-django's
    `transactional_db`. The change log is installed for the time, where it can be.

    Raises:
        ImproperlyConfigured: a test database is in memory, or the project has no ASGI application.
    """
    with ExitStack() as stack:
        for alias in registry.aliases():
            _refuse_memory(alias)
            stack.enter_context(_logged(alias))
        stack.enter_context(modify_settings(ALLOWED_HOSTS={"append": [HOST, "localhost"]}))
        yield stack.enter_context(_listening(_application()))


def _refuse_memory(alias: str) -> None:
    connection: Any = connections[alias]
    if connection.vendor == "sqlite" and connection.is_in_memory_db():
        raise ImproperlyConfigured(
            f"The test database {alias!r} is in memory, where a server's own connections cannot "
            f"read while a test writes. Name a file: DATABASES[{alias!r}]['TEST'] = "
            "{'NAME': BASE_DIR / 'test.sqlite3'}."
        )


@contextmanager
def _logged(alias: str) -> Iterator[None]:
    """Have the change log in the test database, and take it away again if it was not there."""
    connection = connections[alias]
    if conf.CAPTURE == "signals" or connection.vendor not in LOGS:
        yield
        return
    log = log_of(connection)
    if log.installed():
        yield
        return
    try:
        reads = reads_of(registry.all(), alias)
        watched, _ = sift(log, tracked(reads, reads))
        log.install(watched)  # what else is read is compared from time to time
    except CaptureError:
        if conf.CAPTURE == "log":
            raise
        yield
        return
    try:
        yield
    finally:
        log.remove()


def _application() -> Any:
    module, _, name = application_path().partition(":")
    application = import_string(f"{module}.{name}")
    if "django.contrib.staticfiles" in settings.INSTALLED_APPS:
        return ASGIStaticFilesHandler(application)
    return application


@contextmanager
def _listening(application: Any) -> Iterator[LiveServer]:
    listener = socket.create_server((HOST, 0))
    config = uvicorn.Config(
        application,
        ws="websockets-sansio",
        ws_max_size=int(conf.MAX_MESSAGE_BYTES),
        ws_per_message_deflate=False,
        lifespan="auto",
        log_config=None,
        timeout_graceful_shutdown=2,
    )
    server = _Server(config)
    thread = threading.Thread(
        target=_run, args=(server, listener), name="bindserver-test-server", daemon=True
    )
    thread.start()
    try:
        server.up.wait()
        if not server.started:
            raise RuntimeError("the server has not started; its log says why")
        yield LiveServer(listener.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join()
        hub.stop()
        listener.close()


class _Server(uvicorn.Server):
    """uvicorn, which tells when it is up."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.up = threading.Event()

    async def startup(self, sockets: Any = None) -> None:
        try:
            await super().startup(sockets)
        finally:
            self.up.set()


def _run(server: _Server, listener: socket.socket) -> None:
    async def serve() -> None:
        await server.serve([listener])
        # Django's async queries ran on a thread of asgiref's; its connections end with the server.
        await sync_to_async(connections.close_all)()

    try:
        asyncio.run(serve())
    finally:
        server.up.set()
        connections.close_all()
