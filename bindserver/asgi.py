"""`wrap`: bindings at `/ws/`, beside whatever a project's own ASGI application serves.

This module can be imported before Django is set up; `wrap` is called afterwards, as in
`wrap(get_asgi_application())`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from channels.routing import ProtocolTypeRouter
from django.apps import apps
from django.conf import settings
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.exceptions import AppRegistryNotReady, ImproperlyConfigured
from django.core.handlers.asgi import ASGIHandler

logger = logging.getLogger("bindserver.asgi")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
Middleware = Callable[[Any], Any]


def wrap(
    application: Any, *, middleware: Middleware | None = None, health: bool = False
) -> Wrapped:
    """Return an application that serves bindings at WEBSOCKET_PATH, and all else as before.

    Plain HTTP there, with the slash at the end or without, is answered by 426.

    Args:
        application: what `get_asgi_application()` returns, a Channels router, or any ASGI
            application.
        middleware: what stands before the bindings and puts the user into the scope; by default
            what Channels' `AuthMiddlewareStack` does, where sessions and users are installed.
        health: whether to answer `/healthz` and `/readyz` too.

    Raises:
        ImproperlyConfigured: Django is not set up yet, or bindserver is not installed in it.
    """
    _make_sure_that_django_is_set_up()
    # Bindings need models, and those need Django to be set up.
    from bindserver.checks.soundness import soundness
    from bindserver.http.health import HealthChecks
    from bindserver.hub.hub import hub
    from bindserver.metrics.endpoint import MetricsEndpoint
    from bindserver.supervision import end_process_where_hopeless
    from bindserver.websocket.consumer import BindingConsumer

    before = middleware or _default_middleware()
    checks = HealthChecks() if health else None

    def start() -> None:
        end_process_where_hopeless()
        hub.serve()
        if checks is not None:
            checks.begin()

    return Wrapped(
        application,
        bindings=before(BindingConsumer.as_asgi()),
        health=checks,
        metrics=MetricsEndpoint(),
        start=start,
        stop=hub.stop,
        check=soundness.begin,
    )


class Wrapped:
    """An ASGI application with bindings; `wrap` makes it.

    Args:
        application: the project's own.
        bindings: serves one WebSocket connection.
        health: answers the health checks' paths, if any.
        metrics: answers the paths that it says are its own, if any.
        start: called when the server starts, on its event loop.
        stop: called when the server shuts down; it may block.
        check: called before anything is served, and tells what is so wrong that no server should
            start; it may block.
    """

    def __init__(
        self,
        application: Application,
        *,
        bindings: Application,
        health: Any,
        start: Callable[[], None],
        stop: Callable[[], None],
        check: Callable[[], Sequence[str]] = tuple,
        metrics: Any = None,
    ) -> None:
        self._check = check
        self._metrics = metrics
        self._checked = False
        self._http = _with_static_files(application)
        self._sockets = application if carries(application, "websocket") else None
        self._bindings = bindings
        self._health = health
        self._inner = application
        self._start = start
        self._stop = stop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if not self._checked and scope["type"] != "websocket":  # which checks when it is open
            self._checked = True
            if scope["type"] == "http":
                # Where there is no lifespan the log is told now; bindings are refused one by one.
                asyncio.get_running_loop().run_in_executor(None, self._tell_problems)
        await self._application_for(scope)(scope, receive, send)

    def _tell_problems(self) -> None:
        try:
            self._check()
        except Exception:
            logger.exception("bindserver: the bindings cannot be checked")

    def _application_for(self, scope: Scope) -> Application:
        match scope["type"]:
            case "websocket":
                return self._socket_for(scope)
            case "http":
                return self._page_for(scope)
            case "lifespan":
                inner = self._inner if carries(self._inner, "lifespan") else None
                return Lifespan(inner, self._start, self._stop, self._check)
            case _:
                return self._inner

    def _page_for(self, scope: Scope) -> Application:
        """Return who answers an HTTP request."""
        if self._health is not None and scope["path"] in self._health.paths:
            checks: Application = self._health
            return checks
        if self._metrics is not None and self._metrics.answers(scope["path"]):
            metrics: Application = self._metrics
            return metrics
        if _is_at_our_path(scope):
            from bindserver.http.upgrades import upgrade_required

            return upgrade_required
        return self._http

    def _socket_for(self, scope: Scope) -> Application:
        """Return who serves a WebSocket: the bindings, the project, or nobody."""
        if _is_at_our_path(scope):
            return self._bindings
        if self._sockets is not None:
            return self._sockets
        # A proxy may have left its own prefix before ours; nobody else could mean this path.
        return self._bindings if _slashed(scope["path"]).endswith(_our_path()) else refuse


def _is_at_our_path(scope: Scope) -> bool:
    path: str = scope["path"]
    below = path.removeprefix(scope.get("root_path", ""))
    return _our_path() in (_slashed(path), _slashed(below))


def _our_path() -> str:
    from bindserver.conf import conf

    return _slashed(conf.WEBSOCKET_PATH)


def _slashed(path: str) -> str:
    """Return a path with a slash at its end: with and without one it is the same place."""
    return path if path.endswith("/") else f"{path}/"


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse a WebSocket before it is open; the client sees HTTP 403."""
    await receive()
    if settings.DEBUG:
        text = 'no WebSocket is at %.200r: bindings are served at %s (BINDSERVER["WEBSOCKET_PATH"])'
        logger.warning(f"bindserver: {text}", scope["path"], _our_path())
    await send({"type": "websocket.close", "code": 4404})


