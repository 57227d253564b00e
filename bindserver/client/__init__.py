"""A client of a binding server, for services, commands and tests that are written in Python.

    from bindserver.client import Client

    async with Client("wss://shop.example/ws/", token=token) as client:
        async for change in client.subscribe("products", {"category": 3}):
            print(change.action, change.payload)

`BlockingClient` is the same for code that does not await. Neither needs Django, or its settings.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from bindserver.client.conversation import NotSeen
from bindserver.client.subscription import Change, Problem, Status, Subscription, SubscriptionEnded

if TYPE_CHECKING:
    from bindserver.client.blocking import BlockingClient, BlockingSubscription
    from bindserver.client.client import Client

__all__ = [
    "BlockingClient",
    "BlockingSubscription",
    "Change",
    "Client",
    "NotSeen",
    "Problem",
    "Status",
    "Subscription",
    "SubscriptionEnded",
]

HOMES = {
    "BlockingClient": "bindserver.client.blocking",
    "BlockingSubscription": "bindserver.client.blocking",
    "Client": "bindserver.client.client",
}
"""Where that lives which needs the `websockets` package."""


def __getattr__(name: str) -> Any:
    """Import what connects when it is first used: a copy of rows needs no package."""
    if name in HOMES:
        return getattr(import_module(HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
