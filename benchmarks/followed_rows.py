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
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from bindserver.engine.replica import Replica
from tests.conftest import Program
from tests.support.mariadb import MariaDB
from tests.support.mariadb import Program as MariaDBProgram
from tests.support.postgresql import Cluster, PostgreSQLProgram, write_as_sqlite_does
from tests.support.server import Server

ROWS = 20_000
AT_ONCE = 200
EVENTS = {"by_stock": "plain fields", "catalogue": "a DRF serializer with a join"}


@contextmanager
def on_sqlite(folder: Path) -> Iterator[tuple[Server, Any]]:
    """Serve an SQLite database; yield the server and how another program is made."""
    server = Server(folder / "db.sqlite3")
    with sqlite3.connect(server.database) as database:
        database.execute("PRAGMA journal_mode=WAL")
    server.prepare()
    yield server, (Program, server.database)


@contextmanager
def on_postgresql(folder: Path) -> Iterator[tuple[Server, Any]]:
    """The same with PostgreSQL."""
    cluster = Cluster(folder / "cluster").make().start()
    try:
        name = cluster.make_database()
        with cluster.connect(name) as connection:
            write_as_sqlite_does(connection)
        server = Server(folder / "server", url=cluster.url(name)).prepare()
        yield server, (PostgreSQLProgram, cluster.url(name))
    finally:
        cluster.stop("immediate")


@contextmanager
def on_mysql(folder: Path) -> Iterator[tuple[Server, Any]]:
    """The same with MariaDB."""
    maria = MariaDB().start()
    try:
        name = maria.make()
        server = Server(folder / "server", url=maria.url(name)).prepare()
        yield server, (MariaDBProgram, maria, name)
    finally:
        maria.remove()


DATABASES = {"sqlite": on_sqlite, "postgresql": on_postgresql, "mysql": on_mysql}


def write_for(seconds: float, begun: Any, written: Any, kind: Any, *arguments: Any) -> None:
    """Change rows at full speed, in a process of its own."""
    program = kind(*arguments)
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


async def measure(server: Server, event: str, seconds: float, program: Any) -> None:
    """Follow a writer, and print how fast."""
    kind, *arguments = program
    reader = kind(*arguments)
    written, begun = multiprocessing.Value("q", 0), multiprocessing.Event()
    writer = multiprocessing.Process(
        target=write_for, args=(seconds, begun, written, kind, *arguments)
    )
    writer.start()
    async with connect(server.ws, max_size=None) as ws:
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
    parser.add_argument("--database", choices=sorted(DATABASES), default="sqlite")
    parser.add_argument("--seconds", type=float, default=8)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="bindserver-bench-") as folder,
        DATABASES[options.database](Path(folder)) as (server, program),
    ):
        kind, *arguments = program
        filler = kind(*arguments)
        filler.add_products(ROWS)
        filler.close()
        with server:
            for event in EVENTS:
                asyncio.run(measure(server, event, options.seconds, program))


if __name__ == "__main__":
    main()
