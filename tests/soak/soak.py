"""A soak: two servers on one database, clients, writes and kills; and rests, at which is measured.

One server is killed again and again; the other stays, and is measured. At each rest nobody writes
and visitors are gone: every client's copy must be what the database says, and the server must have
what it had at the first rest.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tests.conftest import program_at
from tests.oracle.homes import Home
from tests.soak.client import Counts, Staying, look, visit
from tests.soak.gauges import GAUGES, measure
from tests.support.postgresql import PostgreSQLProgram
from tests.support.program import Program
from tests.support.redis import Redis
from tests.support.server import Server

SETTINGS: dict[str, Any] = {
    "LINGER_SECONDS": 1.0,
    "METRICS_ALLOW": ["127.0.0.1"],
    "AUDIT_SHARE": 0.05,
    "COMPARE_SECONDS": 5.0,
    "STALE_SECONDS": 2.0,
    "MAX_MESSAGES_PER_SECOND": 1000.0,
}
EVENTS = ("products", "by_stock", "catalogue", "cheapest", "tagged")
PRODUCTS = 200
STAYING = 24
VISITORS = 6
LOOKERS = 2
WRITE_SECONDS = 0.03
REST_PATIENCE = 120.0
CHORES = 12.0
"""Views that nobody looks at are dropped within so many seconds."""

TRUTHS = {
    "products": "SELECT id, stock FROM app_product WHERE active = {true} ORDER BY id",
    "by_stock": "SELECT id, stock FROM app_product WHERE name <> 'hidden' ORDER BY stock DESC, id",
    "catalogue": "SELECT id, stock FROM app_product",
    "cheapest": "SELECT id, name FROM app_product ORDER BY price, id LIMIT 3",
    "tagged": "SELECT id, name FROM app_product",
}


class Trouble(Exception):
    """Something has not come back to where it was."""


class Soak:
    """One run.

    Args:
        home: the database.
        folder: for logs, and the plot.
        seed: of what is drawn.
        say: takes progress lines.

    Attributes:
        minutes: when was measured.
        values: what the lasting server had at each rest, by name.
        done: how often what was killed.
    """

    def __init__(self, home: Home, folder: Path, seed: int, say: Callable[[str], None]) -> None:
        self._home = home
        self._rng = random.Random(seed)
        self._say = say
        self._redis = Redis(folder)
        environment = {
            "DJANGO_SETTINGS_MODULE": "tests.soak.settings",
            "REDIS_URL": self._redis.url,
        }

        def make(name: str) -> Server:
            settings = "tests.soak.settings"
            path = folder / f"{name}.sqlite3"
            return Server(path, SETTINGS, settings, environment, url=home.url)

        self.lasting, self.mortal = make("lasting"), make("mortal")
        self.counts, self.done = Counts(), Counter[str]()
        self.minutes: list[float] = []
        self.values: dict[str, list[float]] = {gauge.name: [] for gauge in GAUGES}
        self._staying: list[Staying] = []
        self._writes = 0
        self._next = PRODUCTS + 1
        self._headers: list[dict[str, str]] = []
        self._busy = asyncio.Event()

    async def run(self, seconds: float, rounds: int) -> None:
        """Run, in so many rounds of work and rest.

        Raises:
            Trouble: something has not come back, or a copy differs.
        """
        with self._running():
            began = time.monotonic()
            self._staying = [
                Staying(server, event, self.counts)
                for number in range(STAYING)
                for server in [(self.lasting, self.mortal)[number % 2]]
                for event in [EVENTS[number // 2 % len(EVENTS)]]
            ]
            tasks = [asyncio.create_task(one.run()) for one in self._staying]
            try:
                for number in range(rounds + 1):
                    # The first round is to warm up: pools are filled, modules are imported.
                    until = began + seconds * (number + 1) / (rounds + 1)
                    await self._work(until)
                    await self._rest(began)
                    self._tell(number, rounds)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    @contextmanager
    def _running(self) -> Iterator[None]:
        self._redis.start()
        self.lasting.prepare()
        with closing(program_at(self._home.url)) as program:
            if isinstance(program, PostgreSQLProgram):
                program.write_as_sqlite_does()
            for number in range(1, 21):
                program.run(
                    "INSERT INTO app_category (id, name) VALUES (?, ?)", number, f"c{number}"
                )
            program.add_products(PRODUCTS)
            self._headers = [program.log_in(f"user{number}") for number in range(10)]
        try:
            self.lasting.start()
            self.mortal.start()
            yield
        finally:
            self.lasting.stop()
            self.mortal.stop()
            self._redis.kill()

    # Work.

    async def _work(self, until: float) -> None:
        """Write, visit and kill until a time."""
        servers = [self.lasting, self.mortal]

        async def again(do: Callable[[], Awaitable[object]], pause: float) -> None:
            while time.monotonic() < until:
                await do()
                await asyncio.sleep(pause)

        def visiting() -> Awaitable[object]:
            return visit(servers, self._headers, self.counts, self._rng)

        def looking() -> Awaitable[object]:
            return look(servers, self._headers, self.counts, self._rng)

        async with asyncio.TaskGroup() as group:
            group.create_task(self._write_all(until))
            for _ in range(VISITORS):
                group.create_task(again(visiting, 0.05))
            for _ in range(LOOKERS):
                group.create_task(again(looking, 0.1))
            group.create_task(again(self._disturb, max(3.0, (until - time.monotonic()) / 6)))

    async def _write_all(self, until: float) -> None:
        while time.monotonic() < until:
            try:
                with closing(await asyncio.to_thread(program_at, self._home.url)) as program:
                    while time.monotonic() < until:
                        await asyncio.to_thread(self._write, program)
                        await asyncio.sleep(WRITE_SECONDS)
            except Exception as problem:  # each driver has its own; the database was killed
                self.done[f"writes that met {type(problem).__name__}"] += 1
                await asyncio.sleep(0.5)

    def _write(self, program: Program) -> None:
        rng, row = self._rng, self._rng.randint(1, PRODUCTS)
        what = rng.random()
        if what < 0.7:
            stock = rng.randint(0, 1000)
            program.run(
                "UPDATE app_product SET stock = ?, price = ? WHERE id = ?", stock, stock, row
            )
        elif what < 0.8:
            name = rng.choice(["hidden", f"name {stock_of(rng)}"])
            program.run("UPDATE app_product SET name = ? WHERE id = ?", name, row)
        elif what < 0.9:
            program.add_products(1, self._next, category_id=rng.randint(1, 20))
            self._next += 1
        else:
            program.run(
                "DELETE FROM app_product WHERE id > ? AND id < ?", PRODUCTS, self._next - 20
            )
        self._writes += 1

    async def _disturb(self) -> None:
        """Kill something, and start it again."""
        what = self._rng.choice([self._kill_server, self._kill_database, self._kill_redis])
        await asyncio.to_thread(what)

    def _kill_server(self) -> None:
        self.mortal.kill()
        self.mortal.start()
        self.done["servers killed"] += 1

    def _kill_database(self) -> None:
        if self._home.restart(crash=self._rng.random() < 0.5):
            self.done["databases killed"] += 1

    def _kill_redis(self) -> None:
        self._redis.kill()
        self._redis.start()
        self.done["Redis killed"] += 1

    # Rest.

    async def _rest(self, began: float) -> None:
        with closing(await asyncio.to_thread(program_at, self._home.url)) as program:
            await self._agree(program)
            self._measured = await self._settled(program)
        self.minutes.append((time.monotonic() - began) / 60)
        for name, value in self._measured.items():
            self.values[name].append(value)

    async def _agree(self, program: Program) -> None:
        """Wait until every client's copy is what the database says."""
        truths = {event: self._truth(program, event) for event in EVENTS}
        until = time.monotonic() + REST_PATIENCE
        while wrong := [one for one in self._staying if copy_of(one) != truths[one.event]]:
            if time.monotonic() > until:
                one = wrong[0]
                raise Trouble(
                    f"{len(wrong)} copies differ from the database; one of {one.event!r} at "
                    f"{'the lasting' if one.server is self.lasting else 'the killed'} server has "
                    f"{copy_of(one)}, and the database {truths[one.event]}"
                )
            await asyncio.sleep(0.1)

    @staticmethod
    def _truth(program: Program, event: str) -> Sequence[tuple[Any, ...]]:
        true = "true" if program.url.startswith("postgresql:") else "1"
        rows = [tuple(row) for row in program.run(TRUTHS[event].format(true=true))]
        return rows if event not in UNORDERED else sorted(rows)

    async def _settled(self, program: Program) -> dict[str, float]:
        """Measure when views that nobody follows have been dropped and connections have ended; what
        does not come back to where it was within a while is measured as it is."""
        until = time.monotonic() + CHORES + REST_PATIENCE / 4
        while True:
            await asyncio.sleep(CHORES / 6)
            now = await asyncio.to_thread(measure, self.lasting, program)
            is_back = all(now[gauge.name] <= gauge.most(self._aim(gauge.name)) for gauge in GAUGES)
            if is_back or time.monotonic() > until:
                return now

    def _aim(self, name: str) -> float:
        """Return where something is to come back to."""
        if self.values[name]:
            return self.values[name][0]
        lasting = [one for one in self._staying if one.server is self.lasting]
        known = {"connections": len(lasting), "subscriptions": len(lasting)}
        known["views"] = len({one.event for one in lasting})
        return float(known.get(name, 1e9))

    def _tell(self, number: int, rounds: int) -> None:
        now = ", ".join(f"{name} {value:g}" for name, value in self._measured.items())
        self._say(
            f"round {number}/{rounds} after {self.minutes[-1]:.1f} min: {self.counts.connects} "
            f"connects, {self.counts.subscribes} subscribes, {self.counts.frames} frames, "
            f"{self.counts.requests} requests, {self._writes} writes; {dict(self.done)}; {now}"
        )


def troubles_of(values: Mapping[str, Sequence[float]]) -> list[str]:
    """Return what has not come back to where it was at the first rest, by the names of `GAUGES`."""
    found = []
    for gauge in GAUGES:
        began, *_, ended = values[gauge.name]
        if ended > (most := gauge.most(began)):
            words = (
                f"{gauge.name}: {began:.4g} at first, {ended:.4g} at last, and {most:.4g} at most"
            )
            found.append(words)
    return found


UNORDERED = {"catalogue", "tagged"}
"""Views whose order is the database's affair: by names in its collation, and by none."""


def copy_of(one: Staying) -> Sequence[tuple[Any, ...]]:
    """Return a client's copy as the query of `TRUTHS` gives it."""
    column = "name" if one.event in ("cheapest", "tagged") else "stock"
    rows = [(row["id"], row[column]) for row in one.replica.rows]
    return rows if one.event not in UNORDERED else sorted(rows)


def stock_of(rng: random.Random) -> int:
    """Return a number for a name."""
    return rng.randint(0, 500)
