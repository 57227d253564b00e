"""The state machine: a seeded run of writes, faults and checks against a real server."""

from __future__ import annotations

import asyncio
import io
import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from django.core.management import call_command

from tests.oracle import orm, raw, transactions
from tests.oracle.crosscheck import by_orm
from tests.oracle.follower import Follower
from tests.oracle.service import Service, log_in
from tests.oracle.subscription import Subscription
from tests.oracle.tally import Tally
from tests.oracle.truth import History, Name, canonical
from tests.oracle.writer import Writer

SETTLE_SECONDS = 12
CLIENTS = 4
ANN = 1
NAMES = [
    *(Name(e) for e in ("products", "cheapest", "by_stock", "tagged", "restaurants", "places")),
    *(Name(e) for e in ("tokens", "words", "tags", "categories", "catalogue")),
    *(Name("catalogue", canonical(p)) for p in ({"category": 1}, {"category": 2}, {"q": "a"})),
    Name("catalogue", canonical({"category": 1, "q": "b"})),
]
MINE = Name("mine", user=ANN)
PROVEN = frozenset({"ok", "create", "update", "delete", "batch"})
NEVER = 2**62
PAUSES = (0.0, 0.0, 0.0, 0.001, 0.004, 0.012, 0.02)


class Machine:
    """One run.

    Args:
        database: the SQLite file, which the process's own settings name too.
        seed: what all choices follow from.
        fault: the fault to plant in the server, or None.
        profile: the server's settings, None for the seed's choice.
    """

    def __init__(
        self, database: Path, seed: int, fault: str | None = None, profile: str | None = None
    ) -> None:
        self.tally = Tally(seed)
        self.rng = random.Random(seed)
        self.service = Service(database, self.rng, fault, profile)
        self.service.migrate()
        self.writer = Writer(database, self.rng)
        self.history = History([*NAMES, MINE])
        cookie = log_in()
        self.clients = [
            Follower(f"client {number}", cookie if number < 2 else None, self.history, self.tally)
            for number in range(CLIENTS)
        ]
        self.away: set[Follower] = set()
        self.proof_since = 0
        """A cursor of a later state than this can be proved."""

    async def run(self, seconds: float) -> None:
        """Take steps until the time is over.

        Raises:
            Different: a replica is not what it must be.
        """
        self._seed_rows()
        self.service.install()
        self.history.record(self.writer.db)
        await self.service.start()
        self.tally.note(f"the server is up, with settings {self.service.profile!r}")
        for client in self.clients:
            await self.connect(client)
        try:
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                await self._step()
                self.tally.check()
            await self.settle()
            self.crosscheck()
            if "Traceback" in (log := self.service.log()):
                self.tally.differs(f"the server's log holds a traceback:\n{log}")
            self.tally.check()
        finally:
            for client in self.clients:
                await client.drop(rudely=True)
            await self.service.stop(crash=True)

    def _seed_rows(self) -> None:
        writes: list[raw.Write] = [*[raw.insert_category] * 4, *[raw.write_tag] * 12]
        writes += [*[raw.insert_product] * 25, *[raw.tag_product] * 20, *[raw.write_restaurant] * 9]
        transactions.atomically(self.writer, writes)

    async def _step(self) -> None:
        from tests.oracle.steps import STEPS

        step = self.rng.choices([s for s, _ in STEPS], [weight for _, weight in STEPS])[0]
        self.tally.steps[step.__name__] += 1
        self.tally.note(f"{step.__name__} at state {self.history.state}")
        await step(self)

    # Writing.

    def committed(self, what: str) -> None:
        """Take the new state down; nothing may be awaited between the commit and this."""
        self.history.record(self.writer.db)
        self.tally.writes[what] += 1
        self.tally.note(f"state {self.history.state}: {what}")

    def write(self) -> None:
        """Commit something small."""
        kind = self.rng.random()
        if kind < 0.45:
            write = self.rng.choice(raw.ALONE)
            write(self.writer)
            self.committed(write.__name__)
        elif kind < 0.75:
            writes = raw.choose(self.writer)
            transactions.atomically(self.writer, writes)
            self.committed("transaction")
        else:
            change = self.rng.choice(orm.WRITES)
            orm.atomically(self.writer, change)
            self.committed(f"orm {change.__name__}")

    async def writes(self, most: int) -> None:
        """Commit a few things, sometimes resting in between."""
        for _ in range(self.rng.randint(0, most)):
            self.write()
            await self.pause()

    async def pause(self) -> None:
        """Let the clients read for a moment."""
        await asyncio.sleep(self.rng.choice(PAUSES))

    # Clients.

    def client(self) -> Follower:
        """Choose a client."""
        return self.rng.choice(self.clients)

    def name_for(self, client: Follower) -> Name:
        """Choose a view."""
        return self.rng.choice([*NAMES, MINE] if client in self.clients[:2] else NAMES)

    async def connect(self, client: Follower, *, held: bool = True) -> None:
        """Connect and subscribe: to what was subscribed before, at first to many views."""
        self.away.discard(client)
        names = list(client.subscriptions)
        if not names:
            names = [n for n in NAMES if self.rng.random() < 0.7]
            names += [MINE] if client in self.clients[:2] else []
        client.may_close_with = self.service.may_close_with
        await client.connect(self.service.url)
        for name in names:
            await self.subscribe(client, name, held=held)

    async def subscribe(
        self, client: Follower, name: Name, *, resume: bool = True, held: bool = True
    ) -> None:
        """Subscribe, and say which answers are right where that is known."""
        subscription = client.subscriptions.get(name)
        proven = resume and held and self.provable(subscription)
        allowed = PROVEN if proven else None
        await client.subscribe(name, resume=resume, held=held, allowed=allowed)

    def provable(self, subscription: Subscription | None) -> bool:
        """Tell whether the server can prove what has changed since the subscription's cursor."""
        return (
            subscription is not None
            and subscription.replica is not None
            and subscription.replica.cursor is not None
            and subscription.since > self.proof_since
            and subscription.name.event != "mine"
        )

    # Checking.

    async def settle(self) -> None:
        """Bring all clients back, and wait until each replica is as the database is now."""
        await asyncio.sleep(0)
        for client in self.clients:
            client.gate.set()
            if client in self.away or not client.connected:
                await self.connect(client)
        await self.until_equal()
        needed: dict[Name, int] = {}
        for client in self.clients:
            for name, since in client.settle().items():
                needed[name] = min(since, needed.get(name, since))
        self.history.forget(needed)
        if self.proof_since == NEVER:
            self.proof_since = self.history.state

    async def until_equal(self) -> None:
        """Wait until no client is behind."""
        until = time.monotonic() + SETTLE_SECONDS
        while behind := [(c, s) for c in self.clients for s in c.behind()]:
            self.tally.check()
            if time.monotonic() > until:
                for client, one in behind[:3]:
                    self.tally.differs(self._describe(client, one))
            await asyncio.sleep(0.004)

    def _describe(self, client: Follower, one: Subscription) -> str:
        held = one.replica.rows if one.replica is not None else None
        return (
            f"{client.label}: {one.name} ({one.phase.value}) did not come to the newest state "
            f"within {SETTLE_SECONDS} s\nheld   {held}\n"
            f"newest {self.history.newest(one.name).rows}"
        )

    def crosscheck(self) -> None:
        """See that the oracle's SQL says what the ORM says."""
        for name in self.history.names():
            newest = self.history.newest(name).rows
            if by_orm(name) != newest:
                self.tally.differs(f"the ORM has {name} otherwise than the oracle's SQL: {newest}")

    def purge(self) -> None:
        """Purge the change log, as its command does."""
        call_command("bindings", "capture", "purge", "--keep", "0", stdout=io.StringIO())
        self.unprovable(self.history.state)

    def unprovable(self, state: int) -> None:
        """Note that no cursor of a state up to this one can be proved any more."""
        self.proof_since = max(self.proof_since, state)
        for client in self.clients:
            for subscription in client.subscriptions.values():
                subscription.allowed = None


Step = Callable[[Machine], Awaitable[None]]
