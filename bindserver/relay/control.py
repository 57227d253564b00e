"""Commands to all running servers, and who has taken them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Collection
from typing import Any

from bindserver.conf import conf
from bindserver.cycle.inbox import CommandKind
from bindserver.relay.messages import CommandMessage, dump
from bindserver.relay.relay import make_layer

READY_SECONDS = 5.0
ASK_AGAIN_SECONDS = 0.2


async def give(
    command: CommandKind, events: Collection[str] | None, seconds: float
) -> frozenset[str]:
    """Have all running servers do something with the views of some events.

    Args:
        command: what to do.
        events: bindings' events, None for all.
        seconds: how long to wait for servers to say that they will.

    Returns:
        The names of the server processes that said so.

    Raises:
        Exception: the channel layer is out of reach.
    """
    layer = make_layer()
    channel = await layer.new_channel()
    async with asyncio.timeout(READY_SECONDS):
        await _hear_oneself(layer, channel)
        message = CommandMessage(
            sender=secrets.token_hex(8),
            number=1,
            command=command,
            events=None if events is None else frozenset(events),
            reply=channel,
        )
        await layer.group_send(conf.RELAY_GROUP, dump(message))
    servers: set[str] = set()
    try:
        async with asyncio.timeout(seconds):
            while True:
                answer = await layer.receive(channel)
                if answer["type"] == "bindserver.done":
                    servers.add(answer["sender"])
    except TimeoutError:
        return frozenset(servers)


async def _hear_oneself(layer: Any, channel: str) -> None:
    """Return when what is sent to the channel arrives: servers answer quickly, and once."""
    receiving = asyncio.ensure_future(layer.receive(channel))
    while not receiving.done():
        await layer.send(channel, {"type": "bindserver.ready"})
        await asyncio.wait([receiving], timeout=ASK_AGAIN_SECONDS)
    receiving.result()
