"""What the change log costs: writes with the triggers against writes without, a server that waits,
and the time from a commit to a client.

Run with `python -m benchmarks.capture_cost --database sqlite`, `postgresql` or `mysql`. It starts
what it needs on free ports of 127.0.0.1, and ends by itself. Throughput is measured in turns, with
and without the triggers, in one run: the ratio says more than the numbers.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.homes import HOMES, Home, Place, cpu_of
from benchmarks.load import Script

PRODUCTS = 10_000
IDLE_SECONDS = 10
SETTLE_SECONDS = 3
"""A server has then become quiet, and found out whether it is notified."""
SCRIPTS = {
    "one UPDATE by key": Script(
        statements=("UPDATE app_product SET stock = stock + 1 WHERE id = :id",), highest=PRODUCTS
    ),
    "INSERT, UPDATE and DELETE in a transaction": Script(
        statements=(
            "INSERT INTO app_tag (name) VALUES ('a')",
            "UPDATE app_product SET stock = stock + 1 WHERE id = :id",
            "DELETE FROM app_tag WHERE id = :last",
        ),
        highest=PRODUCTS,
    ),
    "one UPDATE of 100 rows": Script(
        statements=("UPDATE app_product SET stock = stock + 1 WHERE id BETWEEN :id AND :id + 99",),
        highest=PRODUCTS - 99,
    ),
}


UNREAD = Script(
    statements=("UPDATE app_product SET stock = stock + 1 WHERE id = :id",), highest=PRODUCTS
)
"""Where the column is one of those that nobody reads."""


def unread(home: Home, places: dict[bool, Place], options: argparse.Namespace) -> None:
    """Print the same of writes to a column that nobody reads, and to one that somebody does where
    others are not."""
    for words, columns in (
        ("a column that nobody reads", ["id", "name"]),
        ("a column that is read, of four", ["id", "name", "price", "stock"]),
        ("any column, where all are read", None),
    ):
        _watch(places[True], columns)
        rates: dict[bool, list[float]] = {False: [], True: []}
        for number in range(options.rounds):
            for logged in (False, True) if number % 2 else (True, False):
                rate = home.rate(places[logged], UNREAD, options.writers, options.seconds)
                rates[logged].append(rate)
        ratios = [a / b for a, b in zip(rates[True], rates[False], strict=True)]
        print(f"one UPDATE by key of {words}: ratio {statistics.median(ratios):.2f}", flush=True)


def _watch(place: Place, columns: list[str] | None) -> None:
    """Have these columns of products watched, and no others; None for all."""
    some = "{}" if columns is None else f"{{'app_product': frozenset({columns})}}"
    place.server.manage("bindings", "capture", "remove")
    place.server.manage(
        "shell", "-c",
        "from django.db import connection; from bindserver.capture.log import log_of; "
        "from bindserver.capture.tables import tracked; log_of(connection).install("
        f"tracked(['app_product'], {some}))",
    )  # fmt: skip


def throughput(home: Home, places: dict[bool, Place], options: argparse.Namespace) -> None:
    """Print the ratio of writes with the triggers to writes without."""
    for name, script in SCRIPTS.items():
        rates: dict[bool, list[float]] = {False: [], True: []}
        for number in range(options.rounds):
            for logged in (False, True) if number % 2 else (True, False):
                rate = home.rate(places[logged], script, options.writers, options.seconds)
                rates[logged].append(rate)
        ratios = [a / b for a, b in zip(rates[True], rates[False], strict=True)]
        print(
            f"{name}, {options.writers} writers: {statistics.median(rates[True]):.0f}/s with the "
            f"log, {statistics.median(rates[False]):.0f}/s without: "
            f"ratio {statistics.median(ratios):.2f}",
            flush=True,
        )


def idle(home: Home, place: Place, seconds: float) -> None:
    """Print what a server computes while a client follows and nobody writes."""
    from websockets.sync.client import connect

    with place.server as server, connect(server.ws, max_size=None) as client:
        client.send('{"event":"by_stock"}')
        client.recv()
        time.sleep(SETTLE_SECONDS)
        began, own, its = time.perf_counter(), cpu_of(server.pid), home.computed()
        time.sleep(seconds)
        took = time.perf_counter() - began
        own, its = (cpu_of(server.pid) - own) / took, (home.computed() - its) / took
    print(f"idle: the server {own:.1%} of a core, the database {its:.1%}", flush=True)


@contextmanager
def _following(url: str) -> Iterator[Any]:
    os.environ |= {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    import django

    django.setup()
    from bindserver.hub.hub import hub

    try:
        yield hub
    finally:
        hub.stop()


def latency(place: Place, writes: int) -> None:
    """Print the times from a commit to a subscriber in this process, with hints and without."""
    with _following(place.url) as hub:
        asyncio.run(_latency(hub, place, writes))


async def _latency(hub: Any, place: Place, writes: int) -> None:
    from bindserver.cycle.inbox import Caller, SessionRequest
    from bindserver.engine.effects import Ask
    from bindserver.engine.protocol import Subscribe
    from tests.app.models import Product
    from tests.support.ear import Ear

    ear, program = Ear(), place.program()
    hub.request(
        SessionRequest(ear, Caller(), Ask(number=1, message=Subscribe(event="by_stock", params={})))
    )
    await ear.until(lambda: ear.actions)
    await asyncio.sleep(SETTLE_SECONDS)

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
    parser.add_argument("--database", choices=sorted(HOMES), default="postgresql")
    parser.add_argument(
        "--writers", type=int, default=4, help="how many write at once; on SQLite it is always one"
    )
    parser.add_argument("--seconds", type=int, default=2, help="how long each part takes")
    parser.add_argument("--rounds", type=int, default=7, help="how often throughput is measured")
    parser.add_argument(
        "--no-fsync",
        action="store_true",
        help="have commits not wait for the disk: the triggers' share is then the largest",
    )
    parser.add_argument(
        "--notify", action="store_true", help="have PostgreSQL notify of commits as well"
    )
    parser.add_argument("--only", choices=["unread"], help="writes to columns that nobody reads")
    options = parser.parse_args()
    if options.notify and options.database != "postgresql":
        parser.error("--notify is for --database postgresql")
    if options.database == "sqlite":
        options.writers = 1
    with tempfile.TemporaryDirectory(prefix="bindserver-cost-") as folder:
        home = HOMES[options.database](Path(folder), durable=not options.no_fsync)
        try:
            places = {logged: _filled(home.make(logged=logged)) for logged in (False, True)}
            if options.notify:
                places[True].server.manage("bindings", "capture", "install", "--notify")
            if options.only == "unread":
                unread(home, places, options)
                return
            throughput(home, places, options)
            idle(home, places[True], IDLE_SECONDS)
            latency(places[True], 200)
            unread(home, places, options)
        finally:
            home.stop()


def _filled(place: Place) -> Place:
    program = place.program()
    program.add_products(PRODUCTS)
    program.close()
    return place


if __name__ == "__main__":
    main()
