"""What one change costs, by the kind of binding that follows it.

Run with `python -m benchmarks.queries --database sqlite`, `postgresql` or `mysql`. It starts what
it needs, and ends by itself. For each line of the table one cycle in this process keeps the views;
another program makes one change at a time, in one transaction with a plain row that is followed as
well: when that is heard and nothing is loading, the change has been dealt with. Medians are told of
how often models' tables were read and how many rows came (the plain row's and the change log's own
aside), of the milliseconds from the begin of the change's turn to the end of its last one, and of
those for which this process has computed meanwhile, which a busy machine alters less.

Where a way of reading can be switched off, the line is measured without it as well. The table goes
to the standard output, progress to the other one.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.cycling import Following, Meter, following
from benchmarks.homes import HOMES, Place
from benchmarks.lines import LINES, Line, Sizes, Sql
from benchmarks.ways import Sharing

FEWEST = 3
"""A change is made so often at least, however long it takes."""

MARK = "UPDATE board_notice SET number = number + 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a line came to: medians, and what else is to be said."""

    statements: float
    rows: float
    milliseconds: float
    reached: bool | None
    computed: float | None = None
    said: str = ""


class Refused(Exception):
    """A subscriber of a line was refused; what it was told is the text."""


class Bench:
    """A filled database, and what measures on it.

    Args:
        program: another program, which writes.
        sizes: how much there is.
        changes: how many changes to make for each line.
        seconds: for how long at most.
    """

    def __init__(self, program: Any, sizes: Sizes, changes: int, seconds: float) -> None:
        self.sizes = sizes
        self.meter = Meter(loads=True)
        self._program = program
        self._changes = changes
        self._seconds = seconds
        self._numbers = count(1)

    async def measure(self, line: Line) -> Result:
        """Measure a line, with a cycle of its own."""
        with self.meter.watch():
            async with following() as followed:
                await followed.follow_marks()
                try:
                    return await HOW[line.how](self, line, followed)
                except Refused as why:
                    said = f"refused: {why}"
                    return Result(statements=0, rows=0, milliseconds=0, reached=None, said=said)

    async def subscribe(self, line: Line, followed: Following) -> float:
        """Have all subscribe; return how many seconds that took.

        Raises:
            Refused: one of them was.
        """
        wanted = line.wanted(self.sizes)
        tell(f"{line.name}: {len(wanted):,} subscribers")
        seconds = await followed.subscribe(wanted)
        for why in followed.audience.refused.values():
            raise Refused(why)
        await self.rest(followed)
        tell(f"{line.name}: answered after {seconds:.1f} s; {self.meter.views - 1:,} views")
        return seconds

    async def rest(self, followed: Following) -> None:
        """Wait until there is nothing left to do."""
        await followed.audience.until(lambda: not self.meter.busy)

    async def change(self, line: Line, followed: Following) -> tuple[int, int, float, float]:
        """Make one change; return how often tables were read, how many rows came of that, how long
        it took, and for how long this process has computed, in milliseconds."""
        audience = followed.audience
        marks, published = audience.marks + 1, audience.published + line.publishes
        self.meter.reset()
        self.write(self.next(line), (MARK,))
        await audience.until(lambda: audience.marks >= marks)
        await audience.until_published(published)
        await self.rest(followed)
        meter = self.meter
        return meter.statements, meter.rows, meter.seconds * 1e3, meter.computed * 1e3

    def next(self, line: Line) -> Sql:
        """Return a line's next change."""
        return line.change(self.sizes, next(self._numbers))

    def write(self, *statements: Sql) -> None:
        """Run statements in one transaction."""
        with self._program.transaction():
            for sql, *arguments in statements:
                self._program.run(sql, *arguments)

    async def often(self, name: str, once: Callable[[], Awaitable[Any]]) -> list[Any]:
        """Do something as often as there are changes to make, and not for too long."""
        done: list[Any] = []
        until = time.monotonic() + self._seconds
        while len(done) < self._changes and (len(done) < FEWEST or time.monotonic() < until):
            done.append(await once())
        tell(f"{name}: {len(done)} changes")
        return done


async def by_change(bench: Bench, line: Line, followed: Following) -> Result:
    """Measure what each change costs."""
    await bench.subscribe(line, followed)
    costs = await bench.often(line.name, lambda: bench.change(line, followed))
    statements, rows, milliseconds, computed = map(statistics.median, zip(*costs, strict=True))
    reached = None if line.name == "plain" else line.target.is_reached(statements, milliseconds)
    return Result(
        statements=statements, rows=rows, milliseconds=milliseconds, computed=computed,
        reached=reached,
    )  # fmt: skip


