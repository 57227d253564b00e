"""The machine for several processes under signals: writers, servers and Redis come and go."""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.oracle.homes import Home
from tests.oracle.scribe import Scribe
from tests.oracle.sessions import Session
from tests.oracle.subscription import short
from tests.oracle.tally import Tally
from tests.oracle.truth import History, Name, canonical
from tests.oracle.watcher import Watcher
from tests.support.redis import Redis
from tests.support.server import Server

EVENTS: tuple[str, ...] = (
    *("products", "catalogue", "cheapest", "by_stock", "tagged", "restaurants", "places"),
    *("tokens", "words", "tags", "categories", "shelves", "notes", "parcels"),
)
NAMES = [*map(Name, EVENTS), Name("catalogue", canonical({"category": 1}))]
SETTINGS: dict[str, Any] = {"CAPTURE": "signals", "RELAY_BEAT_SECONDS": 0.5, "AUDIT_SHARE": 0}
PROFILES: dict[str, dict[str, Any]] = {
    "calm": {**SETTINGS, "COMPARE_SECONDS": 3600},
    "lossy": {**SETTINGS, "COMPARE_SECONDS": 3600},
    "relay": {**SETTINGS, "COMPARE_SECONDS": 3600},
    "compare": {**SETTINGS, "COMPARE_SECONDS": 2},
    "loader": {**SETTINGS, "COMPARE_SECONDS": 3600, "SYNC_ROWS": 4, "HINT_KEYS": 2},
}
"""All but "compare" compare nothing of their own accord. Under "calm" no message is lost and nobody
ends, so that each write must have been told of. Under all others messages are lost, which must be
noticed; under "relay" and "loader" servers and Redis are killed too; under "compare" also writers,
and raw SQL writes."""
STORMY = ("relay", "loader", "compare")
PATIENCE_SECONDS = 15.0
QUIET_SECONDS = 0.3
SCRIBES = 2
SERVERS = 2


