"""A project's own ways to prove who somebody is, for AUTHENTICATE."""

from __future__ import annotations

import asyncio
import builtins
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User

from bindserver import Proof

used: set[str] = set()


def by_ticket(token: str, headers: Mapping[str, str]) -> Any:
    """Take "<number>:<user's name>[:<seconds>]", once."""
    if token == "slow":
        time.sleep(3)
    if token == "break":
        raise RuntimeError("a secret of the function")
    if token in used or not User.objects.filter(username=token.split(":")[1]).exists():
        return None
    used.add(token)
    user = User.objects.get(username=token.split(":")[1])
    seconds = token.split(":")[2:]
    return (user, {"scope": "products"}, float(seconds[0]) if seconds else None)


async def by_name(token: str, headers: Mapping[str, str]) -> Proof | None:
    """Take a user's name, if the handshake has the header for it."""
    if headers.get("x-door") != "open":
        return None
    return Proof(user=await User.objects.aget(username=token))


def by_held_ticket(token: str, headers: Mapping[str, str]) -> Any:
    """Take no token, and tell nobody so while there is a file that TICKET_HOLD names."""
    print("held", flush=True)
    while Path(os.environ["TICKET_HOLD"]).exists():
        time.sleep(0.01)
    return None


def by_leaving(token: str, headers: Mapping[str, str]) -> Any:
    """Raise what a token names, none of which is an Exception."""
    raise {**vars(builtins), "CancelledError": asyncio.CancelledError}[token]
