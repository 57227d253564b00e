"""How many changed rows one server process follows in a second, to a client that has them all.

Run with `python -m benchmarks.followed_rows --database sqlite`, `postgresql` or `mysql`. It starts
what it needs on free ports of 127.0.0.1, and ends by itself. A writer changes rows, 200 in each
commit, as fast as it can; a client counts the rows that it is sent until it holds what the table
holds. Rows that were changed again before they were read are sent once: so the server's own rate is
that of the rows sent, as long as it had more to do than it could.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import tempfile
import time
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from benchmarks.homes import HOMES, Place
from bindserver.testing.replica import Replica

ROWS = 20_000
AT_ONCE = 200
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


async def measure(place: Place, event: str, seconds: float) -> None:
    """Follow a writer, and print how fast."""
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
        began, sent = time.monotonic(), 0
        while writer.is_alive():
            sent += await take(ws, replica)
        wrote = time.monotonic() - began
        truth = dict(reader.run("SELECT id, stock FROM app_product"))
        while {row["id"]: row["stock"] for row in replica.rows} != truth:
            sent += await take(ws, replica)
        spent = time.monotonic() - began
    reader.close()
    writer.join()
    print(
        f"{event} ({EVENTS[event]}): {written.value / wrote:.0f} rows/s written, "
        f"{sent / spent:.0f} rows/s followed; all there {spent - wrote:.2f} s after the last write",
        flush=True,
    )


def main() -> None:
    """Measure both kinds of binding on one kind of database."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.followed_rows", description=__doc__)
    parser.add_argument("--database", choices=sorted(HOMES), default="sqlite")
    parser.add_argument("--seconds", type=float, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bindserver-bench-") as folder:
        home = HOMES[options.database](Path(folder), durable=False)
        try:
            place = home.make()
            filler = place.program()
            filler.add_products(ROWS)
            filler.close()
            with place.server:
                for event in EVENTS:
                    asyncio.run(measure(place, event, options.seconds))
        finally:
            home.stop()


if __name__ == "__main__":
    main()
