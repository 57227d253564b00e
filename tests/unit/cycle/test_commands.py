"""What operators may have done with views: sync, bump, clear; and a compare at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.test import override_settings

from bindserver.bindings.registry import registry
from bindserver.cycle.inbox import Caller, SessionRequest, Snapshot
from bindserver.engine import cursor as cursors
from bindserver.engine.effects import Ask
from bindserver.engine.protocol import Subscribe
from bindserver.hub.hub import Hub
from tests.support.ear import Ear
from tests.support.program import Program
from tests.support.sqlite import SQLiteProgram

NEVER = 3600
"""Longer than any test: what is seen was not found by the regular compare."""


@pytest.fixture(params=[2000, 1], ids=["in the turn", "by the loader"])
def rarely(request: pytest.FixtureRequest) -> Iterator[None]:
    """Signals, without a compare of their own accord; views are read by either thread."""
    settings = {"CAPTURE": "signals", "COMPARE_SECONDS": NEVER, "SYNC_ROWS": request.param}
    with override_settings(BINDSERVER=settings):
        yield


@pytest.fixture
def program(bare_database: Path) -> Iterator[Program]:
    program = SQLiteProgram(bare_database)
    program.add_products(3)
    yield program
    program.close()


@pytest.fixture
async def hub(rarely: None, program: Program) -> AsyncIterator[Hub]:
    hub = Hub()
    yield hub
    await asyncio.to_thread(hub.stop)


async def follow(hub: Hub, event: str = "products") -> Ear:
    ear = Ear()
    hub.request(
        SessionRequest(ear, Caller(), Ask(number=1, message=Subscribe(event=event, params={})))
    )
    await ear.until(lambda: ear.replica.cursor)
    return ear


async def snapshot(hub: Hub) -> Snapshot:
    asked = hub.snapshot(registry.get("products"), Caller(), {})
    return await asyncio.wrap_future(asked)


def stocks(ear: Ear) -> Callable[[], bool]:
    return lambda: [row["stock"] for row in ear.replica.rows] == [5, 5, 5]


async def test_sync_sends_all_rows_read_anew(hub: Hub, program: Program) -> None:
    ear = await follow(hub)
    program.run("UPDATE app_product SET stock = 5")
    hub.sync(["products"])
    await ear.until(stocks(ear))
    assert ear.actions == ["sync", "sync"]


async def test_sync_sends_rows_that_are_as_they_were(hub: Hub, program: Program) -> None:
    ear = await follow(hub)
    hub.sync()
    await ear.until(lambda: ear.actions == ["sync", "sync"])
    program.run("DELETE FROM app_product WHERE id = 2")
    hub.compare()
    await ear.until(lambda: ear.replica.held == [1, 3])
    assert ear.actions == ["sync", "sync", "delete"]


async def test_bump_sends_what_differed(hub: Hub, program: Program) -> None:
    ear = await follow(hub)
    program.run("UPDATE app_product SET stock = 5")
    hub.bump(["products"])
    await ear.until(stocks(ear))
    assert ear.actions == ["sync", "batch"]


async def test_bump_makes_validators_by_date_new(hub: Hub) -> None:
    before = await snapshot(hub)
    hub.bump()
    after = await snapshot(hub)
    assert after.modified > before.modified
    assert after.digest == before.digest


async def test_clear_forgets_and_sends_all_rows_read_anew(hub: Hub, program: Program) -> None:
    ear = await follow(hub)
    program.run("UPDATE app_product SET stock = 5")
    hub.clear(["products"])
    await ear.until(stocks(ear))
    assert ear.actions == ["sync", "sync"]


async def test_clear_forgets_what_nobody_follows(hub: Hub, program: Program) -> None:
    first = incarnation(await snapshot(hub))
    assert incarnation(await snapshot(hub)) == first
    hub.clear(["products"])
    assert incarnation(await snapshot(hub)) != first


async def test_a_snapshot_shows_what_nobody_told(hub: Hub, program: Program) -> None:
    await snapshot(hub)
    program.run("DELETE FROM app_product WHERE id = 1")
    assert list((await snapshot(hub)).rows) == [2, 3]


def incarnation(snapshot: Snapshot) -> str:
    cursor = cursors.load(snapshot.cursor, settings.SECRET_KEY.encode())
    assert cursor is not None
    return cursor.incarnation


async def test_other_events_are_left_alone(hub: Hub, program: Program) -> None:
    ear = await follow(hub)
    other = await follow(hub, "words")
    hub.sync(["words"])
    await other.until(lambda: other.actions == ["sync", "sync"])
    assert ear.actions == ["sync"]


async def test_compare_finds_what_nobody_told(hub: Hub, program: Program) -> None:
    ear = await follow(hub)
    program.run("UPDATE app_product SET stock = 5")
    hub.compare("default")
    await ear.until(stocks(ear))
    assert ear.actions == ["sync", "batch"]


async def test_orders_while_views_are_read_end_in_the_rows_that_there_are(
    hub: Hub, program: Program
) -> None:
    ear = await follow(hub)
    for number in range(30):
        program.run("UPDATE app_product SET stock = ?", number)
        (hub.sync, hub.bump, hub.clear, hub.compare)[number % 4]()
        await asyncio.sleep(0.002 * (number % 3))
    program.run("UPDATE app_product SET stock = 5")
    hub.bump()
    await ear.until(stocks(ear))
