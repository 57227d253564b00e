"""A WebSocket client for tests: the wire contract's messages, and nothing kept."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect

Message = tuple[str, dict[str, Any]]
READ_BUFFER = 16_384
"""A small buffer in the kernel, so that a client that stops reading is felt soon. Through one of
4 KB a backlog comes 8 KB at a time, every 200 ms: the sender finds the window too small to be worth
a segment, and waits for TCP's persist timer."""


class Client:
    """One connection to a server's WebSocket.

    Args:
        connection: the open connection; `Client.open` makes one.
    """

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    @classmethod
    async def open(
        cls, url: str, *, cookie: str | None = None, compression: str | None = None
    ) -> Client:
        """Connect.

        Args:
            url: the server's.
            cookie: the value of Django's session cookie.
            compression: "deflate" offers what browsers do.
        """
        address = urlsplit(url)
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, READ_BUFFER)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, (address.hostname, address.port))
        connection = await connect(
            url,
            sock=sock,
            compression=compression,
            max_queue=2,
            ping_interval=None,
            close_timeout=0.2,
            max_size=None,
            additional_headers={"Cookie": f"sessionid={cookie}"} if cookie else None,
        )
        return cls(connection)

    async def send(self, event: str, data: Any = None) -> None:
        """Send one message."""
        message = {"event": event} if data is None else {"event": event, "data": data}
        await self._connection.send(json.dumps(message))

    async def receive(self) -> Message:
        """Return the next message's event and data.

        Raises:
            websockets.ConnectionClosed: the connection is no more.
        """
        message = json.loads(await self._connection.recv())
        data = message.get("data")
        return message["event"], data if isinstance(data, dict) else {"data": data}

    @property
    def close_code(self) -> int | None:
        """The code that the connection was closed with."""
        return self._connection.close_code

    async def close(self) -> None:
        """Close in order."""
        await self._connection.close()

    def abort(self) -> None:
        """Be gone without a word, as a phone in a tunnel."""
        self._connection.transport.abort()
