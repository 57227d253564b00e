"""What many views cost that differ only in an argument: read together, or one by one.

Run with `python -m benchmarks.many_views --database sqlite`, `postgresql` or `mysql`. It starts
what it needs, and ends by itself. One cycle in this process keeps a view for each category; another
program changes one row at a time, which now and then goes to another category. Both ways are
measured in one run: their ratio says more than the times.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

from benchmarks.homes import HOMES, Place

CHANGES = 40
MOVED = ", category_id = CASE category_id WHEN ? THEN 1 ELSE category_id + 1 END"
EVENTS = {"part": "plain fields", "catalogue": "a DRF serializer with a join and an order by text"}
PATIENCE_SECONDS = 120


class Audience:
    """Subscribers without sockets: they count what they hear."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.answered: set[int] = set()
        self.published = 0

    def hear(self, number: int, event: Any) -> None:
        """Count an event."""
        name = type(event).__name__
        if name == "Answered":
            self.answered.add(number)
        elif name == "Published":
            self.published += 1
        elif name != "Accepted":
            raise RuntimeError(f"subscriber {number} heard {event}")

    def fail(self) -> None:
        """Nothing after this can be right."""
        raise RuntimeError("an event could not be heard")

    def settle(self, state: str) -> None:
        """Nothing: no marks are wanted."""


class Turns:
    """How long each turn takes, and how many statements it sends."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.statements: list[int] = []

    def watch(self) -> Callable[[], None]:
        """Begin to watch all turns; return what ends that."""
        from django.db import connection

        from bindserver.cycle.turn import Turn

        run = Turn.run

        def timed(turn: Turn, items: Any) -> None:
            sent = []

            def count(execute: Any, *arguments: Any) -> Any:
                sent.append(arguments[0])
                return execute(*arguments)

            began = time.perf_counter()
            with connection.execute_wrapper(count):
                run(turn, items)
            self.seconds.append(time.perf_counter() - began)
            self.statements.append(len(sent))

        def end() -> None:
            setattr(Turn, "run", run)  # noqa: B010

        setattr(Turn, "run", timed)  # noqa: B010
        return end


async def until(done: Callable[[], bool]) -> None:
    """Wait until `done()`."""
    last = time.monotonic() + PATIENCE_SECONDS
    while not done():
        if time.monotonic() > last:
            raise TimeoutError("it takes too long")
        await asyncio.sleep(0.001)


async def measure(event: str, views: int, each: int, program: Any) -> tuple[float, float]:
    """Return how long new subscribers wait, and a turn's median time for one changed row."""
    from bindserver.cycle.cycle import Cycle
    from bindserver.cycle.inbox import Caller, SessionRequest
    from bindserver.engine.effects import Ask
    from bindserver.engine.protocol import Subscribe

    audience, turns = Audience(), Turns()
    cycle = Cycle("default", b"secret")
    cycle.start()
    try:
        began = time.perf_counter()
        for number in range(1, views + 1):
            message = Subscribe(event=event, params={"category": number})
            cycle.ask(
                SessionRequest(cast(Any, audience), Caller(), Ask(number=number, message=message))
            )
        await until(lambda: len(audience.answered) == views)
        answered = time.perf_counter() - began
        end = turns.watch()
        for number in range(CHANGES):
            row, heard = 1 + number * 7 % (views * each), audience.published
            moved = MOVED if number % 4 == 0 else ""
            arguments = (views, row) if moved else (row,)
            program.run(f"UPDATE app_product SET stock = stock + 1{moved} WHERE id = ?", *arguments)
            await until(lambda h=heard, more=2 if moved else 1: audience.published == h + more)  # type: ignore[misc]
        end()
    finally:
        await asyncio.to_thread(cycle.stop)
    busy = sorted(zip(turns.seconds, turns.statements, strict=True))[-CHANGES:]
    median = statistics.median(seconds for seconds, _ in busy)
    print(
        f"  {views} new subscribers answered after {answered:.2f} s; a turn with one changed row "
        f"{median * 1e3:.1f} ms, {statistics.median(sent for _, sent in busy):.0f} statements",
        flush=True,
    )
    return answered, median


def one_by_one() -> Callable[[], None]:
    """Have no two views read together; return what ends that."""
    from bindserver.queries import query

    patched = patch.object(query, "shape_of", lambda *_: None)
    patched.start()

    def end() -> None:
        patched.stop()

    return end


def compare(event: str, views: int, each: int, program: Any) -> None:
    """Measure both ways, and print how they compare."""
    print(f"{event} ({EVENTS[event]}), {each} rows in each view\n together:")
    together = asyncio.run(measure(event, views, each, program))
    end = one_by_one()
    print(" one by one:")
    alone = asyncio.run(measure(event, views, each, program))
    end()
    print(
        f" together is {alone[0] / together[0]:.1f} times as fast to answer, "
        f"{alone[1] / together[1]:.1f} times as fast in a turn",
        flush=True,
    )


def main() -> None:
    """Measure both kinds of binding on one kind of database."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many_views", description=__doc__)
    parser.add_argument("--database", choices=sorted(HOMES), default="sqlite")
    parser.add_argument("--views", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=5, help="in each view")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bindserver-bench-") as folder:
        home = HOMES[options.database](Path(folder), durable=False)
        try:
            run(home.make(), options.views, options.rows)
        finally:
            home.stop()


def run(place: Place, views: int, each: int) -> None:
    """Fill a database, and measure both kinds of binding on it."""
    os.environ["DATABASE_URL"] = place.url
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django

    django.setup()
    program = place.program()
    for number in range(1, views + 1):
        program.run("INSERT INTO app_category VALUES (?, ?)", number, f"category {number}")
        program.add_products(each, first=1 + (number - 1) * each, category_id=number)
    for event in EVENTS:
        compare(event, views, each, program)
    program.close()


if __name__ == "__main__":
    main()
