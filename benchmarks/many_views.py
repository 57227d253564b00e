"""What many views cost that differ only in an argument: to answer, to follow, and to keep.

Run with `python -m benchmarks.many_views --database sqlite`, `postgresql` or `mysql`. It starts
what it needs, and ends by itself. One cycle in this process keeps a view for each category; another
program changes one row at a time. Its parts, each of which `--only` picks:

- steps: ever more views (`--views`), a turn with one changed row, and how it compares to the first.
- ways: views read together, and one by one (`--ways` of them): the ratio says more than the times.
- answers: how long so many new subscribers wait (`--subscribers`), with a view each.
- return: how long as many wait who come back after a restart (`--returning`), and how long another
  binding's frames take meanwhile.
- memory: bytes for a view, by Python's own count of what it allocates (`--memory` of them).
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterable
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.cycling import Following, Meter, Wanted, following
from benchmarks.homes import HOMES, Place
from benchmarks.returning import come_back
from benchmarks.ways import Sharing

MOVED = ", category_id = CASE category_id WHEN ? THEN 1 ELSE category_id + 1 END"
EVENTS = {"part": "plain fields", "catalogue": "a DRF serializer with a join and an order by text"}
PARTS = ("steps", "ways", "answers", "return", "memory")
STEPS = (100, 1_000, 4_000, 10_000, 100_000)
PROGRESS = 1_000
"""After so many new views it is said how far it is."""


def views_of(event: str, first: int, last: int) -> list[Wanted]:
    """Return what subscribers ask for who want a category each."""
    return [Wanted(event=event, params={"category": n}) for n in range(first, last + 1)]


class Bench:
    """A filled database, and what measures on it.

    Args:
        place: the database.
        options: the command line's.
    """

    def __init__(self, place: Place, options: argparse.Namespace) -> None:
        self.place = place
        self.options = options
        self._program = place.program()
        self._numbers = count()

    def close(self) -> None:
        """End the other program."""
        self._program.close()

    def fill(self, views: int) -> None:
        """Make categories with some rows each."""
        each = self.options.rows
        self._program.add_products(views * each)
        some = f"SELECT id, name FROM app_product WHERE id <= {views}"
        self._program.run(f"INSERT INTO app_category (id, name) {some}")
        whose = f"1 + (id - 1 - (id - 1) % {each}) / {each}"
        self._program.run(f"UPDATE app_product SET category_id = {whose}")
        self._program.run("INSERT INTO board_notice (id, number) VALUES (1, 0)")

    async def subscribe(self, followed: Following, wanted: Iterable[Wanted]) -> float:
        """Have all of them ask at once; return after how many seconds all are answered."""
        answered, known = followed.audience.answered, len(followed.audience.answered)
        asked = asyncio.create_task(followed.subscribe(wanted, self.options.patience))
        said = known
        while not asked.done():
            await asyncio.wait([asked], timeout=1)
            if len(answered) - said >= PROGRESS and not asked.done():
                said = len(answered)
                tell(f"{said - known:,} answered")
        return asked.result()

    async def turns(
        self, followed: Following, views: int, *, moves: bool = False
    ) -> tuple[float, float, float]:
        """Change rows; return a turn's median time, for how long this process has computed in it,
        both in seconds, and how many statements it has sent.

        Args:
            followed: keeps the views.
            views: how many there are.
            moves: whether each fourth row goes to another view.
        """
        audience, meter, costs = followed.audience, Meter(), []
        with meter.watch():
            for number in range(self.options.changes):
                row = 1 + next(self._numbers) * 7 % (views * self.options.rows)
                moved = MOVED if moves and number % 4 == 0 else ""
                arguments = (views, row) if moved else (row,)
                heard = audience.published + (2 if moved else 1)
                meter.reset()
                self._program.run(
                    f"UPDATE app_product SET stock = stock + 1{moved} WHERE id = ?", *arguments
                )
                await audience.until_published(heard)
                costs.append((meter.seconds, meter.computed, meter.sent))
        seconds, computed, sent = map(statistics.median, zip(*costs, strict=True))
        return seconds, computed, sent


async def steps(bench: Bench) -> None:
    """Measure a turn beside ever more views."""
    first: tuple[float, float] | None = None
    async with following() as followed:
        before = resident()
        for views in bench.options.views:
            took = await bench.subscribe(followed, views_of("part", followed.asked + 1, views))
            seconds, computed, _ = await bench.turns(followed, views)
            first = first or (seconds, computed)
            print(
                f"steps: {views:,} views: the new ones answered after {took:.1f} s; a turn with "
                f"one changed row {seconds * 1e3:.2f} ms ({seconds / first[0]:.1f} x the first), "
                f"of it computing {computed * 1e3:.2f} ms ({computed / first[1]:.1f} x); "
                f"{(resident() - before) / views:,.0f} bytes a view by resident memory; "
                "to reach: 2 x",
                flush=True,
            )


async def answers(bench: Bench) -> None:
    """Measure how long new subscribers wait."""
    subscribers, began = bench.options.subscribers, time.process_time()
    async with following() as followed:
        took = await bench.subscribe(followed, views_of("part", 1, subscribers))
    print(
        f"answers: {subscribers:,} new subscribers with a view each, all after {took:.2f} s, of it "
        f"computing {time.process_time() - began:.2f} s; to reach: 5 s for 10,000"
    )


async def returning(bench: Bench) -> None:
    """Measure how long those wait who come back, and others meanwhile."""
    wanted = views_of("part", 1, bench.options.returning)
    print(f"return: {await come_back(wanted, bench.place, bench.subscribe)}")


async def memory(bench: Bench) -> None:
    """Measure what a view takes, with its rows and where there are none, by what Python allocates;
    the first tenth warms up."""
    views, texts = bench.options.memory, list[int]()
    warm, beyond = max(1, views // 10), 10 * bench.options.memory

    def keep(number: int, event: Any) -> None:
        if not texts:  # one stands for all: what is noted here is counted too
            texts.append(sum(size_of(frame.text) for frame in event.frames))

    tracemalloc.start()
    async with following(keep) as followed:
        await bench.subscribe(followed, views_of("part", 1, warm))
        noted = followed.audience.answered  # by this measurement, for none of the views
        before = allocated() - sys.getsizeof(noted)
        await bench.subscribe(followed, views_of("part", warm + 1, warm + views))
        between = allocated() - sys.getsizeof(noted)
        await bench.subscribe(followed, views_of("part", beyond, beyond + views - 1))
        after = allocated() - sys.getsizeof(noted)
    tracemalloc.stop()
    print(
        f"memory: {(between - before) / views:,.0f} bytes a view of {bench.options.rows} rows "
        f"(tracemalloc, {views:,} views), of it the rows' texts {texts[0]:,}; "
        f"{(after - between) / views:,.0f} bytes a view of none; to reach: 2,048 without rows"
    )


def allocated() -> int:
    """Return how many bytes Python has allocated that are in use."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def size_of(text: str) -> int:
    """Return how much memory the rows of a first answer take, as a text each."""
    rows = json.loads(text)["data"]["payload"]
    return sum(sys.getsizeof(json.dumps(row, separators=(",", ":"))) for row in rows)


