"""The WebSocket's address, asked by plain HTTP: 426, and a sentence that says what to do.

Where `bindserver.asgi.wrap` serves, `upgrade_required` answers. Everywhere else, such as under
`manage.py runserver`, no connection ever reaches the bindings; there a route at the end of the
project's own says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.core.handlers.asgi import ASGIRequest
from django.core.signals import request_started
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, get_resolver, re_path
from django.views.decorators.csrf import csrf_exempt

from bindserver.conf import conf

STATUS = 426

HERE = (
    "This address speaks WebSocket: connect to it with a WebSocket client, such as bindserver's "
    "own. If you did, a proxy on the way has dropped the Upgrade header: see docs/deployment.md.\n"
)
NOT_UNDER_WSGI = (
    "This server speaks no WebSocket: it runs Django by WSGI. Start `python manage.py bindserver` "
    "in its place or, with --standalone, beside it.\n"
)
NOT_WRAPPED = (
    "This application does not serve bindings. In asgi.py, write "
    "`application = bindserver.asgi.wrap(get_asgi_application())`.\n"
)


async def upgrade_required(scope: Mapping[str, Any], receive: Any, send: Any) -> None:
    """Answer one plain HTTP request for the WebSocket's address, as an ASGI application."""
    body = HERE.encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"upgrade", b"websocket"),
    ]
    if scope.get("http_version", "1.1").startswith("1"):  # later versions know no such header
        headers.append((b"connection", b"Upgrade, close"))
    await send({"type": "http.response.start", "status": STATUS, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


@csrf_exempt
@login_not_required
def no_websocket_here(request: HttpRequest) -> HttpResponse:
    """Answer a request, or a handshake, that reached Django: nothing serves bindings here."""
    by_asgi = isinstance(request, ASGIRequest)
    text = NOT_WRAPPED if by_asgi else NOT_UNDER_WSGI
    response = HttpResponse(text, status=STATUS, content_type="text/plain; charset=utf-8")
    if by_asgi:  # by WSGI, an application may not send this header
        response["Upgrade"] = "websocket"
    return response


def answer_behind_the_projects_own_routes() -> None:
    """Have Django answer at the WebSocket's address, where the project's URLs have nothing there.

    The route is added at the first request: no sooner may the project's URLs be loaded.
    """
    request_started.connect(_add_route, dispatch_uid="bindserver.http.upgrades")


def _add_route(sender: Any, **_: Any) -> None:
    try:
        patterns = get_resolver().url_patterns
    except Exception:
        return  # the project's URLs cannot be loaded, as Django finds out and says next
    route = _route(conf.WEBSOCKET_PATH)
    if isinstance(patterns, list) and route not in patterns:
        patterns.append(route)


@cache
def _route(wanted: str) -> URLPattern:
    return re_path(rf"^{re.escape(wanted.strip('/'))}/?$", no_websocket_here)
