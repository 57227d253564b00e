"""Sends to channel-layer groups from threads: on the event loop that serves, where there is one.

A layer belongs to the loop that reads from it: the one in memory wakes nobody from another thread,
and Redis' keeps its connections for each loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer

logger = logging.getLogger("bindserver.websocket")

SEND_SECONDS = 10.0


class Teller(Protocol):
    """A binding or view that tells groups of its changes."""

    @property
    def groups(self) -> Sequence[str]:
        """The groups' names."""

    def get_user_group(self) -> str | None:
        """Return one more group."""

    def serialize_message(self, action: str, payload: Any) -> Any:
        """Return what the groups get as a change's payload."""


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


def groups_of(teller: Teller) -> list[str]:
    """Return the groups that hear of a binding or view, each once."""
    own = teller.get_user_group()
    return list(dict.fromkeys([*teller.groups, *([own] if own else [])]))


def tell_groups(teller: Teller, event: str, action: str, payload: Any) -> None:
    """Send a change to the groups. Of a "sync" they get the word alone: what they know may be old,
    and layers carry small messages only."""
    data: dict[str, Any] = {"action": action}
    if action != "sync":
        data["payload"] = teller.serialize_message(action, payload)
    send_to_groups(groups_of(teller), {"type": "bindserver.message", "event": event, "data": data})


def tells(teller: Any, base: Any) -> bool:
    """Return whether a class of tellers has groups, or does something that its base does not."""
    overridden = any(
        getattr(teller, name) is not getattr(base, name) for name in ("message", "get_user_group")
    )
    return overridden or bool(teller.groups)
