"""One UPDATE of many rows: how long until a client has it, and how long the event loop is held.

Run with `python -m benchmarks.big_update --rows 50000`. It starts a server of its own on a free
port of 127.0.0.1 with a fresh database, and ends by itself. Timings depend on the machine; the
ratio of the step to the bare UPDATE in the same run says more.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import tempfile
import time
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.sync.client import connect as connect_in_turn

from bindserver.client.replica import Replica
from tests.support.server import Server

EVENTS = {"by_stock": "plain fields", "catalogue": "a DRF serializer with a join"}
PING_SECONDS = 4.0


async def answer(ws: ClientConnection, replica: Replica) -> None:
    """Take frames until one answer or step is whole."""
    while True:
        data: dict[str, Any] = json.loads(await ws.recv())["data"]
        if "action" not in data:
            continue
        replica.apply(data)
        if data.get("page", 1) == data.get("pages", 1):
            return


def ping_for(url: str, seconds: float) -> list[float]:
    """Ping from a process of its own; return the round trips in seconds, sorted."""
    trips = []
    until = time.perf_counter() + seconds
    with connect_in_turn(url) as ws:
        while time.perf_counter() < until:
            began = time.perf_counter()
            ws.send('{"event":"$ping"}')
            ws.recv()
            trips.append(time.perf_counter() - began)
            time.sleep(0.025)
    return sorted(trips)


async def measure(server: Server, event: str, rows: int, pool: Executor) -> None:
    """Subscribe, change every row in one statement, and print what it took."""
    database = sqlite3.connect(server.database, timeout=20)
    async with connect(server.ws, max_size=None) as ws:
        replica = Replica("id")
        began = time.perf_counter()
        await ws.send(json.dumps({"event": event}))
        await answer(ws, replica)
        synced = time.perf_counter() - began
        pings = pool.submit(ping_for, server.ws, PING_SECONDS)
        await asyncio.sleep(0.5)
        began = time.perf_counter()
        await asyncio.to_thread(update, server.database)
        written = time.perf_counter() - began
        await answer(ws, replica)
        whole = time.perf_counter() - began
    trips = await asyncio.wrap_future(pings)
    expected = dict(database.execute("SELECT id, stock FROM app_product"))
    if event == "by_stock" and {row["id"]: row["stock"] for row in replica.rows} != expected:
        raise SystemExit("the client's rows are not the table's")
    print(
        f"{event} ({EVENTS[event]}): {rows} rows; sync {synced:.2f} s; UPDATE {written:.2f} s; "
        f"client has the step after {whole:.2f} s ({whole / written:.1f} x the UPDATE); "
        f"ping beside it: median {trips[len(trips) // 2] * 1e3:.1f} ms, "
        f"worst {trips[-1] * 1e3:.1f} ms"
    )


def update(database: Path) -> None:
    """Change every row in one statement."""
    connection = sqlite3.connect(database, timeout=20)
    with connection:
        connection.execute("UPDATE app_product SET stock = stock + 1")
    connection.close()


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000, help="how many rows the table has")
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "big.sqlite3").prepare()
        connection = sqlite3.connect(server.database)
        with connection:
            connection.executemany(
                "INSERT INTO app_product (id, name, price, stock, active) VALUES (?, ?, 1, ?, 1)",
                ((number, f"Product {number}", number % 1000) for number in range(1, rows + 1)),
            )
        connection.close()
        with server, ProcessPoolExecutor(1) as pool:
            for event in EVENTS:
                asyncio.run(measure(server, event, rows, pool))


if __name__ == "__main__":
    main()
