"""`/healthz` and `/readyz`, for load balancers and supervisors.

They are answered below Django: no allowed host, redirect, session or busy thread pool stands
between a probe and the answer. What is wrong is named, and its error goes to the log alone, since
errors of databases quote addresses and users.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from channels import DEFAULT_CHANNEL_LAYER
from channels.layers import channel_layers
from django.db import DEFAULT_DB_ALIAS, connections

from bindserver.bindings.registry import registry
from bindserver.conf import conf
from bindserver.database import is_served
from bindserver.database.snapshot import connect, open_connection
from bindserver.hub.hub import hub
from bindserver.relay.relay import reaches_others

READY_SECONDS = 2.0
"""How long a database or the channel layer may take to answer."""

NOBODY = "bindserver.readyz"
"""A group that nobody is in: a message to it goes to the layer, and no further."""

PROBES = {"sqlite": "SELECT 1 FROM sqlite_master"}
"""What to ask of a database; SQLite answers a plain SELECT 1 without looking at its file."""

logger = logging.getLogger("bindserver.http")


class HealthChecks:
    """An ASGI application that answers `paths`, and only those."""

    paths = ("/healthz", "/readyz")

    def __init__(self) -> None:
        self._asking: dict[str, asyncio.Future[None]] = {}

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["method"] not in ("GET", "HEAD"):
            await respond(scope, send, 405, {"status": "GET and HEAD only"})
        elif scope["path"] == "/healthz":
            await respond(scope, send, 200, {"status": "alive"})
        else:
            await self._tell_readiness(scope, send)

    async def _tell_readiness(self, scope: Mapping[str, Any], send: Any) -> None:
        problems = await self._problems()
        content: dict[str, object] = {"status": "not ready" if problems else "ready"}
        if problems:
            content["problems"] = problems
        if views := [told for alias in watched_databases() for told in _stragglers(alias)]:
            content["views"] = views
        await respond(scope, send, 503 if problems else 200, content)

    async def _problems(self) -> dict[str, str]:
        """Return what is out of reach, and which views are not caught up."""
        names = [f"database {alias}" for alias in watched_databases()]
        names += ["channel layer"] if reaches_others() else []
        answers = await asyncio.gather(*(self._problem(name) for name in names))
        behind = {f"views of {alias}": _lag(alias) for alias in watched_databases()}
        found = {**dict(zip(names, answers, strict=True)), **behind}
        return {name: problem for name, problem in found.items() if problem}

    async def _problem(self, name: str) -> str:
        """Ask once, however many probes there are: one that hangs must not become many."""
        asking = self._asking.get(name)
        if asking is None or asking.done() or asking.get_loop() is not asyncio.get_running_loop():
            asking = self._asking[name] = asyncio.ensure_future(_ask(name))
        done, _ = await asyncio.wait([asking], timeout=READY_SECONDS)
        if not done:
            return f"no answer within {READY_SECONDS:g} s"
        problem = asking.exception()
        if problem is None:
            return ""
        logger.warning("bindserver: not ready: %s: %s", name, problem)
        return "out of reach"


def _lag(alias: str) -> str:
    """Return for how long views have been behind, where that is longer than any query may take."""
    lag = hub.lag(alias)
    return f"{lag:.0f} s behind" if lag > conf.QUERY_SECONDS + conf.STALE_SECONDS else ""


def _stragglers(alias: str) -> list[dict[str, object]]:
    """Return which views are not as the database is, in figures: a few words and no error."""
    now = time.monotonic()
    return [
        {
            "database": alias,
            "event": some.event,
            "state": some.reason.value,
            "count": some.count,
            "seconds": round(now - some.since, 1),
        }
        for some in hub.lagging_views(alias)
    ]


def watched_databases() -> list[str]:
    """Return the databases that bindings read, or the default one while there are none."""
    return list(filter(is_served, registry.aliases())) or [DEFAULT_DB_ALIAS]


async def respond(
    scope: Mapping[str, Any],
    send: Callable[[dict[str, Any]], Awaitable[None]],
    status: int,
    content: Mapping[str, Any],
) -> None:
    """Send a small JSON answer that nobody keeps."""
    body = json.dumps(content).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    if status == 405:
        headers.append((b"allow", b"GET, HEAD"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


async def _ask(name: str) -> None:
    kind, _, alias = name.partition(" ")
    if kind == "database":
        await asyncio.get_running_loop().run_in_executor(None, _ask_database, alias)
    else:
        async with asyncio.timeout(READY_SECONDS * 5):
            await _ask_channel_layer()


def _ask_database(alias: str) -> None:
    """Read something on a connection of our own, so that a file that is gone is missed too."""
    connection = open_connection(alias)
    try:
        connect(connection)
        with connection.cursor() as cursor:
            cursor.execute(PROBES.get(connection.vendor, "SELECT 1"))
            cursor.fetchone()
    finally:
        connection.close()
        del connections[alias]


async def _ask_channel_layer() -> None:
    layer = channel_layers[DEFAULT_CHANNEL_LAYER]
    await layer.group_send(NOBODY, {"type": "nothing"})
