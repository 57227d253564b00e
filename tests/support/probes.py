"""What a server answers to probes."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.support.process import PATIENCE_SECONDS, get
from tests.support.server import Server

LOOK_SECONDS = 0.05


async def probe(server: Server, path: str) -> tuple[int, dict[str, Any]]:
    """Return the status of `healthz` or `readyz`, and what it says."""
    status, text = await asyncio.to_thread(get, f"http://127.0.0.1:{server.port}/{path}")
    return status, json.loads(text)


async def ready(server: Server) -> None:
    """Wait until a server is."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await probe(server, "readyz"))[0] != 200:
            await asyncio.sleep(LOOK_SECONDS)
