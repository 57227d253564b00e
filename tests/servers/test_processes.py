"""Several processes on one Redis, without a change log: they agree, and soon."""

from __future__ import annotations

import asyncio
import io
import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import override_settings

from tests.conftest import MakeServer
from tests.support.gunicorn import Gunicorn
from tests.support.redis import Redis
from tests.support.server import Server
from tests.support.sqlite import SQLiteProgram
from tests.support.talk import Following, Talk, talking

SETTINGS = {"CAPTURE": "signals", "COMPARE_SECONDS": 3600, "RELAY_BEAT_SECONDS": 1}
"""No compare of its own accord within any test: what is seen, the relay has brought."""
LAYERS = [
    "channels_redis.pubsub.RedisPubSubChannelLayer",
    "channels_redis.core.RedisChannelLayer",
]


@dataclass
class Place:
    """Two servers and a Gunicorn on one database and one Redis, and a client of each server."""

    redis: Redis
    servers: list[Server]
    gunicorn: Gunicorn
    talks: list[Talk]
    products: list[Following]
    environment: dict[str, str]

    def shell(self, code: str) -> str:
        return self.servers[0].manage("shell", "-v", "0", "-c", code)

    async def agree(self, *names: str) -> None:
        """Hear until every client has the products of these names, in any order."""

        async def come_to_it(talk: Talk, products: Following) -> None:
            await talk.until(lambda: sorted(products.column("name")) == sorted(names))

        for talk, products in zip(self.talks, self.products, strict=True):
            await come_to_it(talk, products)


@pytest.fixture(scope="module", params=LAYERS, ids=["pubsub", "core"])
def processes(
    request: pytest.FixtureRequest,
    make_server: MakeServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Place]:
    with Redis(tmp_path_factory.mktemp("redis")) as redis:
        layer = {"REDIS_URL": redis.url, "CHANNEL_LAYER": request.param}
        first = make_server(capture=False, environment=layer, **SETTINGS).start()
        second = Server(first.database, SETTINGS, environment=layer)
        second.log = first.database.with_suffix(".second.log")
        environment = {
            **os.environ,
            **layer,
            "DATABASE_URL": f"sqlite:///{first.database}",
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "BINDSERVER": json.dumps(SETTINGS),
        }
        with second, Gunicorn(environment) as gunicorn:
            yield Place(redis, [first, second], gunicorn, [], [], environment)


@pytest.fixture
async def place(processes: Place) -> AsyncIterator[Place]:
    """The processes, with clients that have just come to an empty table."""
    program = SQLiteProgram(processes.servers[0].database)
    program.clean()
    program.close()
    async with AsyncExitStack() as stack:
        processes.talks = [
            await stack.enter_async_context(talking(server.ws)) for server in processes.servers
        ]
        processes.servers[0].manage("bindings", "clear")  # the rows of the test before
        processes.products = [await talk.follow("products") for talk in processes.talks]
        await processes.agree()
        yield processes


async def test_a_worker_a_shell_and_both_servers_agree(place: Place) -> None:
    place.gunicorn.write("worker")
    await place.agree("worker")
    place.shell("from tests.app.models import Product; Product.objects.create(name='shell')")
    await place.agree("worker", "shell")
    for number, server in enumerate(place.servers):
        writer = Gunicorn({})
        writer.port = server.port
        await asyncio.to_thread(writer.write, f"server{number}")
    await place.agree("worker", "shell", "server0", "server1")
    place.shell("from tests.app.models import Product; Product.objects.filter(pk=1).delete()")
    await place.agree("shell", "server0", "server1")


async def test_many_writes_by_several_workers_at_once(place: Place) -> None:
    names = [f"n{number}" for number in range(60)]
    await asyncio.gather(*(asyncio.to_thread(place.gunicorn.write, name) for name in names))
    await place.agree(*names)


async def test_redis_killed_and_back(place: Place) -> None:
    place.gunicorn.write("before")
    await place.agree("before")
    place.redis.kill()
    place.gunicorn.write("meanwhile")
    place.shell("from tests.app.models import Product; Product.objects.create(name='shell')")
    place.redis.start()
    await place.agree("before", "meanwhile", "shell")
    place.gunicorn.write("after")
    await place.agree("before", "meanwhile", "shell", "after")


async def test_a_server_that_ends_right_after_a_write_has_told_of_it(place: Place) -> None:
    layer = {name: place.environment[name] for name in ("REDIS_URL", "CHANNEL_LAYER")}
    third = Server(place.servers[0].database, SETTINGS, environment=layer)
    third.log = third.database.with_suffix(".third.log")
    with third:
        writer = Gunicorn({})
        writer.port = third.port
        await asyncio.to_thread(writer.write, "last")
    await place.agree("last")


class TestCommands:
    @staticmethod
    def run(place: Place, *args: str) -> str:
        return place.servers[0].manage("bindings", *args)

    async def test_sync_sends_everybody_all_rows(self, place: Place) -> None:
        SQLiteProgram(place.servers[0].database).add_products(3)
        told = self.run(place, "sync", "products")
        assert told == "sync of products: taken by 2 server processes.\n"
        await place.agree("product 1", "product 2", "product 3")
        assert [following.actions[-1] for following in place.products] == ["sync"] * 2

    async def test_bump_sends_what_differed(self, place: Place) -> None:
        SQLiteProgram(place.servers[0].database).add_products(3)
        assert self.run(place, "bump") == "bump of all bindings: taken by 2 server processes.\n"
        await place.agree("product 1", "product 2", "product 3")
        assert [following.actions[-1] for following in place.products] == ["batch"] * 2

    async def test_clear_has_everything_read_anew(self, place: Place) -> None:
        SQLiteProgram(place.servers[0].database).add_products(3)
        told = self.run(place, "clear", "products", "words")
        assert told == "clear of products, words: taken by 2 server processes.\n"
        await place.agree("product 1", "product 2", "product 3")


def run(*args: str, **settings: Any) -> str:
    out = io.StringIO()
    with override_settings(**settings):
        call_command("bindings", *args, stdout=out, no_color=True)
    return out.getvalue()


class TestRefusals:
    @pytest.mark.parametrize(
        "layers", [{}, {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}]
    )
    def test_without_a_channel_layer_the_commands_say_what_to_do(self, layers: Any) -> None:
        with pytest.raises(CommandError, match="No other process can be reached: configure CHAN"):
            run("sync", CHANNEL_LAYERS=layers)

    def test_an_unknown_event_is_an_error_that_names_the_known_ones(self) -> None:
        with pytest.raises(CommandError, match=r"No binding has the event 'nothing'"):
            run("sync", "products", "nothing")

    def test_no_server_is_an_error(self, tmp_path: Path) -> None:
        with Redis(tmp_path) as redis:
            layers = {"default": {"BACKEND": LAYERS[0], "CONFIG": {"hosts": [redis.url]}}}
            with pytest.raises(CommandError, match=r"No server has answered within 1 s"):
                run("bump", CHANNEL_LAYERS=layers)

    def test_no_redis_is_an_error(self, tmp_path: Path) -> None:
        layers = {"default": {"BACKEND": LAYERS[0], "CONFIG": {"hosts": [Redis(tmp_path).url]}}}
        with pytest.raises(CommandError, match=r"The channel layer is out of reach \(Conn"):
            run("clear", CHANNEL_LAYERS=layers)
