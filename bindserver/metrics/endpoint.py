"""`/metrics`: the numbers of this process in Prometheus' format, for whoever may read them.

It is answered below Django, like health checks, and on a thread of its own: no busy thread pool
stands before it, and the event loop goes on while thousands of connections are counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bindserver.metrics.access import is_wanted, may_read

PATH = "/metrics"


class MetricsEndpoint:
    """An ASGI application that answers `PATH`, where metrics are wanted."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="bindserver-metrics")

    def answers(self, path: str) -> bool:
        """Return whether a path is its own; without a setting it is the project's."""
        return path == PATH and is_wanted()

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["method"] not in ("GET", "HEAD"):
            await _respond(scope, send, 405, b"GET and HEAD only\n", (b"allow", b"GET, HEAD"))
        elif not may_read(scope):
            said = b"Who may read metrics is said by METRICS_ALLOW and METRICS_TOKEN.\n"
            await _respond(scope, send, 403, said)
        else:
            accept = next((v for n, v in scope["headers"] if n == b"accept"), b"")
            loop = asyncio.get_running_loop()
            kind, body = await loop.run_in_executor(self._pool, _written, accept.decode("latin-1"))
            await _respond(scope, send, 200, body, kind=kind.encode())


def _written(accept: str) -> tuple[str, bytes]:
    """Return the metrics of all processes that share them, in the best format that is accepted."""
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import choose_encoder

    from bindserver.metrics.collector import SharedCollector

    registry = CollectorRegistry()
    registry.register(SharedCollector())
    encode, kind = choose_encoder(accept)
    return kind, encode(registry)


async def _respond(
    scope: Mapping[str, Any],
    send: Any,
    status: int,
    body: bytes,
    *more: tuple[bytes, bytes],
    kind: bytes = b"text/plain; charset=utf-8",
) -> None:
    headers = [
        (b"content-type", kind),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        *more,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
