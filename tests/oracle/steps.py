"""The steps of the machine: what may happen, and how often."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from functools import partial

from tests.oracle import orm, raw, rebuilding, transactions
from tests.oracle.machine import Machine, Step
from tests.oracle.proofs import UNPROVEN
from tests.oracle.sessions import Refused
from tests.oracle.subscription import Phase

STALL_WRITES = 60
STALL_SECONDS = 8.0
"""Who reads nothing for much longer answers no ping either, and is taken for gone."""


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
    with contextlib.suppress(Refused):
        if m.rng.random() < 0.5:
            transactions.atomically(m.writer, raw.choose(m.writer), commit=False)
        else:
            orm.atomically(m.writer, m.rng.choice(orm.WRITES), commit=False)
    await m.pause()


async def savepoint(m: Machine) -> None:
    """A part of a transaction is undone."""
    kept, undone = raw.choose(m.writer), raw.choose(m.writer)
    m.try_to("savepoint", lambda: transactions.in_savepoint(m.writer, kept, undone))
    await m.pause()


async def long_transaction(m: Machine) -> None:
    """A write transaction stays open while others read and resume."""
    with contextlib.suppress(Refused), transactions.transaction(m.writer):
        for change in raw.choose(m.writer, 5):
            change(m.writer)
            await m.pause()
        client = m.client()
        if client.connected:
            await m.subscribe(client, m.name_for(client))
        await asyncio.sleep(0.03)
        commits = m.rng.random() < 0.7
        m.writer.run("COMMIT" if commits else "ROLLBACK")
        if commits:
            m.committed("long transaction")


async def late_begins(m: Machine) -> None:
    """Somebody writes, and does not commit yet."""
    idle = [late for late in m.late if not late.open]
    if idle:
        with contextlib.suppress(Refused):
            m.rng.choice(idle).begin()
    await m.pause()


async def late_writes(m: Machine) -> None:
    """Somebody writes more in a transaction that has been open."""
    for late in [late for late in m.late if late.open]:
        with contextlib.suppress(Refused):
            late.write(2)
    await m.pause()


async def late_ends(m: Machine) -> None:
    """Somebody commits what was written before what others have committed, or undoes it."""
    busy = [late for late in m.late if late.open]
    if busy:
        m.end_late(m.rng.choice(busy))
    await m.pause()


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
    client = m.slow_client()
    client.gate.clear()
    until = time.monotonic() + STALL_SECONDS
    for _ in range(m.rng.randint(STALL_WRITES // 2, STALL_WRITES)):
        if time.monotonic() > until:
            break
        writes = [raw.all_words, *raw.choose(m.writer, 2)]
        m.try_to("stalled", partial(transactions.atomically, m.writer, writes))
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
        if name.event not in UNPROVEN and client.connected:
            await client.subscribe(name, allowed={"ok"})
    await m.until_equal()


async def restart(m: Machine) -> None:
    """The server ends in order and comes back, with other settings."""
    await _restart(m, crash=False)


async def kill(m: Machine) -> None:
    """The server crashes and comes back, with other settings."""
    await _restart(m, crash=True)


async def kill_meanwhile(m: Machine) -> None:
    """A server begins anew while others have written and not committed."""
    for _ in m.late:
        await late_begins(m)
    m.write()
    m.purge()
    await _restart(m, crash=True)
    await m.pause()
    await m.settle()
    m.finish_late()
    await m.settle()  # before anything else is written, which might have rows read again


async def _restart(m: Machine, *, crash: bool) -> None:
    node = m.service.any()
    mine = [client for client in m.clients if client.node is node and client not in m.away]
    for client in mine:
        client.may_close = True
    stopping = asyncio.create_task(node.stop(crash=crash))
    await m.writes(4)
    await stopping
    for client in mine:
        await client.drop(rudely=True)
        if len(m.service.nodes) > 1 and m.rng.random() < 0.6:
            await m.connect(client)
    await m.writes(4)
    if m.rng.random() < 0.2:
        m.purge()
    if m.rng.random() < 0.2:
        await _rebuild(m)
    starting = asyncio.create_task(m.service.start(node))
    await m.writes(10)
    await starting
    m.tally.note(f"server {node.number} is up, with settings {node.profile!r}")
    for client in mine:
        if not client.connected:
            await m.connect(client)


async def purge(m: Machine) -> None:
    """The change log is purged: what is older than it cannot be proved."""
    m.purge()
    await m.writes(2)


async def rebuild(m: Machine) -> None:
    """A migration makes a table anew, and the triggers are gone."""
    await _rebuild(m)
    await m.writes(4)


async def _rebuild(m: Machine) -> None:
    m.finish_late()
    rebuild = rebuilding.choose(m.writer)
    await m.unseen("rebuild", rebuild.work, blind=rebuild.blind)


async def restart_database(m: Machine) -> None:
    """The database is ended, in order or as a crash would, and comes back."""
    await m.until_answered()
    m.disturbed = True
    for node in m.service.nodes:
        node.shaken = True
    m.disconnect_writers()
    await asyncio.to_thread(m.home.restart, crash=m.rng.random() < 0.5)
    m.connect_writers()
    m.unprovable()
    await m.writes(6)


async def redis_gone(m: Machine) -> None:
    """Redis is killed, and comes back after writes."""
    assert m.redis is not None
    m.disturbed = True
    m.redis.kill()
    await m.writes(8)
    await asyncio.to_thread(m.redis.start)
    await m.writes(4)


def _always(m: Machine) -> bool:
    return True


def _concurrent(m: Machine) -> bool:
    return m.dialect.concurrent


def _on_redis(m: Machine) -> bool:
    return m.redis is not None


STEPS: list[tuple[Step, float, Callable[[Machine], bool]]] = [
    (write, 50, _always),
    (burst, 4, _always),
    (rolled_back, 4, _always),
    (savepoint, 5, _always),
    (long_transaction, 3, _always),
    (late_begins, 12, _concurrent),
    (late_writes, 3, _concurrent),
    (late_ends, 8, _concurrent),
    (reconnect, 5, _always),
    (reconnect_without_held, 2, _always),
    (leave, 1, _always),
    (subscribe, 8, _always),
    (unsubscribe, 2, _always),
    (slow_reader, 0.4, _always),
    (settle, 8, _always),
    (resume_at_rest, 1.5, _always),
    (restart, 0.35, _always),
    (kill, 0.35, _always),
    (purge, 0.5, _always),
    (rebuild, 0.5, _always),
    (kill_meanwhile, 0.25, _concurrent),
    (restart_database, 0.25, _concurrent),
    (redis_gone, 0.4, _on_redis),
]
"""Each step, its weight, and when it can be taken."""
