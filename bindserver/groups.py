"""Sends to channel-layer groups from threads: on the event loop that serves, where there is one.

A layer belongs to the loop that reads from it: the one in memory wakes nobody from another thread,
and Redis' keeps its connections for each loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer

logger = logging.getLogger("bindserver")

SEND_SECONDS = 10.0

_serving: list[asyncio.AbstractEventLoop] = []


def serve_from_this_loop() -> None:
    """Send from the running event loop from now on; without one, nothing changes."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return
    _serving[:] = [loop]


def send_to_groups(groups: Iterable[str], message: Mapping[str, Any]) -> None:
    """Send a message to each group, and return when the layer has it.

    Raises:
        TimeoutError: the layer does not take it.
        Exception: whatever the layer raises.
    """
    groups = list(groups)
    layer = get_channel_layer()
    if layer is None or not groups:
        return

    async def send() -> None:
        for group in groups:
            await layer.group_send(group, dict(message))

    loop = _loop()
    if loop is None:
        async_to_sync(send)()
    else:
        asyncio.run_coroutine_threadsafe(send(), loop).result(SEND_SECONDS)


def _loop() -> asyncio.AbstractEventLoop | None:
    """Return the loop that serves, if it runs, and in another thread than this one."""
    loop = _serving[0] if _serving else None
    if loop is None or loop.is_closed() or not loop.is_running():
        return None
    try:
        here = asyncio.get_running_loop()
    except RuntimeError:
        return loop
    return None if here is loop else loop
