"""`/readyz` tells which views are not as the database is, and why."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connections
from django.test import override_settings
from rest_framework import serializers

import bindserver
from bindserver import Binding
from bindserver.cycle.inbox import Caller, SessionRequest
from bindserver.cycle.lag import LagReason
from bindserver.engine.effects import Ask
from bindserver.engine.protocol import Subscribe
from bindserver.hub.hub import hub
from tests.app.bindings import TagBinding, WordBinding
from tests.app.models import Category, Product, Tag, Word
from tests.conftest import EVERY_DATABASE, program_on
from tests.databases.cycle.test_moving import LOCKS
from tests.servers.transports.test_health import ask
from tests.support.ear import Ear
from tests.support.process import get
from tests.support.program import Program
from tests.support.server import Server
from tests.support.talk import Talk
from tests.support.turning import Turning, part

Views = list[dict[str, Any]]
READY = (200, {"status": "ready"})


async def readiness(server: Server) -> tuple[int, dict[str, Any]]:
    status, text = await asyncio.to_thread(get, f"http://127.0.0.1:{server.port}/readyz")
    assert "secret" not in text
    assert "SELECT" not in text
    return status, json.loads(text)


async def set_aside(server: Server) -> Views:
    """Wait until views are set aside; the server must be ready all the same."""
    async with asyncio.timeout(15):
        while "views" not in (told := await readiness(server))[1]:
            await asyncio.sleep(0.05)
    status, content = told
    assert (status, content["status"]) == (200, "ready")
    views: Views = content["views"]
    for some in views:
        assert 0 <= some.pop("seconds") < 60
    return views


async def until_ready(server: Server) -> None:
    """Wait until there is nothing to tell."""
    async with asyncio.timeout(30):
        while await readiness(server) != READY:
            await asyncio.sleep(0.05)


@EVERY_DATABASE
class TestAServer:
    async def test_with_a_binding_that_fails_is_ready_and_says_which(
        self, server: Server, talk: Talk, program: Program
    ) -> None:
        program.add_products(1)
        fragile, products = await talk.follow("fragile"), await talk.follow("products")
        assert await readiness(server) == READY
        program.run("UPDATE app_product SET name = 'broken'")
        await talk.until(lambda: fragile.replica.stale and products.column("name") == ["broken"])
        told = {"database": "default", "event": "fragile", "state": "set aside", "count": 1}
        assert await set_aside(server) == [told]
        program.run("UPDATE app_product SET name = 'mended'")
        await talk.until(lambda: fragile.column("name") == ["mended"])
        await until_ready(server)

    async def test_whose_table_somebody_has_locked_is_too(
        self, server: Server, talk: Talk, program: Program, vendor: str
    ) -> None:
        if vendor not in LOCKS:
            pytest.skip("nobody keeps others from reading there")
        await talk.follow("tags")
        locker = program_on(server)
        for statement in LOCKS[vendor].split("; "):
            locker.run(statement)
        await talk.say("few")
        views = await set_aside(server)
        locker.close()
        assert views == [{"database": "default", "event": "few", "state": "set aside", "count": 1}]
        await until_ready(server)

    async def test_forgets_views_that_nobody_follows_any_more(
        self, server: Server, talk: Talk, program: Program
    ) -> None:
        program.add_products(1)
        fragile = await talk.follow("fragile")
        program.run("UPDATE app_product SET name = 'broken'")
        await talk.until(lambda: fragile.replica.stale)
        await set_aside(server)
        await talk.say("fragile", disconnect=True)
        await until_ready(server)


@pytest.fixture
def turned(turning: Turning) -> Turning:
    """Views of three tables, up to date."""
    Tag.objects.create(name="old"), Word.objects.create(text="one")
    for binding, key in ((part(), "id"), (TagBinding(), "id"), (WordBinding(), "text")):
        turning.follow(binding, key)
    turning.turn()
    return turning


def told(turning: Turning) -> list[tuple[str, str, int, float]]:
    """Return which views are told of, why, how many, and since which turn."""
    return [(s.event, s.reason.value, s.count, s.since) for s in turning.lagging_views]


class TestATurn:
    def test_that_moves_all_leaves_nothing_to_tell(self, turned: Turning) -> None:
        assert told(turned) == []
        Tag.objects.update(name="new")
        turned.turn()
        assert told(turned) == []

    def test_tells_what_it_leaves_with_the_age_of_the_oldest(self, turned: Turning) -> None:
        began = turned.turns
        Tag.objects.update(name="new"), Word.objects.update(count=7)
        Product.objects.update(stock=1)
        with override_settings(BINDSERVER={"QUERY_SECONDS": 0}):
            turned.take_one()
            assert told(turned) == [
                ("tags", "behind", 1, began + 1),
                ("words", "behind", 1, began + 1),
            ]
            Product.objects.update(stock=2)
            turned.take_one()
            assert told(turned) == [
                ("part", "behind", 1, began + 2),
                ("words", "behind", 1, began + 1),
            ]
        turned.turn()
        assert told(turned) == []

    def test_counts_the_views_of_one_event(self, turning: Turning) -> None:
        for active in (True, False):
            turning.follow(part(active=active))
        turning.turn()
        Product.objects.update(stock=1)
        turning.follow(part())  # new ones come first
        with override_settings(BINDSERVER={"QUERY_SECONDS": 0}):
            turning.take_one()
        assert told(turning) == [("part", "behind", 2, turning.turns)]

    def test_tells_apart_what_is_being_loaded(self, turned: Turning) -> None:
        Product.objects.update(stock=1)
        began = turned.turns
        with override_settings(BINDSERVER={"SYNC_ROWS": 1}):
            turned.take_one()
            assert told(turned) == [("part", "loading", 1, began + 1)]
            loaded = turned.next_load()
            Product.objects.update(stock=2)
            turned.take_one(loaded)
        assert told(turned) == [("part", "loading", 1, loaded.began)]
        turned.take_one(turned.next_load())
        assert told(turned) == []


class Gates:
    """Serializers wait here, while somebody has shut the gate, and say where they are.

    Attributes:
        ears: who follows the bindings.
        broken: the bindings that fail.
        reached: those that wait.
    """

    def __init__(self) -> None:
        self.receiver: dict[str, Ear] = {}
        self.broken: set[str] = set()
        self.shut = False
        self.reached: list[str] = []
        self._bell = threading.Condition()

    def pass_by(self, event: str) -> None:
        with self._bell:
            if event in self.broken:
                raise ValueError("a secret of the serializer")
            if self.shut:
                self.reached.append(event)
                self._bell.notify_all()
                assert self._bell.wait_for(lambda: event not in self.reached or not self.shut, 20)

    def wait(self) -> str:
        """Wait until somebody stands there, and return who."""
        with self._bell:
            assert self._bell.wait_for(lambda: self.reached, 20)
            return self.reached[0]

    def let_pass(self) -> None:
        with self._bell:
            self.reached.clear()
            self._bell.notify_all()

    @contextmanager
    def closed(self) -> Iterator[None]:
        self.shut = True
        try:
            yield
        finally:
            with self._bell:
                self.shut = False
                self._bell.notify_all()


def gated(name: str, gates: Gates) -> None:
    """Publish a binding whose rows are rendered as the gates allow."""

    class GatedSerializer(serializers.ModelSerializer[Category]):
        class Meta:
            model = Category
            fields = ["id", "name"]

        def to_representation(self, instance: Category) -> Any:
            gates.pass_by(name)
            return super().to_representation(instance)

    class Gated(Binding[Category]):
        model = Category
        event = name
        serializer_class = GatedSerializer


async def answered(ear: Ear) -> None:
    await ear.until(lambda: ear.replica.cursor)


async def shows(ear: Ear, name: str) -> None:
    await ear.until(lambda: ear.replica.rows[0]["name"] == name)


@pytest.fixture
async def gates(each_database: str, forget_bindings: None) -> AsyncIterator[Gates]:
    """Three bindings of one table, which this process's hub follows."""
    gates = Gates()
    await asyncio.to_thread(_write, "old")
    try:
        for name in ("gated_1", "gated_2", "gated_3"):
            gated(name, gates)
            ear = gates.receiver[name] = Ear()
            hub.request(
                SessionRequest(
                    ear, Caller(), Ask(number=1, message=Subscribe(event=name, params={}))
                )
            )
            await answered(ear)
        yield gates
    finally:
        await asyncio.to_thread(hub.stop)