def carries(application: Any, protocol: str) -> bool:
    """Return whether an ASGI application may take a protocol; unknown ones get the doubt's benefit.

    Args:
        protocol: "websocket" or "lifespan".
    """
    if isinstance(application, ProtocolTypeRouter):
        return protocol in application.application_mapping
    return not isinstance(application, ASGIHandler)


def _with_static_files(application: Any) -> Application:
    """In debug mode serve static files too, as `runserver` does."""
    if (
        settings.DEBUG
        and apps.is_installed("django.contrib.staticfiles")
        and not isinstance(application, ASGIStaticFilesHandler)
    ):
        application = ASGIStaticFilesHandler(application)
    served: Application = application
    return served


def _default_middleware() -> Middleware:
    if apps.is_installed("django.contrib.sessions") and apps.is_installed("django.contrib.auth"):
        from bindserver.websocket.middleware import visitors

        stack: Middleware = visitors
        return stack
    return lambda inner: inner


def _make_sure_that_django_is_set_up() -> None:
    try:
        apps.check_apps_ready()
    except (AppRegistryNotReady, ImproperlyConfigured):
        raise ImproperlyConfigured(
            "Django is not set up yet. In asgi.py, set DJANGO_SETTINGS_MODULE first, and then "
            "write `application = bindserver.asgi.wrap(get_asgi_application())`."
        ) from None
    if not apps.is_installed("bindserver"):
        raise ImproperlyConfigured('Add "bindserver" to INSTALLED_APPS.')


class Lifespan:
    """Answers a server's lifespan messages: with our own start and end, and the application's.

    A server calls it once for its whole life. An application that knows no lifespan raises, which
    the ASGI specification allows; then it is answered for.

    Args:
        inner: the application inside; None when it takes no lifespan.
        start: begins what serves before anybody has asked; called on the server's event loop.
        stop: ends what we have started; it may block.
        check: tells what is so wrong that no server should start; it may block.
    """

    def __init__(
        self,
        inner: Application | None,
        start: Callable[[], None],
        stop: Callable[[], None],
        check: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._inner = inner
        self._check = check
        self._start = start
        self._stop = stop
        self._started = False
        self._begun = False

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Live as long as the server does."""
        problems = await asyncio.get_running_loop().run_in_executor(None, self._check)
        if problems:
            await receive()
            await send({"type": "lifespan.startup.failed", "message": "\n".join(problems)})
            return
        self._start()
        if self._inner is not None and await self._live_with(self._inner, scope, receive, send):
            return
        if not self._begun:
            await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._end()
        await send({"type": "lifespan.shutdown.complete"})

    async def _live_with(self, inner: Any, scope: Any, receive: Receive, send: Send) -> bool:
        """Hand the messages on; False when the application turns out to take none."""

        async def receiving() -> Any:
            message = await receive()
            self._begun = True
            if message["type"] == "lifespan.shutdown":
                await self._end()
            return message

        async def sending(message: Any) -> None:
            self._started = True
            await send(message)

        try:
            await inner(scope, receiving, sending)
        except Exception:
            if self._started:
                raise
            return False
        return self._started

    async def _end(self) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self._stop)
