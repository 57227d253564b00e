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

With `--compression` the server compresses for clients that offer it, and clients that do and do not
take turns, round by round. Printed are both costs, their ratio, and what a client of either kind
takes of the server's memory.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.homes import TICKS, SQLite
from benchmarks.listeners import Heard, ask, listening

FLOOR = Path(__file__).with_name("floor.c")
SETTINGS = "benchmarks.settings"
"""One address may have any number of connections."""
COMPRESSING_SETTINGS = "benchmarks.compressing_settings"
WARM = 200
"""So many clients come and stay before memory is measured."""


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
) -> tuple[float, float, Heard]:
    """Write so often a second, for so many seconds, one row a transaction; print what comes of it,
    and return frames a second, and the seconds of the server's processor that each took."""
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
    return frames / span, cost, after


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


def idle(port: int, server: int, count: int, core: int) -> float:
    """Return how many bytes of the server's memory a client takes that follows, and hears
    nothing."""
    with listening(port, WARM, core, shake_hands=True):
        before = memory(server)
        with listening(port, count, core, shake_hands=True):
            return (memory(server) - before) / count


def compare(program: Any, server: Any, core: int, options: argparse.Namespace) -> None:
    """Print what frames cost at least with clients that offer compression, and with those that do
    not, in turn; and what a client of each kind takes."""
    kinds = {False: "not compressed", True: "compressed"}
    with ExitStack() as stack:
        for offer in kinds:
            stack.enter_context(listening(server.port, WARM, core, shake_hands=True, offer=offer))
        for offer, kind in kinds.items():
            before = memory(server.pid)
            stack.enter_context(
                listening(server.port, options.clients, core, shake_hands=True, offer=offer)
            )
            each = (memory(server.pid) - before) / options.clients
            print(f"an idle client, {kind}: {each / 1024:.1f} KiB", flush=True)
    os.sched_setaffinity(0, {core})
    costs: dict[bool, list[float]] = {offer: [] for offer in kinds}
    for number in range(options.rounds):
        for offer in (False, True) if number % 2 else (True, False):
            print(f"{kinds[offer]}: ", end="")
            with listening(
                server.port, options.clients, core, shake_hands=True, offer=offer
            ) as pipe:
                costs[offer].append(
                    flood(program, server.pid, pipe, options.seconds, options.writes)[1]
                )
    plain, compressed = (min(costs[offer]) for offer in kinds)  # a busy machine only adds
    print(
        f"a frame takes {plain * 1e6:.1f} µs not compressed, {compressed * 1e6:.1f} compressed:"
        f" {plain / compressed:.2f} of the rate"
    )


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--writes", type=float, default=300, help="how many a second")
    parser.add_argument("--pause", type=float, default=0.05)
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--compression", action="store_true")
    parser.add_argument("--rounds", type=int, default=4, help="with --compression, of each kind")
    options = parser.parse_args()
    settings = COMPRESSING_SETTINGS if options.compression else SETTINGS
    cores = sorted(os.sched_getaffinity(0))
    cores = [cores[0], cores[-1]]
    with tempfile.TemporaryDirectory() as folder:
        place = SQLite(Path(folder), durable=False).make(settings=settings)
        with place.server as server:
            subprocess.run(["taskset", "-acp", str(cores[0]), str(server.pid)], check=True,
                           stdout=subprocess.DEVNULL)  # fmt: skip
            program = place.program()
            program.add_products(1)
            if options.compression:
                compare(program, server, cores[1], options)
                return
            each = idle(server.port, server.pid, options.clients, cores[1])
            print(f"an idle client: {each / 1024:.1f} KiB", flush=True)
            with listening(server.port, options.clients, cores[1], shake_hands=True) as pipe:
                os.sched_setaffinity(0, {cores[1]})
                rate, _, heard = flood(program, server.pid, pipe, options.seconds, options.writes)
                paced(program, pipe, options.clients, options.pause, options.times)
        size = round(heard.bytes / max(1, heard.frames))
        rounds = max(10, round(rate * options.seconds / options.clients))
        most = floor(Path(folder), options.clients, size, rounds, cores)
        print(f"bindserver at {rate / most:.2f} of send in C")


if __name__ == "__main__":
    main()
