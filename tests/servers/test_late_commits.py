"""Transactions that write early and commit late, where writers do not wait for each other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import MakeServer, program_on
from tests.servers.test_resuming import resume, told
from tests.support.program import Program
from tests.support.server import Server
from tests.support.talk import Talk, talking

pytestmark = pytest.mark.parametrize(
    "vendor", ["postgresql", "mysql"], indirect=True, scope="module"
)


@pytest.fixture
def late(server: Server, program: Program) -> Iterator[Program]:
    """A second program, in a transaction in which it has given the first of some products a stock
    of 7; the second of them has one of 8 since, which is committed."""
    program.add_products(4)
    late = program_on(server)
    late.run("BEGIN")
    late.run("UPDATE app_product SET stock = 7 WHERE id = 1")
    program.run("UPDATE app_product SET stock = 8 WHERE id = 2")
    yield late
    late.close()


async def test_show_when_they_are_committed(
    talk: Talk, server: Server, program: Program, late: Program
) -> None:
    products = await talk.follow("products")
    assert products.column("stock") == [0, 8, 0, 0]
    for number in range(1, 21):
        program.run("UPDATE app_product SET stock = ? WHERE id = 3", number)
    await talk.shows(products, "stock", [0, 8, 20, 0])
    cursor, keys = products.cursor, products.replica.held
    late.run("COMMIT")
    await talk.shows(products, "stock", [7, 8, 20, 0])
    async with talking(server.ws) as other:
        again = await other.follow("products", cursor=cursor, held=keys)
        assert told(again) == [("update", 1)]


async def test_show_to_whoever_joined_meanwhile(talk: Talk, server: Server, late: Program) -> None:
    early = await talk.follow("products")
    async with talking(server.ws) as other:
        joined = await other.follow("products")
        another_view = await other.follow("by_stock")
        late.run("COMMIT")
        await other.shows(joined, "stock", [7, 8, 0, 0])
        await other.until(lambda: sorted(another_view.column("stock")) == [0, 0, 7, 8])
    await talk.shows(early, "stock", [7, 8, 0, 0])


async def test_show_in_a_view_that_was_loaded_meanwhile(
    make_server: MakeServer, server: Server, program: Program, late: Program
) -> None:
    program.add_products(50, first=5)
    with make_server(on=server, SYNC_ROWS=5) as other:
        async with talking(other.ws) as talk:
            products = await talk.follow("products")
            assert products.column("stock")[:2] == [0, 8]
            late.run("COMMIT")
            await talk.until(lambda: products.column("stock")[:2] == [7, 8])
            assert products.actions[-1] == "update"


async def test_are_in_the_difference_that_another_server_gives(
    make_server: MakeServer, server: Server, late: Program
) -> None:
    async with talking(server.ws) as talk:
        old = await talk.follow("products")
        assert old.column("stock") == [0, 8, 0, 0]
    late.run("COMMIT")
    with make_server(on=server) as second:
        assert told(await resume(second, "products", old)) == [("update", 1)]


async def test_outlive_a_server_that_was_killed_and_restarted_meanwhile(
    make_server: MakeServer, server: Server, program: Program, late: Program
) -> None:
    own = make_server(on=server).start()
    async with talking(own.ws) as talk:
        old = await talk.follow("products")
        own.kill()
    own.start()
    program.run("UPDATE app_product SET stock = 9 WHERE id = 3")
    async with talking(own.ws) as talk:
        again = await talk.follow("products", cursor=old.cursor, held=old.replica.held)
        assert told(again) == [("update", 3)]
        late.run("COMMIT")
        await talk.until(lambda: len(again.frames) == 2)
        assert told(again)[1:] == [("update", 1)]
    own.kill()
