"""What only the channel layer can tell an operator: `bindings doctor` asks it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from django.core import checks
from django.core.checks import CheckMessage

from bindserver.checks.looks import Irrelevant
from bindserver.relay.relay import make_layer, reaches_others

SILENT = "bindserver.W220"
"""The id where the channel layer does not answer."""

PING = {"type": "bindserver.ping"}


def layer_answers(seconds: float) -> Iterator[CheckMessage]:
    """Look whether the channel layer carries a message.

    Args:
        seconds: how long it may take.
    """
    if not reaches_others():
        raise Irrelevant
    try:
        asyncio.run(_ping(seconds))
    except Exception as problem:  # whatever the layer's driver raises
        what = f"no answer within {seconds:g} s" if isinstance(problem, TimeoutError) else problem
        yield checks.Warning(
            f"The channel layer is out of reach ({type(problem).__name__}: {what}).",
            hint="Is Redis running there, and is its address right? Without it orders reach no "
            "server, and signals of other processes are seen by comparing only.",
            id=SILENT,
        )


async def _ping(seconds: float) -> None:
    layer = make_layer()  # not flushed afterwards: some layers would lose all messages by that
    async with asyncio.timeout(seconds):
        channel = await layer.new_channel()
        receiving = asyncio.ensure_future(layer.receive(channel))
        while not receiving.done():  # a subscription takes a moment
            await layer.send(channel, PING)
            await asyncio.wait([receiving], timeout=0.1)
        receiving.result()
