"""How long it takes from a commit until a client has the change, and what waiting for one costs.

Run with `python -m benchmarks.latency --database sqlite`, `postgresql` or `mysql`. It starts what
it needs on free ports of 127.0.0.1, and ends by itself. Another program writes one row in a
transaction of its own, after a random pause each time: with a fixed one, writes and looks fall into
step. One client follows. Printed are medians and the 99th percentile in milliseconds, and how much
of a core the server takes, and the database for it, while nobody writes.

SQLite is measured twice in one run: as it is, and with its files not watched. `--rounds` has both
take turns.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from websockets.asyncio.client import connect

from benchmarks.homes import HOMES, Home, Place, cpu_of

MEAN_PAUSE = 0.05
UNWATCHED = "benchmarks.unwatched_settings"


async def follow(place: Place, times: int) -> list[float]:
    """Write and hear of it so many times; return the delays in milliseconds."""
    program, delays = place.program(), []
    async with connect(place.server.ws) as ws:
        await ws.send(json.dumps({"event": "by_stock"}))
        while json.loads(await ws.recv())["data"].get("action") != "sync":
            pass
        for number in range(times + 10):
            await asyncio.sleep(random.expovariate(1 / MEAN_PAUSE))
            program.run(f"UPDATE app_product SET stock = {number + 1} WHERE id = 1")
            began = time.perf_counter()
            while json.loads(await ws.recv())["data"]["payload"]["stock"] != number + 1:
                pass
            delays.append((time.perf_counter() - began) * 1e3)
    program.run("UPDATE app_product SET stock = 0 WHERE id = 1")
    program.close()
    return delays[10:]


async def rest(place: Place, home: Home, seconds: float) -> tuple[float, float]:
    """Follow while nobody writes; return the share of a core that the server takes, and the
    database."""
    async with connect(place.server.ws) as ws:
        await ws.send(json.dumps({"event": "by_stock"}))
        await ws.recv()
        await asyncio.sleep(4)
        server, database, began = cpu_of(place.server.pid), home.computed(), time.monotonic()
        await asyncio.sleep(seconds)
        span = time.monotonic() - began
        return (cpu_of(place.server.pid) - server) / span, (home.computed() - database) / span


def told(delays: list[float]) -> str:
    """Return what there is to say of delays."""
    median, last = statistics.median(delays), statistics.quantiles(delays, n=100)[98]
    return f"median {median:.1f} ms, 99% {last:.1f} ms"


def measure(place: Place, home: Home, options: Any, name: str) -> None:
    """Measure one server, and print."""
    with place.server:
        delays = asyncio.run(follow(place, options.times))
        server, database = asyncio.run(rest(place, home, options.idle))
    print(
        f"{name}: from a commit to the client {told(delays)}; while nobody writes the server takes"
        f" {server:.2%} of a core, and the database {database:.2%}",
        flush=True,
    )


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    parser.add_argument("--database", choices=sorted(HOMES), default="sqlite")
    parser.add_argument("--times", type=int, default=300)
    parser.add_argument("--idle", type=float, default=10, help="seconds")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bindserver-bench-") as folder:
        home = HOMES[options.database](Path(folder), durable=False)
        try:
            place = home.make()
            filler = place.program()
            filler.add_products(1)
            filler.close()
            for _ in range(options.rounds):
                measure(place, home, options, options.database)
                if options.database == "sqlite":
                    usual = place.server.environment["DJANGO_SETTINGS_MODULE"]
                    place.server.environment["DJANGO_SETTINGS_MODULE"] = UNWATCHED
                    measure(place, home, options, "sqlite, its files not watched")
                    place.server.environment["DJANGO_SETTINGS_MODULE"] = usual
        finally:
            home.stop()
        print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
