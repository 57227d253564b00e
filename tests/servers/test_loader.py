"""Large views, and changes of very many rows at once."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connections

from bindserver import Binding
from bindserver.capture.log import log_of
from bindserver.cycle.inbox import SubscriptionRef
from bindserver.cycle.live_shape import NOWHERE
from bindserver.cycle.live_view import LiveView, ViewState
from bindserver.cycle.load_messages import Wanted
from bindserver.cycle.loader import Loader
from bindserver.cycle.resolver import Resolver
from bindserver.cycle.view_store import ViewStore
from bindserver.database.snapshot import open_connection
from bindserver.queries.query import Query
from bindserver.queries.rows import Form
from tests.app.bindings import PartBinding, ProductBinding
from tests.conftest import EVERY_DATABASE, MakeServer, program_on
from tests.support.process import get
from tests.support.server import Server
from tests.support.talk import Talk, talking

pytestmark = EVERY_DATABASE

ROWS = 50_000


async def test_fifty_thousand_rows_change_in_one_step_and_nobody_waits(
    make_server: MakeServer, record_property: Callable[[str, object], None]
) -> None:
    server = make_server().start()
    program = program_on(server)
    async with talking(server.ws) as talk, talking(server.ws) as other:
        products = await talk.follow("products")
        tags = await other.follow("tags")

        began = time.perf_counter()
        program.add_products(ROWS)
        await talk.until(lambda: len(products.replica.held) == ROWS, 60)
        inserted = time.perf_counter() - began
        assert products.actions == ["sync", "batch"]

        frames = len(products.frames)
        began = time.perf_counter()
        program.run("UPDATE app_product SET stock = 9")
        written = time.perf_counter() - began
        gaps = asyncio.create_task(ping_until_cancelled(other))  # to write holds this loop up, too
        await talk.until(lambda: products.actions == ["sync", "batch", "batch"], 60)
        changed = time.perf_counter() - began

        pages = products.frames[frames:]
        assert [page["page"] for page in pages] == list(range(1, len(pages) + 1))
        assert {page["pages"] for page in pages} == {len(pages)}
        assert sum(len(page["payload"]) for page in pages) == ROWS
        assert products.column("stock") == [9] * ROWS

        gaps.cancel()
        worst = max(await gaps)
        program.run("INSERT INTO app_tag VALUES (1, 'a')")
        await other.until(lambda: tags.column("name") == ["a"])
    program.close()
    figures = {"inserted_s": inserted, "written_s": written, "changed_s": changed, "gap_s": worst}
    for name, value in figures.items():
        record_property(name, value)
    print("\n50,000 rows:", ", ".join(f"{name} {value:.2f}" for name, value in figures.items()))
    assert worst < changed / 2, "the other client waited for most of the change"


async def ping_until_cancelled(talk: Talk) -> list[float]:
    """Ping without end, and return how long each answer took, in seconds."""
    gaps = []
    try:
        while True:
            began = time.perf_counter()
            await talk.ping()
            gaps.append(time.perf_counter() - began)
            await asyncio.sleep(0.005)
    except asyncio.CancelledError:
        return gaps


@pytest.mark.parametrize("capture", [True, False], ids=["log", "signals"])
async def test_a_view_over_the_cycle_s_budget_is_served(
    make_server: MakeServer, capture: bool
) -> None:
    server = make_server(capture=capture, SYNC_ROWS=100, COMPARE_SECONDS=1)
    program = program_on(server)
    program.add_products(1000)
    with server:
        async with talking(server.ws) as talk:
            products = await talk.follow("products", page_size=100)
            assert products.column("id") == list(range(1, 1001))
            program.run("UPDATE app_product SET stock = 5 WHERE id = 7")
            await talk.until(lambda: products.column("stock")[6] == 5)
            program.run("UPDATE app_product SET stock = 6 WHERE id > 500")
            await talk.until(lambda: products.column("stock")[500:] == [6] * 500)
    program.close()


async def test_changes_during_a_load_are_not_lost(make_server: MakeServer) -> None:
    server = make_server(SYNC_ROWS=10)
    program = program_on(server)
    program.add_products(20_000)
    with server:
        async with talking(server.ws) as talk:
            await talk.say("products")
            for number in range(1, 101):
                program.run("UPDATE app_product SET stock = 5 WHERE id = ?", number)
                await asyncio.sleep(0)
            await talk.hear_data("$subscribed")
            following = talk.following("products")
            await talk.until(lambda: following.column("stock")[:101] == [5] * 100 + [0])
            assert len(following.replica.held) == 20_000
    program.close()


async def test_who_waits_for_a_view_is_answered_though_it_is_written_to_without_pause(
    make_server: MakeServer,
) -> None:
    server = make_server(SYNC_ROWS=10)
    program = program_on(server)
    program.add_products(2000)
    with server:
        async with talking(server.ws) as talk, writing_without_pause(server):
            products = await talk.follow("products", page_size=10_000)
            assert len(products.replica.held) == 2000
            status, body = await asyncio.to_thread(get, f"{server.http}products/")
            assert (status, len(json.loads(body))) == (200, 2000)
    program.close()


@asynccontextmanager
async def writing_without_pause(server: Server) -> AsyncIterator[None]:
    """Change more rows than a turn reads, again and again, as long as the block lasts."""
    over = threading.Event()

    def write() -> None:
        program = program_on(server)
        while not over.is_set():
            program.run("UPDATE app_product SET stock = stock + 1 WHERE id <= 50")
        program.close()

    writer = asyncio.create_task(asyncio.to_thread(write))
    try:
        yield
    finally:
        over.set()
        await writer


async def test_a_load_that_changes_nothing_does_not_hold_up_the_commit_mark(
    make_server: MakeServer,
) -> None:
    server = make_server(SYNC_ROWS=5).start()
    program = program_on(server)
    program.add_products(20)
    async with talking(server.ws) as talk:
        await talk.say("$hello", want=["commit"])
        for event in ("by_stock", "categories", "tags"):
            await talk.follow(event)
        heard = len(talk.heard)
        with program.transaction():
            program.run("UPDATE app_product SET price = 2")  # which by_stock does not serve
            program.run("INSERT INTO app_category VALUES (1, 'a')")
            program.run("INSERT INTO app_tag VALUES (1, 'a')")
        await talk.until(lambda: talk.heard[heard:] and talk.heard[-1]["event"] == "$commit")
        assert sorted(m["event"] for m in talk.heard[heard:]) == ["$commit", "categories", "tags"]
    program.close()


def test_nobody_looks_for_changes_while_every_view_is_being_loaded() -> None:
    store = ViewStore("default", b"secret")
    listener: Any = object()

    def viewed(binding: Binding[Any], number: int) -> LiveView:
        viewer = Resolver(store).resolve_instance(binding, Form.JSON, NOWHERE)
        ref = SubscriptionRef(listener, number)
        store.attach(ref, viewer)
        viewer.live.audience.add(ref)
        return viewer.live

    live = viewed(ProductBinding(), 1)
    assert store.watched()
    live.state = ViewState.LOADING
    assert not store.watched()
    viewed(PartBinding(params={"category": 1}), 2)
    assert store.watched()


def test_views_are_not_tried_one_by_one_when_the_database_is_gone(database: Path) -> None:
    class Counting(Loader):
        asked: list[int] = []

        def _load(self, wanted: Wanted, *args: Any) -> Any:
            self.asked.append(len(wanted.lives))
            return super()._load(wanted, *args)

    bindings: list[Binding[Any]] = [PartBinding(params={"category": n}) for n in (1, 2)]
    lives = [LiveView(Query(binding), binding, b"secret") for binding in bindings]
    usual = connections["default"]
    wanted = Wanted(lives=lives, since=log_of(usual).position(), durable=True)
    connection = open_connection("default")
    loader = Counting("default", lambda loaded: None)
    away = database.with_suffix(".away")
    try:
        assert [one.problem for one in loader._load_all(wanted, connection)] == [None, None]
        database.rename(away)
        problems = [one.problem for one in loader._load_all(wanted, connection)]
        assert all(isinstance(problem, OperationalError) for problem in problems)
        assert loader.asked == [2, 2]
    finally:
        connection.close()
        connections["default"] = usual
