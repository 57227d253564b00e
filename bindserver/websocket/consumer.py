"""The WebSocket transport: a Channels consumer, which lets a client in.

Where the server offers a way past ASGI, an accepted connection takes it, and the consumer ends;
else it hands on the client's messages for as long as the connection lasts.
"""

from __future__ import annotations

from typing import Any

from channels.consumer import AsyncConsumer

from bindserver.clients.connections import ABNORMAL
from bindserver.engine.protocol import SUBPROTOCOL
from bindserver.tracing import span
from bindserver.websocket.client import Client
from bindserver.websocket.wire import ASGIWire, StraightWire, wire_of


class BindingConsumer(AsyncConsumer):  # type: ignore[misc]  # channels has no types
    """One client's connection."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one connection. No channel of its own in the layer: hints come to the process."""
        client = Client(scope, ASGIWire(send))
        straight: StraightWire | None = None
        ended: Any = {}
        try:
            if (await receive())["type"] == "websocket.connect":
                with span("bindserver.handshake", {"bindserver.transport": "websocket"}) as shaking:
                    await send(_accept(scope))
                    straight = wire_of(scope, client)
                    await client.let_in(scope, straight)
                    if client.closed_with is not None:
                        shaking.set_attribute("bindserver.close_code", int(client.closed_with.code))
                if straight is None:
                    ended = await _hand_on(receive, client)
        except BaseException:  # and where it was cancelled: nobody is heard who was not let in
            if straight is not None:
                client.fail()
            raise
        finally:
            if straight is not None:
                straight.listen()
            else:
                client.gone(int(ended.get("code") or ABNORMAL), str(ended.get("reason") or ""))


def _accept(scope: Any) -> Any:
    accept = {"type": "websocket.accept"}
    if SUBPROTOCOL in (scope.get("subprotocols") or []):
        accept["subprotocol"] = SUBPROTOCOL
    return accept


async def _hand_on(receive: Any, client: Client) -> Any:
    """Tell what the client says, until it is gone; return the last ASGI message."""
    while (message := await receive())["type"] == "websocket.receive":
        if (rest := client.receive(message.get("text"))) is not None:
            await rest
    return message
