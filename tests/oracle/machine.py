"""The state machine: a seeded run of writes, faults and checks against real servers."""

from __future__ import annotations

import asyncio
import io
import random
import time
from collections.abc import Awaitable, Callable, Collection
from itertools import chain, zip_longest
from pathlib import Path

from django.core.management import call_command
from django.db import DatabaseError, connections

from tests.oracle import drawn, orm, raw, transactions
from tests.oracle.crosscheck import by_orm
from tests.oracle.follower import Follower
from tests.oracle.homes import Home
from tests.oracle.latecomers import Latecomer
from tests.oracle.proofs import NEVER, Proofs
from tests.oracle.service import Service, log_in, make_user
from tests.oracle.sessions import Refused, Session
from tests.oracle.subscription import Phase, Subscription
from tests.oracle.tally import Tally
from tests.oracle.truth import KINDS, History, Name, canonical, drawn_names
from tests.oracle.writer import Writer
from tests.support.redis import Redis

SETTLE_SECONDS = 15
"""So long nobody hears anything where somebody still waits: what is behind then stays so."""
CLIENTS = 4
LONE = 3
"""So many more clients follow one view each: their deltas go past their sessions."""
LATECOMERS = 3
OFTEN = 15
USERS = ("ann", "bob")
OTHERS = ("cy", "di")
"""Users who have memberships, and never come."""
NAMES = [
    *(Name(e) for e in ("products", "cheapest", "by_stock", "tagged", "restaurants", "places")),
    *(Name(e) for e in ("tokens", "words", "tags", "categories", "catalogue")),
    *(Name(e) for e in ("filled", "labelled")),
    *(Name("catalogue", canonical(p)) for p in ({"category": 1}, {"category": 2}, {"q": "a"})),
    *(Name("catalogue", canonical({"category": n, "q": "b"})) for n in (1, 2)),
    *(Name("tagged_in", canonical({"category": n})) for n in (1, 2, 3)),
    *(Name("part", canonical({"category": n})) for n in (1, 2, 3, None)),
    *(Name("part", canonical({"category": n, "active": True})) for n in (1, 2)),
    *(Name("part", canonical(p)) for p in ({"active": True}, {"active": False})),
    *(Name("part", canonical({"name": name})) for name in ("a", "b", "Z", "hidden")),
    Name("part", canonical({"name": "a", "active": True})),
    Name("part", canonical({"name": "a", "active": False})),
    *drawn_names(),
]
MINE = [
    [Name(event, user=1 + number) for event in ("mine", *drawn.OWN)] for number in range(len(USERS))
]
"""What each user sees of some bindings; the first clients are theirs, in this order."""
PROVEN = frozenset({"ok", "create", "update", "delete", "batch"})
NOTICE_SECONDS = 3.0
"""How long a write that fires no trigger may go unnoticed where no snapshot shows it."""
PAUSES = (0.0, 0.0, 0.0, 0.001, 0.004, 0.012, 0.02)


