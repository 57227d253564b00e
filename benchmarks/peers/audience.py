"""Very many clients in a process of their own, which ask for the next message and count."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection

WINDOW = 48
"""How many messages may be on their way: a server never waits, and buffers are not full."""

PASS_SECONDS = 0.005
"""How often all sockets are read: several frames at once, lest this process be what limits."""

PATIENCE_SECONDS = 120.0


def text_frame(text: str) -> bytes:
    """Return a client's frame with a text: its mask is 0."""
    payload = text.encode()
    return bytes([0x81, 0x80 | len(payload), 0, 0, 0, 0]) + payload


def handshake(path: str, port: int) -> bytes:
    """Return a client's handshake."""
    lines = [
        f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Upgrade: websocket",
        "Connection: Upgrade", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13", f"Origin: http://127.0.0.1:{port}", "", "",
    ]  # fmt: skip
    return "\r\n".join(lines).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How clients speak to a server.

    Attributes:
        path: where they connect; empty where there is no handshake.
        greeting: what each says once it is connected.
        greeted: what each is answered.
        marker: what each message has in it, once.
        trigger: what one of them says to have the next message sent to all; empty where that is
            somebody else's doing.
        posts: whether that is a request of HTTP, on a connection of its own.
    """

    path: str = "/ws/"
    greeting: bytes = b""
    greeted: bytes = b""
    marker: bytes = b'"event":"products"'
    trigger: bytes = b""
    posts: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What was heard in a while.

    Attributes:
        frames: how many messages.
        bytes: how many bytes.
        seconds: in how long.
        computed: for how long the clients' process computed.
    """

    frames: int
    bytes: int
    seconds: float
    computed: float


class Audience:
    """Clients that count messages and do nothing else.

    Args:
        port: where they connect.
        count: how many there are.
        manner: how they speak.
    """

    def __init__(self, port: int, count: int, manner: Manner) -> None:
        self._manner = manner
        self._sockets: list[socket.socket] = []
        self._tails: list[bytes] = []
        self.frames = self.bytes = 0
        for _ in range(count):
            sock = socket.create_connection(("127.0.0.1", port))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if manner.path:
                sock.sendall(handshake(manner.path, port))
            sock.setblocking(False)
            self._sockets.append(sock)
            self._tails.append(b"")
        self._poster = socket.create_connection(("127.0.0.1", port)) if manner.posts else None

    def greet(self) -> None:
        """Have all of them connected, and answered."""
        if self._manner.path:
            self._until_all(b"\r\n\r\n")
        if self._manner.greeting:
            self.say(self._manner.greeting)
            self._until_all(self._manner.greeted)

    def _until_all(self, marker: bytes) -> None:
        self.frames = 0
        until = time.monotonic() + PATIENCE_SECONDS
        while self.frames < len(self._sockets):
            if time.monotonic() > until:
                raise TimeoutError(f"{self.frames} of {len(self._sockets)} clients were answered")
            time.sleep(PASS_SECONDS)
            self.read(marker)
        self.frames = 0

    def say(self, frame: bytes) -> None:
        """Have all of them say something."""
        for sock in self._sockets:
            sock.sendall(frame)

    def read(self, marker: bytes) -> int:
        """Read what is there; return how many messages that were."""
        found, tail = 0, len(marker) - 1
        for number, sock in enumerate(self._sockets):
            try:
                data = sock.recv(262_144)
            except BlockingIOError:
                continue
            if not data:
                raise ConnectionError("the server has closed a connection")
            said = self._tails[number] + data
            found += said.count(marker)
            self.bytes += len(data)
            self._tails[number] = said[-tail:]
        self.frames += found
        return found

    def listen(self, seconds: float) -> Counted:
        """Have messages sent, and count them."""
        self.frames = self.bytes = asked = 0
        began, before = time.monotonic(), sum(os.times()[:2])
        last = began
        while time.monotonic() < began + seconds:
            if self._manner.trigger:
                wanted = self.frames // len(self._sockets) + WINDOW
                for _ in range(wanted - asked):
                    self._ask()
                asked = max(asked, wanted)
            time.sleep(PASS_SECONDS)
            if self.read(self._manner.marker):
                last = time.monotonic()
        return Counted(
            frames=self.frames, bytes=self.bytes, seconds=last - began,
            computed=sum(os.times()[:2]) - before,
        )  # fmt: skip

    def drain(self, ended: Callable[[], bool]) -> None:
        """Read until it is over, and count nothing."""
        while not ended():
            time.sleep(PASS_SECONDS)
            for sock in self._sockets:
                with contextlib.suppress(BlockingIOError):
                    sock.recv(262_144)

    def _ask(self) -> None:
        if self._poster is None:
            self._sockets[0].sendall(self._manner.trigger)
            return
        self._poster.sendall(self._manner.trigger)
        while b"\r\n\r\n" not in self._poster.recv(65_536):
            pass


def attend(
    port: int, count: int, manner: Manner, core: int, seconds: float, pipe: Connection
) -> None:
    """Be the audience of a server, in a process of its own: say "ready", warm up, and count when
    told to. One that shakes no hands sends and ends by itself, and is read until then."""
    os.sched_setaffinity(0, {core})
    audience = Audience(port, count, manner)
    audience.greet()
    pipe.send("ready")
    pipe.recv()
    if not manner.path:
        audience.drain(pipe.poll)
        return
    audience.listen(seconds / 4)
    pipe.send("warm")
    pipe.recv()
    pipe.send(audience.listen(seconds))
    pipe.recv()
