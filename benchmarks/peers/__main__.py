"""How fast one server brings a change to very many WebSocket clients, beside its peers.

Run with `make bench`, which installs the peers, or `python -m benchmarks.peers NAME …` with some of
them. Each server stands on one core, and on another one the clients, in one process, which read all
sockets every five milliseconds. They ask a peer for its next message whenever fewer than 48 are on
their way; for bindserver, another program writes one row in each transaction, as often as is said.
Messages have about 200 bytes.

Printed are frames a second, microseconds of the server's processor for a frame, both beside a loop
of `send` in C on the same cores in the same run, KiB of memory for a client, and how busy the
clients' process was, which must not be what limits. A busy machine takes time from all of them:
what a frame costs tells more then. `--plot FILE` draws that.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Event, Thread

from benchmarks.fanout import FLOOR, SETTINGS
from benchmarks.homes import TICKS, SQLite
from benchmarks.peers.audience import PATIENCE_SECONDS, Counted, Manner, attend, text_frame
from benchmarks.peers.plot import plotted
from benchmarks.peers.servers import PAYLOAD, PEERS, Peer, own_version
from tests.support.server import free_port

OWN = Manner(greeting=text_frame('{"event":"products"}'), greeted=b'"action":"sync"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """What was measured of one server.

    Attributes:
        name: the server's.
        title: what it is.
        version: which one.
        frames: how many messages a second.
        cost: microseconds of its processor for a message.
        memory: KiB for a client; None where that was not measured.
        clients: how busy the clients' process was, as a share of a core.
    """

    name: str
    title: str
    version: str
    frames: float
    cost: float
    memory: float | None
    clients: float


def family(pid: int) -> list[int]:
    """Return a process and those that it has started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in family(int(child)))]


