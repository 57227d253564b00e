"""`/healthz` and `/readyz`, for load balancers and supervisors.

They are answered below Django, on the event loop, from what threads of ours have noted: no allowed
host, redirect, session, thread pool, database or code of the project's stands between a probe and
the answer. What is wrong is named, and its error goes to the log alone, since errors of databases
quote addresses and users.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from concurrent.futures import Future
from typing import Any

from django.db import DEFAULT_DB_ALIAS

from bindserver import supervision
from bindserver.bindings.registry import registry
from bindserver.conf import conf
from bindserver.cycle.lag import LaggingViews, LagReason
from bindserver.database import is_served
from bindserver.hub.hub import hub
from bindserver.relay import relay

STARTING_SECONDS = 5.0
"""For so long after the start, a probe waits for the first word of what is asked."""

LAYER = "channel layer"

WHY_UNANSWERED = {
    LagReason.BEHIND: "no turn has come to it",
    LagReason.LOADING: "it is still being loaded",
    LagReason.SET_ASIDE: "it cannot be read, and the log says why",
    LagReason.SPACED: "it has had its share of the time",
}


class HealthChecks:
    """An ASGI application that answers `paths`, and only those."""

    paths = ("/healthz", "/readyz")

    def __init__(self) -> None:
        self._aliases: list[str] = []
        self._began_at = 0.0

    def begin(self) -> None:
        """Have threads keep known what probes ask for."""
        self._aliases = watched_databases()
        self._began_at = time.monotonic()
        for alias in self._aliases:
            hub.watch(alias)

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["method"] not in ("GET", "HEAD"):
            await respond(scope, send, 405, {"status": "GET and HEAD only"})
        elif scope["path"] == "/healthz":
            await self._tell_liveness(scope, send)
        else:
            await self._tell_readiness(scope, send)

    async def _tell_liveness(self, scope: Mapping[str, Any], send: Any) -> None:
        if problems := supervision.gone():
            await respond(scope, send, 503, {"status": "not alive", "problems": problems})
        else:
            await respond(scope, send, 200, {"status": "alive"})

    async def _tell_readiness(self, scope: Mapping[str, Any], send: Any) -> None:
        if not self._aliases:  # the server has said nothing of its start
            self.begin()
        await self._first_words()
        problems = self._problems()
        warnings: dict[str, str] = {}
        if layer := _trouble_of_layer():
            (problems if hub.needs_hints() else warnings)[LAYER] = layer
        content: dict[str, object] = {"status": "not ready" if problems else "ready"}
        if problems:
            content["problems"] = problems
        warnings |= _unseen(self._aliases)
        if warnings:
            content["warnings"] = warnings
        if views := [told for alias in self._aliases for told in _stragglers(alias)]:
            content["views"] = views
        await respond(scope, send, 503 if problems else 200, content)

    async def _first_words(self) -> None:
        """Wait, in a process that has just begun, until something is known of all that counts."""
        words: list[Future[None]] = [hub.watch(alias) for alias in self._aliases]
        words += [one.known for one in relay.listening()]
        waiting = [asyncio.wrap_future(word) for word in words if not word.done()]
        seconds = self._began_at + STARTING_SECONDS - time.monotonic()
        if waiting and seconds > 0:
            await asyncio.wait(waiting, timeout=seconds)

    def _problems(self) -> dict[str, str]:
        """Return what keeps this process from serving, by part."""
        found = hub.troubles() | supervision.troubles()
        for alias in self._aliases:
            if problem := _lag(alias) or _unanswered(hub.lagging_views(alias)):
                found[f"views of {alias}"] = problem
        return found


def _trouble_of_layer() -> str:
    return next(filter(None, (one.trouble() for one in relay.listening())), "")


def _unseen(aliases: Collection[str]) -> dict[str, str]:
    """Return which tables' changes come late, by database: every process would see them as late, so
    that is no reason to send clients elsewhere."""
    return {
        f"change log on {alias}": (
            f"{', '.join(sorted(cycle.figures.unseen))}: no triggers, so changes are found by "
            "comparing; run `manage.py bindings capture install`, or see the log"
        )
        for alias, cycle in hub.cycles()
        if alias in aliases and cycle.figures.unseen
    }


def _lag(alias: str) -> str:
    """Return for how long views have been behind, where that is longer than any query may take."""
    lag = hub.lag(alias)
    return f"{lag:.0f} s behind" if lag > conf.QUERY_SECONDS + conf.STALE_SECONDS else ""


def _unanswered(views: Iterable[LaggingViews]) -> str:
    """Return whose first rows somebody has waited for too long, and why there are none."""
    for some in views:
        seconds = time.monotonic() - some.unanswered_since
        if seconds > conf.FIRST_ROWS_SECONDS:
            why = WHY_UNANSWERED[some.reason]
            return f"somebody waits for the first rows of {some.event} for {seconds:.0f} s: {why}"
    return ""


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
