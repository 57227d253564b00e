"""Several servers on one database: clients move among them, and each sees what all write."""

from __future__ import annotations

from typing import Any

from tests.conftest import EVERY_DATABASE, MakeServer
from tests.servers.test_resuming import resume, told
from tests.support.program import Program
from tests.support.server import Server
from tests.support.talk import Following, talking

pytestmark = EVERY_DATABASE


def rows_of(program: Program) -> list[tuple[Any, ...]]:
    """Return key and stock of the products that are served."""
    return program.run("SELECT id, stock FROM app_product WHERE active ORDER BY id")


def held(following: Following) -> list[tuple[Any, ...]]:
    """Return the same of what a client holds."""
    return [(row["id"], row["stock"]) for row in following.replica.rows]


async def test_a_client_moves_among_them_and_gets_exactly_what_differs(
    server: Server, program: Program, make_server: MakeServer
) -> None:
    program.add_products(2000)
    with make_server(on=server) as second, make_server(on=server) as third:
        async with talking(server.ws) as talk:
            old = await talk.follow("products")
        for number in range(1, 1001):
            program.run("UPDATE app_product SET stock = ? WHERE id = ?", number, number % 50 + 1)
        again = await resume(second, "products", old)
        assert sorted(told(again)) == [("update", key) for key in range(1, 51)]
        program.run("DELETE FROM app_product WHERE id = 1")
        merged = Following({"key": "id"})
        for frame in (*old.frames, *again.frames):
            merged.take(frame)
        last = await resume(third, "products", merged)
        assert told(last) == [("delete", 1)]
        for frame in last.frames:
            merged.take(frame)
        assert held(merged) == rows_of(program)
        assert told(await resume(server, "products", merged)) == [("ok", None)]


async def test_one_is_killed_and_its_client_goes_on_with_another(
    server: Server, program: Program, make_server: MakeServer
) -> None:
    program.add_products(100)
    second = make_server(on=server).start()
    async with talking(second.ws) as talk:
        old = await talk.follow("products")
        for number in range(1, 61):
            program.run("UPDATE app_product SET stock = 7 WHERE id = ?", number)
            if number == 30:
                await talk.until(lambda: old.frames[1:])
                second.kill()
    again = await resume(server, "products", old)
    merged = Following({"key": "id"})
    for frame in (*old.frames, *again.frames):
        merged.take(frame)
    assert held(merged) == rows_of(program)
    assert len(told(again)) <= 60


async def test_all_see_what_one_of_them_writes(
    server: Server, program: Program, make_server: MakeServer
) -> None:
    with make_server(on=server) as second:
        async with talking(server.ws) as one, talking(second.ws) as two:
            first, other = await one.follow("products"), await two.follow("products")
            for _ in range(5):
                program.add_products(10, first=1 + 10 * _)
            await one.until(lambda: held(first) == rows_of(program))
            await two.until(lambda: held(other) == rows_of(program))


async def test_a_client_that_was_away_for_a_thousand_changes_gets_only_those(
    server: Server, program: Program, make_server: MakeServer
) -> None:
    program.add_products(3000)
    async with talking(server.ws) as talk:
        old = await talk.follow("products")
    for number in range(1, 1001):
        program.run("UPDATE app_product SET stock = 1 WHERE id = ?", number)
    with make_server(on=server) as second:
        there = await resume(second, "products", old)
    assert told(there) == [("update", n) for n in range(1, 1001)]
