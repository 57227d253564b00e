"""The steps of the machine: what may happen, and how often."""

from __future__ import annotations

import asyncio

from tests.oracle import orm, raw, transactions
from tests.oracle.machine import NEVER, Machine, Step
from tests.oracle.subscription import Phase

STALL_WRITES = 60


async def write(m: Machine) -> None:
    """Something small is committed."""
    m.write()
    await m.pause()


async def burst(m: Machine) -> None:
    """Many commits come one after the other."""
    for _ in range(m.rng.randint(3, 15)):
        m.write()
    await m.pause()


async def rolled_back(m: Machine) -> None:
    """A transaction is undone: nobody may see any of it."""
    if m.rng.random() < 0.5:
        transactions.atomically(m.writer, raw.choose(m.writer), commit=False)
    else:
        orm.atomically(m.writer, m.rng.choice(orm.WRITES), commit=False)
    await m.pause()


async def savepoint(m: Machine) -> None:
    """A part of a transaction is undone."""
    transactions.in_savepoint(m.writer, raw.choose(m.writer), raw.choose(m.writer))
    m.committed("savepoint")
    await m.pause()


async def long_transaction(m: Machine) -> None:
    """A write transaction stays open while others read and resume."""
    m.writer.run("BEGIN IMMEDIATE")
    for change in raw.choose(m.writer, 5):
        change(m.writer)
        await m.pause()
    client = m.client()
    if client.connected:
        await m.subscribe(client, m.name_for(client))
    await asyncio.sleep(0.03)
    if m.rng.random() < 0.7:
        m.writer.run("COMMIT")
        m.committed("long transaction")
    else:
        m.writer.run("ROLLBACK")


async def reconnect(m: Machine) -> None:
    """A client goes, writes happen, and it comes back to what it held."""
    client = m.client()
    await client.drop(rudely=m.rng.random() < 0.5)
    await m.writes(8)
    await m.connect(client)
    await m.pause()


async def reconnect_without_held(m: Machine) -> None:
    """A client comes back as an event stream does, with its cursor alone."""
    client = m.client()
    await client.drop(rudely=True)
    await m.writes(3)
    await m.connect(client, held=False)


async def leave(m: Machine) -> None:
    """A client goes for a while."""
    client = m.client()
    await client.drop(rudely=True)
    m.away.add(client)


async def subscribe(m: Machine) -> None:
    """A client subscribes, perhaps again, with or without what it holds."""
    client = m.client()
    resume = m.rng.random() < 0.7
    name = m.name_for(client)
    if client.connected:
        await m.subscribe(client, name, resume=resume)
    await m.pause()


async def unsubscribe(m: Machine) -> None:
    """A client ends a subscription."""
    client = m.client()
    names = sorted(client.subscriptions)
    if len(names) > 4 and client.connected:
        name = m.rng.choice(names)
        await client.unsubscribe(name)
        if m.rng.random() < 0.5:
            del client.subscriptions[name]
    await m.pause()


async def slow_reader(m: Machine) -> None:
    """A client stops reading while much is written."""
    client = m.client()
    client.gate.clear()
    for _ in range(m.rng.randint(STALL_WRITES // 2, STALL_WRITES)):
        transactions.atomically(m.writer, [raw.all_words, *raw.choose(m.writer, 2)])
        m.committed("stalled")
        await asyncio.sleep(0.012)
    client.gate.set()


async def settle(m: Machine) -> None:
    """All come to rest."""
    await m.settle()


async def resume_at_rest(m: Machine) -> None:
    """At rest, a resume is no sync, and the one after it is `ok`."""
    await m.settle()
    m.crosscheck()
    client = m.client()
    names = [n for n, s in client.subscriptions.items() if s.phase is Phase.LIVE]
    for name in names:
        await m.subscribe(client, name)
    await m.until_equal()
    for name in names:
        if name.event != "mine" and client.connected:
            await client.subscribe(name, allowed={"ok"})
    await m.until_equal()


async def restart(m: Machine) -> None:
    """The server ends in order and comes back, with other settings."""
    await _restart(m, crash=False)


async def kill(m: Machine) -> None:
    """The server crashes and comes back, with other settings."""
    await _restart(m, crash=True)


async def _restart(m: Machine, *, crash: bool) -> None:
    for client in m.clients:
        client.may_close = True
    stopping = asyncio.create_task(m.service.stop(crash=crash))
    await m.writes(4)
    await stopping
    await m.writes(4)
    if m.rng.random() < 0.2:
        m.purge()
    if m.rng.random() < 0.2:
        _rebuild(m)
    starting = asyncio.create_task(m.service.start())
    await m.writes(10)
    await starting
    m.tally.note(f"the server is up, with settings {m.service.profile!r}")
    for client in m.clients:
        await client.drop(rudely=True)
        if client not in m.away:
            await m.connect(client)


async def purge(m: Machine) -> None:
    """The change log is purged: what is older than it cannot be proved."""
    m.purge()
    await m.writes(2)


async def rebuild(m: Machine) -> None:
    """A migration makes a table anew, and the triggers are gone."""
    _rebuild(m)
    await m.writes(4)


def _rebuild(m: Machine) -> None:
    transactions.rebuild(m.writer)
    m.committed("rebuild")
    m.unprovable(NEVER)


STEPS: list[tuple[Step, float]] = [
    (write, 50),
    (burst, 4),
    (rolled_back, 4),
    (savepoint, 5),
    (long_transaction, 3),
    (reconnect, 5),
    (reconnect_without_held, 2),
    (leave, 1),
    (subscribe, 8),
    (unsubscribe, 2),
    (slow_reader, 0.4),
    (settle, 8),
    (resume_at_rest, 1.5),
    (restart, 0.35),
    (kill, 0.35),
    (purge, 0.5),
    (rebuild, 0.5),
]
"""Each step and its weight."""
