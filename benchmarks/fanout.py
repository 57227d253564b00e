"""How many frames a second one server brings to very many WebSocket clients, and at what cost.

Run with `python -m benchmarks.fanout --clients 1000`. It starts a server of ours on SQLite on one
core, and on another one a process with all clients, and one that writes one row at a time, each in
a transaction of its own. Printed are frames a second, microseconds of the server's processor for a
frame, and how busy the process with the clients was, which must not be what limits. In the same run
it prints what the system's own call takes: a loop of `send` in C, with frames of the same length,
to the same clients on the same cores. It needs a C compiler for that.

With `--pause 0.2` it rests between writes, and tells how long it takes from a commit until the last
client has its frame. Printed, too, is what an idle client of them takes of the server's memory,
with a browser's headers; the system's sockets are not in it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import secrets
import selectors
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.homes import TICKS, SQLite

FLOOR = Path(__file__).with_name("floor.c")
FRAME = b'{"event":"products"'
PATIENCE_SECONDS = 120.0
SETTINGS = "benchmarks.settings"
"""One address may have any number of connections."""
SUBSCRIBE = b'{"event":"products"}'
PING = b"\x89\x04"
"""What a server's ping begins with."""
WARM = 200
"""So many clients come and stay before memory is measured."""


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
    """

    def __init__(self, port: int, count: int, *, shake_hands: bool) -> None:
        self._selector = selectors.DefaultSelector()
        self._tails: dict[int, bytes] = {}
        self.frames = self.bytes = 0
        for _ in range(count):
            sock = socket.create_connection(("127.0.0.1", port))
            if shake_hands:
                sock.sendall(_handshake(port))
            sock.setblocking(False)
            self._tails[sock.fileno()] = b""
            self._selector.register(sock, selectors.EVENT_READ)
        self._shakes_hands = shake_hands

    def follow(self) -> None:
        """Have each of them ask for the binding, and wait until all are answered."""
        self._hear_until(b"\r\n\r\n", len(self._tails))
        self.frames = 0
        for key in self._selector.get_map().values():
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
            if (at := data.find(PING)) >= 0:
                sock.sendall(b"\x8a\x84" + bytes(4) + data[at + 2 : at + 6])
            said = self._tails[key.fd] + data
            self.frames += said.count(marker)
            self.bytes += len(data)
            self._tails[key.fd] = said[-(len(marker) - 1) :]

    def _hear_until(self, marker: bytes, count: int) -> None:
        until = time.monotonic() + PATIENCE_SECONDS
        while self.frames < count:
            if time.monotonic() > until:
                raise TimeoutError(f"{self.frames} of {count} clients were answered")
            self.hear(0.1, marker)


def _handshake(port: int) -> bytes:
    """Return a handshake as a browser sends it."""
    lines = [
        "GET /ws/ HTTP/1.1", f"Host: 127.0.0.1:{port}", "Connection: Upgrade", "Pragma: no-cache",
        "Cache-Control: no-cache", "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 "
        "(KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36", "Upgrade: websocket",
        f"Origin: http://127.0.0.1:{port}", "Sec-WebSocket-Version: 13",
        "Accept-Encoding: gzip, deflate, br, zstd",
        "Accept-Language: en-GB,en;q=0.9,de-DE;q=0.8,de;q=0.7,en-US;q=0.6",
        f"Cookie: csrftoken={secrets.token_hex(16)}; theme={secrets.token_hex(16)}",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits", "", "",
    ]  # fmt: skip
    return "\r\n".join(lines).encode()


def _masked(payload: bytes) -> bytes:
    return bytes([0x81, 0x80 | len(payload), 0, 0, 0, 0]) + payload


def listen(port: int, count: int, core: int, shake_hands: bool, pipe: Connection) -> None:
    """Keep clients until the other end says so; tell it what they have heard whenever it asks."""
    os.sched_setaffinity(0, {core})
    clients = Clients(port, count, shake_hands=shake_hands)
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
def listening(port: int, count: int, core: int, *, shake_hands: bool) -> Iterator[Connection]:
    """Have another process keep clients; yield what to ask it by."""
    ours, theirs = multiprocessing.Pipe()
    spawned = multiprocessing.get_context("spawn")
    process = spawned.Process(target=listen, args=(port, count, core, shake_hands, theirs))
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


def computed(pid: int) -> float:
    """Return how many seconds of processor a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory(pid: int) -> int:
    """Return how many bytes a process has of its own."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Anonymous"))


def flood(
    program: Any, server: int, pipe: Connection, seconds: float, rate: float
) -> tuple[float, Heard]:
    """Write so often a second, for so many seconds, one row a transaction; print what comes of it,
    and return frames a second."""
    before, took, began = ask(pipe), computed(server), time.monotonic()
    writes = 0
    while time.monotonic() < began + seconds:
        program.run("UPDATE app_product SET stock = stock + 1 WHERE id = 1")
        writes += 1
        time.sleep(max(0.0, began + writes / rate - time.monotonic()))
    after, span = ask(pipe), time.monotonic() - began
    frames = after.frames - before.frames
    cost = (computed(server) - took) / max(1, frames)
    share = (after.computed - before.computed) / span
    size = (after.bytes - before.bytes) / max(1, frames)
    print(
        f"bindserver: {frames / span:,.0f} frames/s of {size:.0f} bytes, {cost * 1e6:.1f} µs of the"
        f" server's processor each; {writes / span:,.0f} writes/s; the clients' process was busy"
        f" for {share:.0%} of the time",
        flush=True,
    )
    return frames / span, after


def paced(program: Any, pipe: Connection, count: int, pause: float, times: int) -> None:
    """Write now and then, and print how long it takes until the last client has heard of it."""
    delays = []
    for _ in range(times):
        time.sleep(pause)
        wanted, began = ask(pipe).frames + count, time.perf_counter()
        program.run("UPDATE app_product SET stock = stock + 1 WHERE id = 1")
        while ask(pipe).frames < wanted:
            pass
        delays.append((time.perf_counter() - began) * 1e3)
    median, last = statistics.median(delays), statistics.quantiles(delays, n=100)[98]
    print(
        f"from a commit to the last of {count:,} clients: median {median:.1f} ms,"
        f" 99% {last:.1f} ms",
        flush=True,
    )


def floor(folder: Path, count: int, size: int, rounds: int, cores: Sequence[int]) -> float:
    """Print what a loop of `send` in C takes; return frames a second."""
    program = folder / "floor"
    subprocess.run(["cc", "-O2", "-o", program, FLOOR], check=True)
    command = ["taskset", "-c", str(cores[0]), str(program), str(count), str(size), str(rounds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with listening(port, count, cores[1], shake_hands=False):
            seconds, took = map(float, process.stdout.readline().split())
    frames = count * rounds
    print(
        f"send in C: {frames / seconds:,.0f} frames/s, {took / frames * 1e6:.1f} µs a frame",
        flush=True,
    )
    return frames / seconds


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--writes", type=float, default=300, help="how many a second")
    parser.add_argument("--pause", type=float, default=0.05)
    parser.add_argument("--times", type=int, default=100)
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    cores = [cores[0], cores[-1]]
    with tempfile.TemporaryDirectory() as folder:
        place = SQLite(Path(folder), durable=False).make(settings=SETTINGS)
        with place.server as server:
            subprocess.run(["taskset", "-acp", str(cores[0]), str(server.pid)], check=True,
                           stdout=subprocess.DEVNULL)  # fmt: skip
            program = place.program()
            program.add_products(1)
            with listening(server.port, WARM, cores[1], shake_hands=True):
                before = memory(server.pid)
                with listening(server.port, options.clients, cores[1], shake_hands=True):
                    each = (memory(server.pid) - before) / options.clients
            print(f"an idle client: {each / 1024:.1f} KiB", flush=True)
            with listening(server.port, options.clients, cores[1], shake_hands=True) as pipe:
                os.sched_setaffinity(0, {cores[1]})
                rate, heard = flood(program, server.pid, pipe, options.seconds, options.writes)
                paced(program, pipe, options.clients, options.pause, options.times)
        size = round(heard.bytes / max(1, heard.frames))
        rounds = max(10, round(rate * options.seconds / options.clients))
        most = floor(Path(folder), options.clients, size, rounds, cores)
        print(f"bindserver at {rate / most:.2f} of send in C")


if __name__ == "__main__":
    main()
