"""How many changed rows one server process follows in a second, to a client that has them all.

Run with `python -m benchmarks.followed_rows --database sqlite`, `postgresql` or `mysql`. It starts
what it needs on free ports of 127.0.0.1, and ends by itself. A writer changes rows, 200 in each
commit, as fast as it can; a client counts the rows that it is sent until it holds what the table
holds. Rows that were changed again before they were read are sent once: so the server's own rate is
that of the rows sent, as long as it had more to do than it could. What a row takes of the server's
processor does not depend on what else the machine does, and is printed beside it.

A server that writes rows with orjson and one that does not take turns, `--rounds` times.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from benchmarks.homes import HOMES, Place, cpu_of
from bindserver.client.replica import Replica

ROWS = 20_000
AT_ONCE = 200
ENCODERS = ("orjson", "the standard library")
EVENTS = {"by_stock": "plain fields", "catalogue": "a DRF serializer with a join"}


def write_for(seconds: float, begun: Any, written: Any, place: Place) -> None:
    """Change rows at full speed, in a process of its own."""
    program = place.program()
    begun.wait()
    first, until = 1, time.monotonic() + seconds
    while time.monotonic() < until:
        last = first + AT_ONCE - 1
        program.run(f"UPDATE app_product SET stock = stock + 1 WHERE id BETWEEN {first} AND {last}")
        written.value += AT_ONCE
        first = 1 if last >= ROWS else last + 1
    program.close()


async def take(ws: ClientConnection, replica: Replica) -> int:
    """Take one message; return how many rows it has."""
    data: dict[str, Any] = json.loads(await ws.recv()).get("data") or {}
    if "action" not in data:
        return 0
    replica.apply(data)
    payload = data.get("payload")
    return len(payload) if isinstance(payload, list) else int(payload is not None)


async def measure(place: Place, event: str, seconds: float) -> tuple[float, float]:
    """Follow a writer; print how fast, and return that in rows a second, and microseconds of the
    server's processor for a row."""
    reader = place.program()
    written, begun = multiprocessing.Value("q", 0), multiprocessing.Event()
    writer = multiprocessing.Process(target=write_for, args=(seconds, begun, written, place))
    writer.start()
    async with connect(place.server.ws, max_size=None) as ws:
        replica = Replica("id")
        await ws.send(json.dumps({"event": event}))
        while len(replica.rows) < ROWS:
            await take(ws, replica)
        begun.set()
        began, sent, took = time.monotonic(), 0, cpu_of(place.server.pid)
        while writer.is_alive():
            sent += await take(ws, replica)
        wrote = time.monotonic() - began
        truth = dict(reader.run("SELECT id, stock FROM app_product"))
        while {row["id"]: row["stock"] for row in replica.rows} != truth:
            sent += await take(ws, replica)
        spent, took = time.monotonic() - began, cpu_of(place.server.pid) - took
    reader.close()
    writer.join()
    cost = took / max(1, sent) * 1e6
    print(
        f"  {written.value / wrote:.0f} rows/s written, {sent / spent:.0f} rows/s followed at "
        f"{cost:.1f} µs of the processor; all there {spent - wrote:.2f} s after the last write",
        flush=True,
    )
    return sent / spent, cost


def main() -> None:
    """Measure both kinds of binding on one kind of database."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.followed_rows", description=__doc__)
    parser.add_argument("--database", choices=sorted(HOMES), default="sqlite")
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bindserver-bench-") as folder:
        home = HOMES[options.database](Path(folder), durable=False)
        try:
            place = home.make()
            filler = place.program()
            filler.add_products(ROWS)
            filler.close()
            hide_orjson(Path(folder))
            run(place, options.seconds, options.rounds, Path(folder))
        finally:
            home.stop()


def hide_orjson(folder: Path) -> None:
    """Make a folder in which orjson cannot be imported."""
    (folder / "orjson.py").write_text("raise ImportError\n")


def run(place: Place, seconds: float, rounds: int, hidden: Path) -> None:
    """Measure each kind of binding with each encoder in turn, and print how they compare."""
    found: dict[str, dict[str, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    usual = place.server.environment.get("PYTHONPATH", "")
    for _ in range(rounds):
        for encoder in ENCODERS:
            first = f"{hidden}{os.pathsep}" if encoder != "orjson" else ""
            place.server.environment["PYTHONPATH"] = f"{first}{usual}"
            with place.server:
                for event in EVENTS:
                    print(f"{event} ({EVENTS[event]}), {encoder}:", flush=True)
                    figures = asyncio.run(measure(place, event, seconds))
                    found[event][encoder].append(figures)
    for event, by_encoder in found.items():
        told = []
        for encoder, some in by_encoder.items():
            rows = statistics.median(rate for rate, _ in some)
            each = statistics.median(cost for _, cost in some)
            told.append(f"{encoder} {rows:.0f} rows/s at {each:.1f} µs")
        print(f"{event}: {'; '.join(told)}")


if __name__ == "__main__":
    main()
