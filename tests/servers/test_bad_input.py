"""Whatever strangers send, it costs the others nothing and leaves no memory behind."""

from __future__ import annotations

import asyncio
import json
import random
from itertools import pairwise
from pathlib import Path

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from tests.conftest import EVERY_DATABASE, MakeServer, program_on
from tests.support.server import Server
from tests.support.talk import talking

pytestmark = EVERY_DATABASE

ROUNDS = 5
CONNECTIONS = 5
MESSAGES = 300


def memory(server: Server) -> int:
    """Return how many KiB the server holds in memory."""
    for line in Path(f"/proc/{server.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError


def garbage(rng: random.Random, cursor: str) -> str:
    """Return a message that nobody should send."""
    noise = "".join(chr(rng.randrange(32, 0xD000)) for _ in range(rng.randrange(200)))
    bent = list(cursor)
    bent[rng.randrange(len(bent))] = rng.choice("abcXYZ_-")
    choices = [
        noise,
        "[" * rng.randrange(5000),
        '{"event": ' * rng.randrange(500),
        json.dumps({"event": noise}),
        json.dumps({"event": "products", "data": {"cursor": "".join(bent), "held": [1]}}),
        json.dumps({"event": "products", "data": {"cursor": noise}}),
        json.dumps({"event": "catalogue", "data": {"params": {noise: 1}}}),
        json.dumps({"event": "catalogue", "data": {"params": {"category": noise}}}),
        json.dumps(
            {"event": "catalogue", "data": {"params": {"category": 10 ** rng.randrange(99)}}}
        ),
        json.dumps({"event": "products", "data": {"page_size": rng.choice([-1, 0, 1e9, noise])}}),
        json.dumps({"event": "products", "data": {"held": list(range(5000))}}),
        json.dumps({"event": "products", "data": {"disconnect": True}}),
        json.dumps({"event": "tags", "data": {"disconnect": True, "params": {"x": noise}}}),
        json.dumps({"event": "broken"}),
        json.dumps({"event": "$auth", "data": {"token": noise}}),
        json.dumps({"event": "$hello", "data": {"want": [noise] * 50}}),
        json.dumps({"event": "$" + noise, "data": noise}),
        json.dumps({"event": "$ping", "data": noise}),
    ]
    return rng.choice(choices)


async def flood(server: Server, seed: int, cursor: str) -> None:
    """Send garbage as one client, which may be shown the door at any time."""
    rng = random.Random(seed)
    async with talking(server.ws) as talk:
        listener = asyncio.create_task(read_all(talk.socket))
        try:
            for _ in range(MESSAGES):
                await talk.say_text(garbage(rng, cursor))
            await talk.socket.close()
        except ConnectionClosed:
            pass
        await listener


async def read_all(socket: ClientConnection) -> None:
    """Read all that the server says, and make nothing of it but that it tells no secrets."""
    while True:
        try:
            text = await socket.recv()
        except ConnectionClosed:
            return
        assert isinstance(text, str)
        for secret in ("Traceback", "secret", "SELECT", "app_product", "for-tests-only", ".py"):
            assert secret not in text, text


async def test_garbage_harms_nobody_and_leaves_memory_where_it_was(
    make_server: MakeServer,
) -> None:
    server = make_server(
        MAX_MALFORMED=1_000_000,
        MAX_MESSAGES_PER_SECOND=100_000,
        MAX_MESSAGES_BURST=100_000,
        LINGER_SECONDS=0.5,
    ).start()
    program = program_on(server)
    program.add_products(20)
    sizes = []
    async with talking(server.ws) as good:
        products = await good.follow("products")
        for round_ in range(ROUNDS):
            seeds = range(round_ * CONNECTIONS, (round_ + 1) * CONNECTIONS)
            floods = asyncio.gather(*(flood(server, seed, products.cursor) for seed in seeds))
            number = round_ + 1
            program.run("UPDATE app_product SET stock = ?", number)
            await good.shows(products, "stock", [number] * 20)
            await floods
            await good.ping()
            sizes.append(memory(server))
        assert "stale" not in products.actions
    program.close()
    print(f"\nresident memory after each {CONNECTIONS * MESSAGES} messages: {sizes} KiB")
    grown = [after - before for before, after in pairwise(sizes[1:])]
    assert min(grown) < 1024, "each round has left something"
    log = server.log.read_text()
    assert "ASGI callable" not in log, log
    assert "is closed after a failure" not in log, log


async def test_strangers_are_shown_the_door(make_server: MakeServer) -> None:
    server = make_server().start()
    program = program_on(server)
    program.add_products(3)
    async with talking(server.ws) as good:
        products = await good.follow("products")
        await asyncio.gather(*(flood(server, seed, products.cursor) for seed in range(10)))
        program.run("UPDATE app_product SET stock = 1")
        await good.until(lambda: products.column("stock") == [1, 1, 1])
    program.close()


async def test_who_comes_and_goes_leaves_nothing(make_server: MakeServer) -> None:
    server = make_server(LINGER_SECONDS=0.5).start()
    program = program_on(server)
    program.add_products(200)
    sizes = []
    for _ in range(4):
        for _ in range(50):
            async with talking(server.ws) as talk:
                await talk.say("products")
                await talk.say("catalogue", params={"q": "product"})
                await talk.hear()
        sizes.append(memory(server))
    program.close()
    print(f"\nresident memory after each 50 connections: {sizes} KiB")
    assert sizes[-1] - sizes[1] < 4 * 1024