async def beside(bench: Bench, line: Line, followed: Following) -> Result:
    """Measure after how long a plain row is heard that is written while a change of others is being
    dealt with, and how long that takes alone."""
    audience, meter = followed.audience, bench.meter

    async def alone() -> float:
        marks, began = audience.marks + 1, time.perf_counter()
        bench.write((MARK,))
        await audience.until(lambda: audience.marks >= marks)
        return time.perf_counter() - began

    async def with_others() -> tuple[float, int, int]:
        published = audience.published + line.publishes
        meter.reset()
        bench.write(bench.next(line))
        await audience.until(lambda: meter.busy or bool(meter.turns))
        seconds = await alone()
        await audience.until_published(published)
        await bench.rest(followed)
        return seconds, meter.statements, meter.rows

    unbothered = statistics.median(await bench.often(f"{line.name}, alone", alone))
    await bench.subscribe(line, followed)
    found = await bench.often(line.name, with_others)
    seconds, statements, rows = map(statistics.median, zip(*found, strict=True))
    times = seconds / unbothered
    return Result(
        statements=statements, rows=rows, milliseconds=seconds * 1e3,
        reached=times <= 2, said=f"alone {unbothered * 1e3:.1f} ms: {times:.1f} x",
    )  # fmt: skip


async def by_clock(bench: Bench, line: Line, followed: Following) -> Result:
    """Measure how many views some users come to, and when they are all answered."""
    bench.meter.reset()
    seconds = await bench.subscribe(line, followed)
    views = bench.meter.views - 1
    return Result(
        statements=bench.meter.statements, rows=bench.meter.rows, milliseconds=seconds * 1e3,
        reached=views == 1, said=f"{views} views",
    )  # fmt: skip


HOW = {"change": by_change, "beside": beside, "clock": by_clock}


def tell(words: str) -> None:
    """Say how far it is."""
    print(f"  {words}", file=sys.stderr, flush=True)


def show(line: Line, way: str, result: Result) -> None:
    """Print a line of the table."""
    reached = {None: "-", True: "yes", False: "no"}[result.reached]
    words = f"{line.name}{way}: {line.words}" + (f" ({result.said})" if result.said else "")
    numbers = f"{result.statements:,.0f} | {result.rows:,.0f} | {result.milliseconds:,.1f}"
    numbers += " | " + ("-" if result.computed is None else f"{result.computed:,.1f}")
    print(f"| {words} | {numbers} | {line.target} | {reached} |", flush=True)


@contextmanager
def watched_alone(line: Line, sizes: Sizes) -> Iterator[None]:
    """Have the change log watch what a line's binding reads, and the marks, if it asks for that."""
    if not line.alone:
        yield
        return
    events = {"notices", *(wanted.event for wanted in line.wanted(sizes))}
    _watch(events.__contains__)
    try:
        yield
    finally:
        _watch(lambda _: True)


def _watch(is_meant: Callable[[str], bool]) -> None:
    from django.db import connection

    from bindserver.bindings.registry import registry
    from bindserver.capture.log import log_of
    from bindserver.capture.tables import tracked
    from bindserver.queries.tables import reads_of

    reads = reads_of([b for b in registry.all() if b.event and is_meant(b.event)], "default")
    log = log_of(connection)
    log.remove()
    log.install(tracked(reads, reads))
    connection.close()


def compare(bench: Bench, lines: Sequence[Line]) -> None:
    """Measure lines, those that can be switched both ways."""
    print("| binding and change | statements | rows | ms | of it computing | to reach | reached |")
    print("| --- | ---: | ---: | ---: | ---: | --- | --- |", flush=True)
    sharing = Sharing()
    for line in lines:
        with watched_alone(line, bench.sizes), sharing.watch():
            measure(bench, line, "")
        if sharing.found:
            with sharing.off():
                measure(bench, line, ", one by one")


def measure(bench: Bench, line: Line, way: str) -> None:
    """Measure a line; say so if it takes too long, and let the others be measured."""
    try:
        show(line, way, asyncio.run(bench.measure(line)))
    except TimeoutError as problem:
        print(
            f"| {line.name}{way}: {line.words} ({problem}) | | | | | {line.target} | no |",
            flush=True,
        )


def run(place: Place, options: argparse.Namespace) -> None:
    """Fill a database, and measure on it."""
    os.environ["DATABASE_URL"] = place.url
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
    import django

    django.setup()
    from django.contrib.auth.models import User
    from django.db import connection

    from benchmarks.board.filling import fill

    tell(f"{options.rows:,} rows and {options.views:,} users, on {options.database}")
    fill(options.rows, options.views)
    sizes = Sizes(rows=options.rows, views=options.views, users=list(User.objects.order_by("pk")))
    connection.close()
    place.server.manage("bindings", "capture", "install")
    program = place.program()
    bench = Bench(program, sizes, options.changes, options.seconds)
    compare(bench, [line for line in LINES if line.name in options.only])
    program.close()


def main() -> None:
    """Measure on one kind of database."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.queries", description=__doc__)
    parser.add_argument("--database", choices=sorted(HOMES), default="sqlite")
    parser.add_argument("--rows", type=int, default=10_000, help="how many tasks")
    parser.add_argument("--views", type=int, default=1000, help="how many users have a view each")
    parser.add_argument("--changes", type=int, default=11, help="how many for each line")
    parser.add_argument("--seconds", type=float, default=30, help="at most for a line's changes")
    names = [line.name for line in LINES]
    parser.add_argument("--only", choices=names, default=names, nargs="+", metavar="NAME")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bindserver-bench-") as folder:
        home = HOMES[options.database](Path(folder), durable=False)
        try:
            run(home.make(logged=False, settings="benchmarks.settings"), options)
        finally:
            home.stop()


if __name__ == "__main__":
    main()