def _write(name: str) -> None:
    try:
        Category.objects.update_or_create(pk=1, defaults={"name": name})
    finally:
        connections.close_all()


async def test_the_lag_is_that_of_the_view_furthest_behind(gates: Gates) -> None:
    patient = {"QUERY_SECONDS": 0, "STALE_SECONDS": 60, "TURN_SECONDS": 100}
    with override_settings(BINDSERVER=patient), gates.closed():
        await asyncio.to_thread(_write, "new")
        first, began = await asyncio.to_thread(gates.wait), time.monotonic()
        gates.let_pass()
        second = await asyncio.to_thread(gates.wait)  # in another turn: the first left it
        assert hub.lag("default") >= time.monotonic() - began
        left = {some.event: some.reason for some in hub.lagging_views("default")}
        assert left == dict.fromkeys({"gated_1", "gated_2", "gated_3"} - {first}, LagReason.BEHIND)
        assert second in left
        application = bindserver.asgi.wrap(None, health=True)
        status, content = await ask(application)
        assert (status, content["status"]) == (200, "ready")
        with override_settings(BINDSERVER={"QUERY_SECONDS": 0, "STALE_SECONDS": 0}):
            status, content = await ask(application)
        assert (status, content["status"]) == (503, "not ready")
        problems = content["problems"]
        assert isinstance(problems, dict)
        assert list(problems) == ["views of default"]


async def test_views_that_are_set_aside_do_not_count_as_lag(gates: Gates) -> None:
    gates.broken.add("gated_2")
    for name in ("new", "newer"):
        await asyncio.to_thread(_write, name)
        for event in ("gated_1", "gated_3"):
            await shows(gates.receiver[event], name)
    (failed,) = hub.lagging_views("default")
    assert (failed.event, failed.reason, failed.count) == ("gated_2", LagReason.SET_ASIDE, 1)
    waited = time.monotonic() - failed.since
    async with asyncio.timeout(10):
        while hub.lag("default") >= waited:
            await asyncio.sleep(0.01)