async def follow(bench: Bench, event: str, views: int) -> tuple[float, float]:
    """Return how long new subscribers wait, and a turn's median time for one changed row."""
    async with following() as followed:
        answered = await bench.subscribe(followed, views_of(event, 1, views))
        median, _, sent = await bench.turns(followed, views, moves=True)
    print(
        f"  {views:,} new subscribers answered after {answered:.2f} s; a turn with one changed row "
        f"{median * 1e3:.1f} ms, {sent:.0f} statements",
        flush=True,
    )
    return answered, median


def ways(bench: Bench) -> None:
    """Measure both ways of reading views of one shape, and print how they compare."""
    for event, words in EVENTS.items():
        print(f"ways: {event} ({words}), {bench.options.rows} rows in each view\n together:")
        together = asyncio.run(follow(bench, event, bench.options.ways))
        print(" one by one:")
        with Sharing().off():
            alone = asyncio.run(follow(bench, event, bench.options.ways))
        print(
            f" together is {alone[0] / together[0]:.1f} times as fast to answer, "
            f"{alone[1] / together[1]:.1f} times as fast in a turn",
            flush=True,
        )


def resident() -> int:
    """Return how much memory this process has, in bytes."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def tell(words: str) -> None:
    """Say how far it is."""
    print(f"  {words}", file=sys.stderr, flush=True)


def measured(part: str, measure: Callable[[], object]) -> None:
    """Measure a part; say so if it takes too long, and let the others be measured."""
    tell(part)
    began = time.monotonic()
    try:
        measure()
    except TimeoutError as problem:
        print(f"{part}: {problem}", flush=True)
    tell(f"{part}: {time.monotonic() - began:.0f} s")


def run(place: Place, options: argparse.Namespace) -> None:
    """Fill a database, and measure the parts on it."""
    os.environ["DATABASE_URL"] = place.url
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
    import django

    django.setup()
    bench = Bench(place, options)
    parts: dict[str, tuple[int, Callable[[], object]]] = {
        "steps": (max(options.views), lambda: asyncio.run(steps(bench))),
        "ways": (options.ways, lambda: ways(bench)),
        "answers": (options.subscribers, lambda: asyncio.run(answers(bench))),
        "return": (options.returning, lambda: asyncio.run(returning(bench))),
        "memory": (options.memory + options.memory // 10 + 1, lambda: asyncio.run(memory(bench))),
    }
    wanted = {name: part for name, part in parts.items() if name in options.only}
    most = max(views for views, _ in wanted.values())
    tell(f"{most:,} categories of {options.rows} rows, on {options.database}")
    bench.fill(most)
    place.server.manage("bindings", "capture", "install")
    for name, (_, measure) in wanted.items():
        measured(name, measure)
    bench.close()


def main() -> None:
    """Measure on one kind of database."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.many_views",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--database", choices=sorted(HOMES), default="sqlite")
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS)
    parser.add_argument("--rows", type=int, default=5, help="in each view")
    parser.add_argument("--changes", type=int, default=40, help="how many at each step")
    parser.add_argument("--patience", type=float, default=600, help="seconds for all answers")
    parser.add_argument("--views", type=int, nargs="+", default=STEPS)
    parser.add_argument("--ways", type=int, default=1_000)
    parser.add_argument("--subscribers", type=int, default=10_000)
    parser.add_argument("--returning", type=int, default=20_000)
    parser.add_argument("--memory", type=int, default=2_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bindserver-bench-") as folder:
        home = HOMES[options.database](Path(folder), durable=False)
        try:
            run(home.make(logged=False, settings="benchmarks.settings"), options)
        finally:
            home.stop()


if __name__ == "__main__":
    main()
