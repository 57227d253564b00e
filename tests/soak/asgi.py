"""The tests' application, which tells at /tasks how many tasks its event loop has."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

from tests.asgi import application as served


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answer /tasks, and hand on all else."""
    if scope["type"] != "http" or scope["path"] != "/tasks":
        await served(scope, receive, send)
        return
    gc.collect()
    body = str(len(asyncio.all_tasks())).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