class Several:
    """One run.

    Args:
        home: the database.
        folder: where the logs are.
        seed: what all choices follow from.
        fault: the fault to plant in every process, or None.
        profile: one of PROFILES; None for the seed's choice.
        patience: how long after the last write all must be equal, in seconds.
    """

    def __init__(
        self,
        home: Home,
        folder: Path,
        seed: int,
        fault: str | None = None,
        profile: str | None = None,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self.tally = Tally(seed)
        self.rng = random.Random(seed)
        self.profile = profile or self.rng.choice(sorted(PROFILES))
        self.redis = Redis(folder)
        self._patience = patience
        self._healed: list[float] = []
        module = "tests.oracle.faulty_settings" if fault else "tests.settings"
        environment = {
            "REDIS_URL": self.redis.url,
            "ORACLE_FAULT": fault or "",
        }
        if self.profile != "calm":
            environment["CHANNEL_LAYER"] = "tests.oracle.lossy.LossyLayer"
        self.servers = [
            Server(
                *(folder / f"server{number}", PROFILES[self.profile], module, environment),
                url=home.url,
            )
            for number in range(SERVERS)
        ]
        self.servers[0].prepare(capture=False)
        environment |= {"BINDSERVER": self.servers[0].environment["BINDSERVER"]}
        environment |= {"DATABASE_URL": self.servers[0].environment["DATABASE_URL"]}
        environment |= {"DJANGO_SETTINGS_MODULE": module}
        self.scribes = [
            Scribe({**os.environ, **environment}, folder / f"scribe{number}.log")
            for number in range(SCRIBES)
        ]
        self.watchers = [
            Watcher(f"client {letter} of server {number}", server.ws, NAMES, self.tally)
            for number, server in enumerate(self.servers)
            for letter in "ab"
        ]
        self._database = Session(home.url)

    async def run(self, seconds: float, rests: int) -> None:
        """Take steps until the time is over and everybody came to rest as often as was asked for.

        Raises:
            Different: a replica is not what it must be.
        """
        self.redis.start()
        await asyncio.gather(*(asyncio.to_thread(server.start) for server in self.servers))
        await asyncio.gather(*(scribe.start() for scribe in self.scribes))
        for watcher in self.watchers:
            watcher.start()
        try:
            loop = asyncio.get_running_loop()
            until = loop.time() + seconds
            await self.write(20)
            while loop.time() < until or len(self._healed) < rests - 1:
                await self._step()
                self.tally.check()
            await self.settle()
        finally:
            for watcher in self.watchers:
                await watcher.stop()
            for scribe in self.scribes:
                await scribe.end(crash=True)
            for server in self.servers:
                await asyncio.to_thread(server.kill)
            self.redis.kill()

    async def _step(self) -> None:
        steps = [step for step in STEPS if self.profile in step[2]]
        step = self.rng.choices([s for s, _, _ in steps], [weight for _, weight, _ in steps])[0]
        self.tally.steps[step.__name__] += 1
        self.tally.note(step.__name__)
        await step(self)

    async def write(self, most: int) -> None:
        """Have both writing processes write at the same time, and perhaps a server too."""
        seeds = [(self.rng.getrandbits(32), self.rng.randint(0, most)) for _ in self.scribes]
        writing = [s.write(*told) for s, told in zip(self.scribes, seeds, strict=True)]
        for done in await asyncio.gather(*writing):
            self.tally.writes.update(done)
        if self.rng.random() < 0.3:
            server = self.rng.choice(self.servers)
            await asyncio.to_thread(self._write_by, server)

    def _write_by(self, server: Server) -> None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{server.port}/write/s/", timeout=20).read()
        except OSError:
            return  # it is being started again
        self.tally.writes["by a server"] += 1

    def write_raw(self) -> None:
        """Write as another program would, of which nobody tells."""
        self._database.run("UPDATE app_product SET stock = stock + 1 WHERE id % 3 = 0")
        self.tally.writes["raw"] += 1

    async def pause(self, most: float = 0.2) -> None:
        """Let everybody work for a moment."""
        await asyncio.sleep(self.rng.random() * most)

    async def settle(self) -> None:
        """Let everybody come to rest, and hold every replica against the database."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        truth = History(NAMES)
        truth.record(self._database)
        while behind := self._behind(truth):
            self.tally.check()
            if loop.time() - began > self._patience:
                watcher, name = behind[0]
                self.tally.differs(
                    f"{watcher.label}: {name} is not the table's after {self._patience:g} s "
                    f"({len(behind)} are not)\nheld  {short(watcher.rows(name))}\n"
                    f"table {short(truth.newest(name).rows)}"
                )
            await asyncio.sleep(0.01)
        self._healed.append(loop.time() - began)
        await asyncio.sleep(QUIET_SECONDS)
        if behind := self._behind(truth):
            self.tally.differs(f"{behind[0][0].label}: {behind[0][1]} was right, and is no more")
        self.tally.compared(count=len(self.watchers) * len(NAMES))

    def _behind(self, truth: History) -> list[tuple[Watcher, Name]]:
        return [
            (watcher, name)
            for watcher in self.watchers
            for name in NAMES
            if watcher.rows(name) != truth.newest(name).rows
        ]

    def report(self) -> str:
        """Return the run's figures."""
        times = sorted(self._healed) or [0.0]
        middle, worst = statistics.median(times), times[-1]
        return (
            f"profile: {self.profile}\n{self.tally.report()}\n"
            f"rests: {len(self._healed)}, all equal after {middle:.2f} s (median), "
            f"{worst:.2f} s (worst)"
        )

    def log(self) -> str:
        """Return what the servers have said."""
        return "\n".join(s.log.read_text() for s in self.servers if s.log.exists())


async def write(m: Several) -> None:
    """A few writes."""
    await m.write(6)
    await m.pause()


async def rest(m: Several) -> None:
    """All come to rest."""
    await m.settle()


async def redis_gone(m: Several) -> None:
    """Redis is killed, and comes back after writes."""
    m.redis.kill()
    await m.write(5)
    await m.pause(2)
    await m.write(3)
    m.redis.start()
    await m.write(3)


async def redis_blinks(m: Several) -> None:
    """Redis is killed and is back at once."""
    m.redis.kill()
    m.redis.start()
    await m.write(4)


async def server_crashes(m: Several) -> None:
    """A server is killed, and comes back after writes."""
    server = m.rng.choice(m.servers)
    server.kill()
    await m.write(5)
    starting = asyncio.create_task(asyncio.to_thread(server.start))
    await m.write(5)
    await starting


async def server_restarts(m: Several) -> None:
    """A server ends in order, and comes back."""
    server = m.rng.choice(m.servers)
    stopping = asyncio.create_task(asyncio.to_thread(server.stop))
    await m.write(5)
    await stopping
    await asyncio.to_thread(server.start)


async def writer_ends(m: Several) -> None:
    """A writing process ends in order right after its last write, and another takes its place."""
    scribe = m.rng.choice(m.scribes)
    await m.write(3)
    await scribe.end(crash=m.rng.random() < 0.5)
    await scribe.start()


async def raw_write(m: Several) -> None:
    """Another program writes."""
    m.write_raw()


Step = Callable[[Several], Awaitable[None]]
STEPS: list[tuple[Step, float, tuple[str, ...]]] = [
    (write, 40, tuple(PROFILES)),
    (rest, 12, tuple(PROFILES)),
    (rest, 40, ("lossy",)),  # the last message before it is the one that nothing follows
    (redis_gone, 4, STORMY),
    (redis_blinks, 4, STORMY),
    (server_crashes, 2, STORMY),
    (server_restarts, 1, STORMY),
    (writer_ends, 4, ("compare",)),
    (raw_write, 6, ("compare",)),
]
"""Each step, its weight, and the profiles that it belongs to."""
