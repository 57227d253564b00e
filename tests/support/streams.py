"""A client of event streams, as the WHATWG's parser reads them, on one thread."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.support.server import Server

PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Told:
    """One event of a stream."""

    name: str
    data: Any
    id: str


@dataclass(slots=True)
class Stream:
    """An open stream.

    Attributes:
        response: the response, whose body never ends by itself.
        comments: the comments that came.
        retry: after how many milliseconds the client is to come back.
        last_id: the id of the last event that had one.
    """

    response: http.client.HTTPResponse
    comments: list[str] = field(default_factory=list)
    retry: int | None = None
    last_id: str = ""

    @property
    def status(self) -> int:
        return self.response.status

    def next(self) -> Told:
        """Return the next event.

        Raises:
            EOFError: the stream has ended.
            TimeoutError: nothing comes.
        """
        told = self.next_or_end()
        if told is None:
            raise EOFError
        return told

    def next_or_end(self) -> Told | None:
        """Return the next event, None at the stream's end."""
        name = ""
        data: list[str] = []
        while line := self.response.readline():
            text = line.decode().rstrip("\r\n")
            label, _, value = text.partition(":")
            value = value.removeprefix(" ")
            if not text:
                if data:
                    return Told(name or "message", json.loads("\n".join(data)), self.last_id)
                name = ""
            elif not label:
                self.comments.append(value)
            elif label == "event":
                name = value
            elif label == "data":
                data.append(value)
            elif label == "id":
                self.last_id = value
            elif label == "retry":
                self.retry = int(value)
        return None


@contextmanager
def streaming(server: Server | int, path: str, **headers: str) -> Iterator[Stream]:
    """Ask a server, or what listens at a port, for a stream; headers have underscores."""
    port = server.port if isinstance(server, Server) else server
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("GET", path, headers={"Accept": "text/event-stream", **named})
        yield Stream(connection.getresponse())
    finally:
        sock: socket.socket | None = connection.sock
        if sock is not None:
            sock.close()
        connection.close()