def computed(pid: int) -> float:
    """Return for how many seconds a process, and those that it has started, have computed."""
    total = 0
    for one in family(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def resident(pid: int) -> float:
    """Return how much memory they have, in KiB."""
    pages = sum(int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in family(pid))
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024


@contextmanager
def attending(
    port: int, count: int, manner: Manner, core: int, seconds: float
) -> Iterator[Connection]:
    """Have another process be the audience of a server; yield what to talk to it by."""
    ours, theirs = multiprocessing.Pipe()
    spawned = multiprocessing.get_context("spawn")
    process = spawned.Process(target=attend, args=(port, count, manner, core, seconds, theirs))
    process.start()
    try:
        expect(ours, "ready")
        yield ours
        ours.send("end")
    finally:
        process.join(10)
        process.kill()


def expect(pipe: Connection, word: str) -> None:
    """Wait until the audience has said a word."""
    if not pipe.poll(PATIENCE_SECONDS) or pipe.recv() != word:
        raise TimeoutError(f"the clients did not get {word}")


def measure(
    pid: int, port: int, manner: Manner, core: int, options: argparse.Namespace
) -> tuple[Counted, float, float]:
    """Return what the audience of a server has heard, for how long it computed for that, and KiB
    for a client."""
    before = resident(pid)
    with attending(port, options.clients, manner, core, options.seconds) as pipe:
        memory = (resident(pid) - before) / options.clients
        pipe.send("warm up")
        expect(pipe, "warm")
        took = computed(pid)
        pipe.send("count")
        counted: Counted = pipe.recv()
        return counted, computed(pid) - took, memory


def figure_of(
    name: str, title: str, version: str, counted: Counted, took: float, memory: float | None
) -> Figure:
    """Return what comes of it."""
    frames = max(1, counted.frames)
    return Figure(
        name=name, title=title, version=version, frames=frames / max(counted.seconds, 0.001),
        cost=took / frames * 1e6, memory=memory, clients=counted.computed / counted.seconds,
    )  # fmt: skip


def peer_figure(name: str, peer: Peer, cores: list[int], options: argparse.Namespace) -> Figure:
    """Measure one of the peers."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = ["taskset", "-c", str(cores[0]), *peer.command(port, Path(folder))]
        with subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL) as process:
            try:
                wait_for(port, process)
                found = measure(process.pid, port, peer.manner, cores[1], options)
            finally:
                process.terminate()
    return figure_of(name, peer.title, peer.version(), *found)


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until somebody listens on a port."""
    until = time.monotonic() + PATIENCE_SECONDS
    entry = f":{port:04X} 00000000:0000 0A"
    while entry not in Path("/proc/net/tcp").read_text():
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError("the server does not listen")
        time.sleep(0.05)


def own_figure(cores: list[int], options: argparse.Namespace) -> Figure:
    """Measure bindserver."""
    with tempfile.TemporaryDirectory() as folder:
        place = SQLite(Path(folder), durable=False).make(settings=SETTINGS)
        with place.server as server:
            pinned = ["taskset", "-acp", str(cores[0]), str(server.pid)]
            subprocess.run(pinned, check=True, stdout=subprocess.DEVNULL)
            ended, program = Event(), place.program()
            program.add_products(1)

            def write() -> None:
                program.run("UPDATE app_product SET stock = stock + 1 WHERE id = 1")

            writer = Thread(target=paced, args=(write, options.writes, ended))
            writer.start()
            try:
                found = measure(server.pid, server.port, OWN, cores[1], options)
            finally:
                ended.set()
                writer.join()
                program.close()
    return figure_of("bindserver", "bindserver", own_version(), *found)


def paced(write: Callable[[], None], rate: float, ended: Event) -> None:
    """Write so often a second until it is over, on whatever core there is."""
    began, done = time.monotonic(), 0
    while not ended.is_set():
        write()
        done += 1
        time.sleep(max(0.0, began + done / rate - time.monotonic()))


def floor_figure(size: int, cores: list[int], options: argparse.Namespace) -> Figure:
    """Measure a loop of `send` in C."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "floor"
        subprocess.run(["cc", "-O2", "-o", program, FLOOR], check=True)
        rounds = max(100, round(options.seconds * 1.25 * 100_000 / options.clients))
        pinned = ["taskset", "-c", str(cores[0]), str(program)]
        command = [*pinned, str(options.clients), str(size), str(rounds)]
        manner = Manner(path="", marker=b"x" * size)
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            with attending(port, options.clients, manner, cores[1], options.seconds) as pipe:
                pipe.send("warm up")
                seconds, took = map(float, process.stdout.readline().split())
    frames = options.clients * rounds
    counted = Counted(frames=frames, bytes=frames * size, seconds=seconds, computed=0.0)
    return figure_of("send", "a loop of send in C", "the floor", counted, took, None)


def told(figure: Figure, floor: Figure) -> str:
    """Return a row of the table."""
    memory = "–" if figure.memory is None else f"{figure.memory:.0f} KiB"
    busy = "–" if figure.name == "send" else f"{figure.clients:.0%}"
    return (
        f"| {figure.title} | {figure.frames:,.0f} | {figure.frames / floor.frames:.2f} | "
        f"{figure.cost:.1f} | {floor.cost / figure.cost:.2f} | {memory} | {busy} | "
        f"{figure.version} |"
    )


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PEERS)}")
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--writes", type=float, default=150, help="to bindserver, a second")
    parser.add_argument("--plot", type=Path, help="an SVG to write")
    parser.add_argument("--json", type=Path, help="where to keep the figures")
    options = parser.parse_args()
    if unknown := set(options.names) - set(PEERS):
        parser.error(f"no such peer: {', '.join(sorted(unknown))}")
    cores = sorted(os.sched_getaffinity(0))
    cores = [cores[0], cores[-1]]
    figures = [floor_figure(len(PAYLOAD), cores, options), own_figure(cores, options)]
    for name in options.names or PEERS:
        peer = PEERS[name]
        if not peer.needs.exists():
            print(f"{peer.title}: left out, as there is no {peer.needs}", flush=True)
            continue
        figures.append(peer_figure(name, peer, cores, options))
    print(
        "| server | frames/s | of the floor | µs a frame | the floor's, of that | a client | "
        "clients' process | version |\n| --- | --- | --- | --- | --- | --- | --- | --- |"
    )
    for figure in figures:
        print(told(figure, figures[0]), flush=True)
    load = os.getloadavg()[0]
    print(f"\n{options.clients} clients, {machine()}, load {load:.1f} at the end")
    if options.json:
        options.json.write_text(json.dumps([asdict(figure) for figure in figures], indent=1))
    if options.plot:
        options.plot.write_text(plotted([(f.title, f.cost) for f in figures]))


def machine() -> str:
    """Return what the machine is, in words."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    kind = names[0] if names else platform.machine()
    return f"{os.cpu_count()} cores of {kind}, Linux {platform.release()}"


if __name__ == "__main__":
    main()
