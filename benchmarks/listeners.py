"""Very many WebSocket clients in a process of their own, which count frames and do nothing else."""

from __future__ import annotations

import multiprocessing
import os
import secrets
import selectors
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

FRAME = b'{"event":"products"'
PATIENCE_SECONDS = 120.0
SUBSCRIBE = b'{"event":"products"}'
PING = b"\x89\x04"
"""What a server's ping begins with."""
COMPRESSED = 0xC1
"""What a compressed message begins with; the others are the server's own words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What the clients have heard so far.

    Attributes:
        frames: how many frames.
        bytes: how many bytes.
        computed: the seconds of processor that this took.
    """

    frames: int
    bytes: int
    computed: float


class Clients:
    """Clients in this process, which count frames and do nothing else.

    Args:
        port: where they connect.
        count: how many there are.
        shake_hands: whether it is WebSocket that they speak, and a binding that they follow.
        offer: whether they offer compression, and count what is compressed.
    """

    def __init__(self, port: int, count: int, *, shake_hands: bool, offer: bool = False) -> None:
        self._selector = selectors.DefaultSelector()
        self._tails: dict[int, bytes] = {}
        self.frames = self.bytes = 0
        for _ in range(count):
            sock = socket.create_connection(("127.0.0.1", port))
            if shake_hands:
                sock.sendall(_handshake(port, offer=offer))
            sock.setblocking(False)
            self._tails[sock.fileno()] = b""
            self._selector.register(sock, selectors.EVENT_READ)
        self._offers, self._counts_compressed = offer, False

    def follow(self) -> None:
        """Have each of them ask for the binding, and wait until all are answered."""
        self._hear_until(b"\r\n\r\n", len(self._tails))
        self.frames, self._counts_compressed = 0, self._offers
        for key in self._selector.get_map().values():
            self._tails[key.fd] = b""
            sock: Any = key.fileobj
            sock.sendall(_masked(SUBSCRIBE))
        self._hear_until(FRAME, len(self._tails))
        self.frames = self.bytes = 0

    def hear(self, seconds: float, marker: bytes = FRAME) -> None:
        """Read what comes within so many seconds."""
        for key, _ in self._selector.select(seconds):
            sock: Any = key.fileobj
            data = sock.recv(262_144)
            if not data:
                raise ConnectionError("the server has closed a connection")
            said = self._tails[key.fd] + data
            self.bytes += len(data)
            if self._counts_compressed:
                self._tails[key.fd] = self._walk(sock, said)
                continue
            if (at := data.find(PING)) >= 0:
                _answer(sock, data[at + 2 : at + 6])
            self.frames += said.count(marker)
            self._tails[key.fd] = said[-(len(marker) - 1) :]

    def _walk(self, sock: Any, said: bytes) -> bytes:
        """Count frame by frame; return the beginning of one that is still to come."""
        at, end = 0, len(said)
        while end - at > 4:
            size, head = said[at + 1], 2
            if size == 126:
                size, head = int.from_bytes(said[at + 2 : at + 4], "big"), 4
            if end < at + head + size:
                break
            self.frames += said[at] == COMPRESSED
            if said[at : at + 2] == PING:
                _answer(sock, said[at + 2 : at + 6])
            at += head + size
        return said[at:]

    def _hear_until(self, marker: bytes, count: int) -> None:
        until = time.monotonic() + PATIENCE_SECONDS
        while self.frames < count:
            if time.monotonic() > until:
                raise TimeoutError(f"{self.frames} of {count} clients were answered")
            self.hear(0.1, marker)


def _answer(sock: Any, asked: bytes) -> None:
    """Answer a ping."""
    sock.sendall(b"\x8a\x84" + bytes(4) + asked)


def _handshake(port: int, *, offer: bool) -> bytes:
    """Return a handshake as a browser sends it."""
    extensions = "permessage-deflate; client_max_window_bits" if offer else "none"
    lines = [
        "GET /ws/ HTTP/1.1", f"Host: 127.0.0.1:{port}", "Connection: Upgrade", "Pragma: no-cache",
        "Cache-Control: no-cache", "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 "
        "(KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36", "Upgrade: websocket",
        f"Origin: http://127.0.0.1:{port}", "Sec-WebSocket-Version: 13",
        "Accept-Encoding: gzip, deflate, br, zstd",
        "Accept-Language: en-GB,en;q=0.9,de-DE;q=0.8,de;q=0.7,en-US;q=0.6",
        f"Cookie: csrftoken={secrets.token_hex(16)}; theme={secrets.token_hex(16)}",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        f"Sec-WebSocket-Extensions: {extensions}", "", "",
    ]  # fmt: skip
    return "\r\n".join(lines).encode()


def _masked(payload: bytes) -> bytes:
    return bytes([0x81, 0x80 | len(payload), 0, 0, 0, 0]) + payload


def listen(
    port: int, count: int, core: int, shake_hands: bool, offer: bool, pipe: Connection
) -> None:
    """Keep clients until the other end says so; tell it what they have heard whenever it asks."""
    os.sched_setaffinity(0, {core})
    clients = Clients(port, count, shake_hands=shake_hands, offer=offer)
    if shake_hands:
        clients.follow()
    pipe.send("ready")
    while True:
        clients.hear(0.001)
        if pipe.poll():
            if pipe.recv() == "end":
                return
            pipe.send(
                Heard(frames=clients.frames, bytes=clients.bytes, computed=sum(os.times()[:2]))
            )


@contextmanager
def listening(
    port: int, count: int, core: int, *, shake_hands: bool, offer: bool = False
) -> Iterator[Connection]:
    """Have another process keep clients; yield what to ask it by."""
    ours, theirs = multiprocessing.Pipe()
    spawned = multiprocessing.get_context("spawn")
    process = spawned.Process(target=listen, args=(port, count, core, shake_hands, offer, theirs))
    process.start()
    try:
        if not ours.poll(PATIENCE_SECONDS) or ours.recv() != "ready":
            raise TimeoutError("the clients did not get ready")
        yield ours
        ours.send("end")
    finally:
        process.join(10)
        process.kill()


def ask(pipe: Connection) -> Heard:
    """Return what the clients have heard."""
    pipe.send("tell")
    heard: Heard = pipe.recv()
    return heard
