"""What the change log costs: writes with the triggers against writes without, a server that waits,
and the time from a commit to a client.

Run with `python -m benchmarks.capture_cost --database postgresql`. It starts a database server of
its own on a free port of 127.0.0.1, and ends by itself. Throughput is measured in turns, with and
without the triggers, in one run: the ratio says more than the numbers. Another kind of database is
another class with the methods of `PostgreSQL`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.postgresql import (
    Cluster,
    PostgreSQLProgram,
    find_binaries,
    write_as_sqlite_does,
)
from tests.support.server import Server

PRODUCTS = 10_000
SCRIPTS = {
    "one UPDATE by key": "\\set id random(1, 10000)\n"
    "UPDATE app_product SET stock = stock + 1 WHERE id = :id;\n",
    "INSERT, UPDATE and DELETE in a transaction": "\\set id random(1, 10000)\nBEGIN;\n"
    "INSERT INTO app_tag (name) VALUES ('a');\n"
    "UPDATE app_product SET stock = stock + 1 WHERE id = :id;\n"
    "DELETE FROM app_tag WHERE id = (SELECT min(id) FROM app_tag);\nCOMMIT;\n",
    "one UPDATE of 100 rows": "\\set id random(1, 9900)\n"
    "UPDATE app_product SET stock = stock + 1 WHERE id BETWEEN :id AND :id + 99;\n",
}
TICKS = os.sysconf("SC_CLK_TCK")


class PostgreSQL:
    """One server of PostgreSQL, with a database that has triggers and one that has none.

    Args:
        folder: for its files.
        durable: whether a commit waits for the disk, as it does in production.
    """

    def __init__(self, folder: Path, *, durable: bool) -> None:
        self._cluster = Cluster(folder / "cluster").make().start()
        if durable:
            with self._cluster.connect() as connection:
                connection.execute("ALTER SYSTEM SET fsync = on")
                connection.execute("SELECT pg_reload_conf()")
        self._names = {}
        for logged in (False, True):
            name = self._names[logged] = self._cluster.make_database()
            with self._cluster.connect(name) as connection:
                write_as_sqlite_does(connection)
            Server(folder / name, url=self._cluster.url(name)).prepare(capture=logged)
            self.program(logged).add_products(PRODUCTS)

    def url(self, logged: bool) -> str:
        """Return the address of a database."""
        return self._cluster.url(self._names[logged])

    def program(self, logged: bool) -> PostgreSQLProgram:
        """Return another program that writes."""
        return PostgreSQLProgram(self.url(logged))

    def writes_per_second(self, logged: bool, script: str, writers: int, seconds: int) -> float:
        """Return how many transactions of a script several writers do at full speed."""
        folder = find_binaries()
        assert folder is not None
        path = self._cluster.folder / "script.sql"
        path.write_text(script)
        done = subprocess.run(
            [folder / "pgbench", "-n", "-M", "prepared", "-c", str(writers), "-T", str(seconds),
             "-f", path, self.url(logged)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        found = re.search(r"tps = ([\d.]+)", done.stdout)
        assert found, done.stdout
        return float(found[1])

    def server_cpu(self) -> float:
        """Return how long the database has computed for the server, in seconds."""
        with self._cluster.connect() as connection:
            pids = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE application_name = 'bindserver'"
            ).fetchall()
        return sum(cpu_of(pid) for (pid,) in pids)

    def stop(self) -> None:
        """End it."""
        self._cluster.stop("immediate")


DATABASES: dict[str, Callable[..., PostgreSQL]] = {"postgresql": PostgreSQL}


def cpu_of(pid: int) -> float:
    """Return how long a process has computed, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def throughput(database: PostgreSQL, writers: int, seconds: int, rounds: int) -> None:
    """Print the ratio of writes with the triggers to writes without."""
    for name, script in SCRIPTS.items():
        with_log, without = [], []
        for _ in range(rounds):
            without.append(database.writes_per_second(False, script, writers, seconds))
            with_log.append(database.writes_per_second(True, script, writers, seconds))
        ratio = statistics.median(a / b for a, b in zip(with_log, without, strict=True))
        print(
            f"{name}, {writers} writers: {statistics.median(with_log):.0f}/s with the log, "
            f"{statistics.median(without):.0f}/s without: ratio {ratio:.2f}",
            flush=True,
        )


def idle(database: PostgreSQL, folder: Path, seconds: float) -> None:
    """Print what a server computes while a client follows and nobody writes."""
    from websockets.sync.client import connect

    with (
        Server(folder / "idle", url=database.url(True)) as server,
        connect(server.ws, max_size=None) as client,
    ):
        client.send('{"event":"by_stock"}')
        client.recv()
        time.sleep(2)
        began, own, its = time.perf_counter(), cpu_of(server.pid), database.server_cpu()
        time.sleep(seconds)
        took = time.perf_counter() - began
        own, its = (cpu_of(server.pid) - own) / took, (database.server_cpu() - its) / took
    print(f"idle: the server {own:.1%} of a core, the database {its:.1%}", flush=True)


@contextmanager
def _following(url: str) -> Iterator[Any]:
    os.environ |= {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    import django

    django.setup()
    from bindserver.hub import hub

    try:
        yield hub
    finally:
        hub.stop()


def latency(database: PostgreSQL, writes: int) -> None:
    """Print the times from a commit to a subscriber in this process, with hints and without."""
    with _following(database.url(True)) as hub:
        asyncio.run(_latency(hub, database, writes))


async def _latency(hub: Any, database: PostgreSQL, writes: int) -> None:
    from bindserver.engine.protocol import Subscribe
    from bindserver.wishes import Caller, Ref
    from tests.app.models import Product
    from tests.support.ear import Ear

    ear, program = Ear(), database.program(True)
    hub.subscribe(Ref(ear, 1), Caller(), Subscribe(event="by_stock", params={}))
    await ear.until(lambda: ear.actions)

    def by_another(number: int) -> float:
        program.run("UPDATE app_product SET stock = ? WHERE id = 5", 10**6 + number)
        return time.perf_counter()

    def with_a_hint(number: int) -> float:
        Product(id=5, stock=2 * 10**6 + number).save(update_fields=["stock"])
        return time.perf_counter()

    for name, write in (("without a hint", by_another), ("with a hint", with_a_hint)):
        took = []
        for number in range(writes):
            seen = len(ear.actions)
            committed = await asyncio.to_thread(write, number)
            await ear.until(lambda seen=seen: len(ear.actions) > seen)  # type: ignore[misc]
            took.append(max(0.0, time.perf_counter() - committed) * 1000)
            await asyncio.sleep(0.013)
        took.sort()
        print(
            f"commit to subscriber, {name}: p50 {took[len(took) // 2]:.1f} ms, "
            f"p99 {took[int(len(took) * 0.99)]:.1f} ms",
            flush=True,
        )
    program.close()


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=sorted(DATABASES), default="postgresql")
    parser.add_argument("--writers", type=int, default=4, help="how many write at once")
    parser.add_argument("--seconds", type=int, default=4, help="how long each part takes")
    parser.add_argument("--rounds", type=int, default=3, help="how often throughput is measured")
    parser.add_argument(
        "--no-fsync",
        action="store_true",
        help="have commits not wait for the disk: the triggers' share is then the largest",
    )
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bindserver-cost-"))
    database = DATABASES[options.database](folder, durable=not options.no_fsync)
    try:
        throughput(database, options.writers, options.seconds, options.rounds)
        idle(database, folder, options.seconds * 2)
        latency(database, 200)
    finally:
        database.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