class Machine:
    """One run.

    Args:
        home: the database, which the process's own settings name too.
        folder: where the servers' logs are.
        seed: what all choices follow from.
        fault: the fault to plant in the servers, or None.
        profile: the servers' settings, None for the seed's choice.
        servers: how many server processes there are.
        often: the steps to take much more often than is usual.
        redis: what carries hints among them, or None.
        kinds: what the views that are followed are examples of; all if there are none.
    """

    def __init__(
        self,
        home: Home,
        folder: Path,
        seed: int,
        fault: str | None = None,
        profile: str | None = None,
        *,
        servers: int = 1,
        often: Collection[str] = (),
        redis: Redis | None = None,
        kinds: Collection[str] = (),
    ) -> None:
        self.tally = Tally(seed)
        self.rng = random.Random(seed)
        self.home = home
        self._often = often
        self.redis = redis
        self.service = Service(folder, home.url, self.rng, fault, profile, servers)
        self.service.migrate()
        self.writer = Writer(Session(home.url), self.rng)
        self.dialect = self.writer.dialect
        orm.be_impatient(self.dialect)
        self.late: list[Latecomer] = []
        if unknown := set(kinds).difference(KINDS.values()):
            raise SystemExit(f"no view is of a kind {sorted(unknown)}; {sorted({*KINDS.values()})}")
        self._names, *self._mine = (
            [name for name in names if not kinds or KINDS[name.event] in kinds]
            for names in (NAMES, *MINE)
        )
        self.history = History([*self._names, *chain(*self._mine)])
        users = [make_user(1 + n, name) for n, name in enumerate((*USERS, *OTHERS))]
        cookies = [log_in(user) for user in users[: len(USERS)]]
        self.clients = [
            Follower(f"client {number}", cookie, self.history, self.tally)
            for number, cookie in zip_longest(range(CLIENTS), cookies)
        ]
        self._lone = {
            Follower(f"lone client {number}", None, self.history, self.tally): name
            for number, name in enumerate(self._for_lone())
        }
        self.clients += self._lone
        self.away: set[Follower] = set()
        self.proofs = Proofs(self.writer, self.history)
        self.disturbed = False
        """Whether servers had reason to complain in their logs."""

    def _for_lone(self) -> list[Name]:
        """Choose views for those who follow one each: first one that a client which stops reading
        soon has too much of."""
        big = [name for name in self._names if name.event == "words"]
        return [*big, *self.rng.choices(self._names, k=LONE)][:LONE]

    async def run(self, seconds: float, comparisons: int = 0) -> None:
        """Take steps until the time is over and so much has been compared.

        Raises:
            Different: a replica is not what it must be.
        """
        for statement in self.dialect.prepare():
            self.writer.run(statement)
        self._seed_rows()
        self.service.install()
        self.connect_writers()
        self.history.record(self.writer.session)
        await self.service.start()
        self.tally.note(f"up, with settings {[node.profile for node in self.service.nodes]}")
        try:
            for client in self.clients:
                await self.connect(client)
            until = time.monotonic() + seconds
            while time.monotonic() < until or self.tally.comparisons < comparisons:
                await self._step()
                self.tally.check()
            self.finish_late()
            await self.settle()
            self.crosscheck()
            self._read_log()
            self.tally.check()
        finally:
            for client in self.clients:
                await client.drop(rudely=True)
            await self.service.stop()
            self.disconnect_writers()

    def _read_log(self) -> None:
        log = self.service.log()
        for bad in ("never retrieved" if self.disturbed else "Traceback", "an audit has found"):
            if bad in log:
                self.tally.differs(f"a server's log holds {bad!r}:\n{log}")

    def connect_writers(self) -> None:
        """Open the connections of all who write."""
        self.writer.session.close()
        self.writer.session = Session(self.home.url)
        if self.dialect.concurrent:
            self.late = [
                Latecomer(Writer(Session(self.home.url), self.rng)) for _ in range(LATECOMERS)
            ]

    def disconnect_writers(self) -> None:
        """Close them; what was not committed is lost."""
        self.writer.session.close()
        for late in self.late:
            late.close()
        connections.close_all()

    def _seed_rows(self) -> None:
        writes: list[raw.Write] = [*[raw.insert_category] * 4, *[raw.write_tag] * 12]
        writes += [*[raw.write_membership] * 8, *[raw.insert_booking] * 8]
        writes += [*[raw.insert_product] * 25, *[raw.tag_product] * 20, *[raw.write_restaurant] * 9]
        transactions.atomically(self.writer, writes)

    async def _step(self) -> None:
        from tests.oracle.steps import STEPS

        steps = [s for s in STEPS if s[2](self)]
        weights = [w * (OFTEN if s.__name__ in self._often else 1) for s, w, _ in steps]
        step = self.rng.choices([s for s, _, _ in steps], weights)[0]
        self.tally.steps[step.__name__] += 1
        self.tally.note(f"{step.__name__} at state {self.history.state}")
        await step(self)

    # Writing.

    def committed(self, what: str) -> None:
        """Take the new state down; nothing may be awaited between the commit and this."""
        self.history.record(self.writer.session)
        self.tally.writes[what] += 1
        self.tally.note(f"state {self.history.state}: {what}")

    def try_to(self, what: str, work: Callable[[], None]) -> bool:
        """Commit something, unless somebody else was there first."""
        try:
            work()
        except Refused:
            self.tally.writes["refused"] += 1
            return False
        self.committed(what)
        return True

    def write(self) -> None:
        """Commit something small."""
        kind = self.rng.random()
        if kind < 0.45:
            write = self.rng.choice(raw.alone(self.writer))
            self.try_to(write.__name__, lambda: write(self.writer))
        elif kind < 0.75:
            writes = raw.choose(self.writer)
            self.try_to("transaction", lambda: transactions.atomically(self.writer, writes))
        else:
            change = self.rng.choice(orm.WRITES)
            self.try_to(f"orm {change.__name__}", lambda: orm.atomically(self.writer, change))

    def finish_late(self) -> None:
        """Have all who are in a transaction end it."""
        for late in self.rng.sample(self.late, len(self.late)):
            if late.open:
                self.end_late(late)

    def end_late(self, late: Latecomer) -> None:
        """Have somebody commit late, or leave a hole."""
        if self.rng.random() < 0.75:
            self.try_to("late commit", lambda: late.end(commit=True))
        else:
            late.end(commit=False)

    async def writes(self, most: int) -> None:
        """Commit a few things, sometimes resting in between."""
        for _ in range(self.rng.randint(0, most)):
            self.write()
            await self.pause()

    async def unseen(self, what: str, work: Callable[[], None], *, blind: bool) -> None:
        """Commit what fires no trigger. Cursors can be proved on: whoever puts the triggers back
        says that any row of the table may have changed.

        With `blind` what clients hold is no committed state until servers have noticed.
        """
        blind = blind and any(node.up for node in self.service.nodes)
        if blind:
            await self.settle()
        self.history.blind = blind
        before = self._watched()
        self.try_to(what, work)
        self.expect_nothing()
        if blind:
            await self._until_noticed(before)
            await self.until_equal()
        self.history.blind = False

    async def _until_noticed(self, before: list[str]) -> None:
        until = time.monotonic() + NOTICE_SECONDS
        while len(now := self._watched()) < len(before) or now == before:
            if time.monotonic() > until:
                break  # nobody needs the table now
            await asyncio.sleep(0.02)

    def _watched(self) -> list[str]:
        """Return what is written down of tables and their triggers, where that tells anything."""
        if not self.dialect.notices_late:
            return []
        tables = "SELECT name, value FROM bindserver_meta WHERE name LIKE 'table:%'"
        triggers = "SELECT trigger_name, created FROM information_schema.triggers"
        rows = self.writer.session.rows
        return sorted(repr(row) for sql in (tables, triggers) for row in rows(sql))

    async def pause(self) -> None:
        """Let the clients read for a moment."""
        await asyncio.sleep(self.rng.choice(PAUSES))

    # Clients.

    def client(self) -> Follower:
        """Choose a client."""
        return self.rng.choice(self.clients)

    def slow_client(self) -> Follower:
        """Choose a client that is to stop reading: one of many views, or a lone one."""
        return self.client() if self.rng.random() < 0.5 else self.rng.choice([*self._lone])

    def name_for(self, client: Follower) -> Name:
        """Choose a view."""
        if client in self._lone:
            return self._lone[client]
        return self.rng.choice([*self._names, *self._own(client)])

    def _own(self, client: Follower) -> list[Name]:
        """Return what only this client may see."""
        at = self.clients.index(client)
        return self._mine[at] if at < len(self._mine) else []

    async def connect(self, client: Follower, *, held: bool = True) -> None:
        """Connect and subscribe: to what was subscribed before, at first to many views, or one."""
        self.away.discard(client)
        names = list(client.subscriptions)
        if client in self._lone:
            names = [self._lone[client]]
        elif not names:
            names = [n for n in self._names if self.rng.random() < 0.7]
            names += self._own(client)
        node = self.service.choose()
        client.may_close_with = node.may_close_with
        if client.node not in (None, node):
            self.tally.seen["moved to another server"] += 1
        client.node = node
        self.tally.note(f"{client.label} connects to server {node.number}")
        await client.connect(node.url)
        for name in names:
            await self.subscribe(client, name, held=held)

    async def subscribe(
        self, client: Follower, name: Name, *, resume: bool = True, held: bool = True
    ) -> None:
        """Subscribe, and say which answers are right where that is known."""
        subscription = client.subscriptions.get(name)
        proven = resume and held and self.proofs.hold(subscription)
        allowed = PROVEN if proven else None
        await client.subscribe(name, resume=resume, held=held, allowed=allowed)

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
            if client.node is not None:
                client.node.shaken = False  # it has answered since
            for name, since in client.settle().items():
                needed[name] = min(since, needed.get(name, since))
        self.history.forget(needed)
        self.proofs.rest()

    async def until_answered(self) -> None:
        """Wait until nobody waits for an answer."""
        phases = (Phase.ASKED, Phase.ACCEPTED)
        while any(s.phase in phases for c in self.clients for s in c.subscriptions.values()):
            self.tally.check()
            await asyncio.sleep(0.004)

    async def until_equal(self) -> None:
        """Wait until no client is behind; on a busy machine as long as somebody hears something."""
        until, heard = time.monotonic() + SETTLE_SECONDS, 0
        while behind := [(c, s) for c in self.clients for s in c.behind()]:
            self.tally.check()
            if (now := self.tally.actions.total()) != heard:
                until, heard = time.monotonic() + SETTLE_SECONDS, now
            if time.monotonic() > until:
                for client, one in behind[:3]:
                    self.tally.differs(self._describe(client, one))
            await asyncio.sleep(0.004)

    def _describe(self, client: Follower, one: Subscription) -> str:
        held = one.replica.rows if one.replica is not None else None
        return (
            f"{client.label}: {one.name} ({one.phase.value}) did not come to the newest state "
            f"before all had heard nothing for {SETTLE_SECONDS} s\nheld   {held}\n"
            f"newest {self.history.newest(one.name).now()}"
        )

    def crosscheck(self) -> None:
        """See that the oracle's SQL says what the ORM says."""
        for name in self.history.names():
            rows = by_orm(name)
            if not self.history.is_newest(name, rows):
                newest = self.history.newest(name).now()
                self.tally.differs(
                    f"the ORM has {name} otherwise than the oracle's SQL:\n{rows}\n{newest}"
                )

    def purge(self) -> None:
        """Purge the change log, as its command does."""
        try:
            call_command("bindings", "capture", "purge", "--keep", "0", stdout=io.StringIO())
        except DatabaseError as problem:
            self.tally.differs(f"the change log could not be purged: {problem}")
        self.proofs.purged()
        self.expect_nothing()

    def unprovable(self) -> None:
        """Note that no cursor can be proved until all have come to rest."""
        self.proofs.end(NEVER)
        self.expect_nothing()

    def expect_nothing(self) -> None:
        """Take any answer for right that is on its way."""
        for client in self.clients:
            for subscription in client.subscriptions.values():
                subscription.allowed = None


Step = Callable[[Machine], Awaitable[None]]
