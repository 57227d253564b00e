"""Sends odd input to a server and judges its answers, while a bystander keeps getting frames."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections import Counter
from pathlib import Path

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from bindserver.engine.protocol import Closing, Code
from tests.fuzz import inputs
from tests.support.program import Program
from tests.support.server import Server
from tests.support.talk import PATIENCE_SECONDS, Following, Talk, talking

CLOSINGS = {int(code) for code in Closing} | {1000, 1007}
STATUSES = {
    *(101, 200, 304, 400, 401, 403, 404, 405, 406, 414, 415, 426, 431, 503),
    *(301, 501),  # Django adds the slash that a path lacks
}
SECRETS = ("Traceback (", "SELECT", "app_product", "for-tests-only", "site-packages", '.py"')
UNHANDLED = ("Traceback", "ASGI callable", "never retrieved", "after a failure", "Internal Server")

HANDSHAKE = (
    b"GET /ws/ HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)

FUZZED = {
    "MAX_MALFORMED": 1_000_000,
    "MAX_MESSAGES_PER_SECOND": 100_000,
    "MAX_MESSAGES_BURST": 100_000,
    "LINGER_SECONDS": 0.5,
    "HEAD_SECONDS": 600.0,  # on a busy machine these strangers are slow themselves
    "BODY_SECONDS": 600.0,
    "METRICS_TOKEN": inputs.METRICS_TOKEN,
}
"""Settings of a server that hears a stranger out."""


class Attack:
    """One server's strangers.

    Args:
        server: the server, which has some products.
        program: writes to its database.
        seed: what they send.

    Attributes:
        answers: how often each code and status was heard.
    """

    def __init__(self, server: Server, program: Program, seed: int) -> None:
        self._server = server
        self._program = program
        self._rng = random.Random(seed)
        self._writes = 0
        self.answers: Counter[str] = Counter()

    async def round(self, *, frames: int, requests: int) -> None:
        """Let four strangers send frames and four requests, while a bystander is served."""
        async with talking(self._server.ws) as bystander:
            products = await bystander.follow("products")
            async with asyncio.TaskGroup() as group:
                for _ in range(4):
                    rng = random.Random(self._rng.random())
                    group.create_task(self._send_frames(rng, frames, products.cursor))
                    rng = random.Random(self._rng.random())
                    group.create_task(self._send_requests(rng, requests))
                    rng = random.Random(self._rng.random())
                    group.create_task(self._send_raw(rng, requests // 4))
                for _ in range(3):
                    await self._see_write(bystander, products)
            await self._see_write(bystander, products)
        self.judge_log()

    def judge_log(self) -> None:
        """Make sure that nothing in the log is unhandled."""
        log = self._server.log.read_text()
        for word in UNHANDLED:
            at = log.find(word)
            assert at < 0, log[max(0, at - 1_000) : at + 5_000]

    def memory(self) -> int:
        """Return how many KiB the server holds."""
        lines = Path(f"/proc/{self._server.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))

    async def _see_write(self, bystander: Talk, products: Following) -> None:
        self._writes += 1
        stock = self._writes
        sql = "UPDATE app_product SET stock = ?"
        await asyncio.to_thread(self._program.run, sql, stock)
        await bystander.until(lambda: set(products.column("stock")) == {stock})
        assert "stale" not in products.actions

    # Frames.

    async def _send_frames(self, rng: random.Random, count: int, cursor: str) -> None:
        while count > 0:
            async with talking(self._server.ws) as talk:
                listener = asyncio.create_task(self._hear_all(talk.socket))
                try:
                    while count > 0:
                        count -= 1
                        await self._send(talk.socket, rng, cursor)
                    await talk.socket.close()
                except ConnectionClosed:
                    pass  # shown the door: come back
                await listener

    async def _send(self, socket: ClientConnection, rng: random.Random, cursor: str) -> None:
        if rng.random() < 0.005:  # these end a connection
            sent = rng.choice([b"\x00\xff", b"", b"\xed\xa0\x80" * 20])
            await socket.send(sent, text=rng.choice([None, True]))
            return
        frame = inputs.frame(rng, cursor)
        # A lone surrogate that is no escape has no UTF-8: it goes as bytes that are none either.
        data = frame if isinstance(frame, bytes) else frame.encode("utf-8", "surrogatepass")
        await socket.send(data, text=True)

    async def _hear_all(self, socket: ClientConnection) -> None:
        while True:
            try:
                text = await socket.recv()
            except ConnectionClosed as problem:
                closed = problem
                break
            assert isinstance(text, str)
            self._judge(text)
        # Where more was on its way to the server, TCP resets the connection, and what the server
        # said last is lost.
        if closed.rcvd is not None:
            assert closed.rcvd.code in CLOSINGS, closed
            self.answers[f"closed {closed.rcvd.code}"] += 1

    def _judge(self, text: str) -> None:
        data = json.loads(text)["data"]
        action = data.get("action") if isinstance(data, dict) else None
        if action != "error":
            return
        code = Code(data["payload"]["code"])
        assert code is not Code.INTERNAL, text
        self.answers[code] += 1
        detail = data["payload"]["detail"]
        assert not any(word in detail for word in SECRETS), text

    # Frames of raw bytes.

    async def _send_raw(self, rng: random.Random, connections: int) -> None:
        """Open WebSockets, and send frames that no library would."""
        for _ in range(connections):
            reader, writer = await asyncio.open_connection("127.0.0.1", self._server.port)
            try:
                writer.write(HANDSHAKE)
                async with asyncio.timeout(PATIENCE_SECONDS):
                    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
                    writer.write(b"".join(inputs.raw_frame(rng) for _ in range(rng.randrange(20))))
                    writer.write_eof()
                    with contextlib.suppress(ConnectionError):
                        await reader.read()
            finally:
                writer.close()
            self.answers["raw"] += 1

    # Requests.

    async def _send_requests(self, rng: random.Random, count: int) -> None:
        for _ in range(count):
            said = inputs.request(rng)
            async with asyncio.timeout(PATIENCE_SECONDS):
                status, body = await self._ask(said)
            assert status in STATUSES, (said, body)
            assert not any(word in body for word in SECRETS), (said, body)
            self.answers[str(status)] += 1

    async def _ask(self, said: bytes) -> tuple[int, str]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._server.port)
        try:
            writer.write(said)
            await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
            status = int(head.split(b" ", 2)[1])
            body = b"" if status == 101 else await reader.read()
            return status, body.decode("utf-8", "replace")
        finally:
            writer.close()
