"""Tables and bindings that change while clients hold their rows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import EVERY_DATABASE
from tests.servers.test_resuming import resume, told
from tests.support.program import Program
from tests.support.server import Server
from tests.support.talk import Talk, talking

pytestmark = EVERY_DATABASE


@pytest.fixture
async def talk(server: Server, program: Program) -> AsyncIterator[Talk]:
    async with talking(server.ws) as talk:
        yield talk


class TestATable:
    async def test_that_gets_another_column_is_followed_on(
        self, talk: Talk, program: Program
    ) -> None:
        program.add_products(2)
        products = await talk.follow("products")
        program.run("ALTER TABLE app_product ADD COLUMN more int DEFAULT 5")
        try:
            program.run("UPDATE app_product SET stock = 3, more = 6 WHERE id = 2")
            await talk.until(lambda: products.column("stock") == [0, 3])
            program.add_products(1, first=3)
            await talk.until(lambda: products.column("id") == [1, 2, 3])
            program.run("DELETE FROM app_product WHERE id = 1")
            await talk.until(lambda: products.column("id") == [2, 3])
        finally:
            program.run("ALTER TABLE app_product DROP COLUMN more")
        program.run("UPDATE app_product SET stock = 4")
        await talk.until(lambda: products.column("stock") == [4, 4])
        assert "sync" not in products.actions[1:]
        assert "stale" not in products.actions

    async def test_that_is_built_anew_is_followed_on_and_counts_as_changed(
        self, talk: Talk, server: Server, program: Program, vendor: str, tmp_path: Path
    ) -> None:
        program.run("INSERT INTO app_word VALUES ('a', 1)")
        words = await talk.follow("words")
        old = await follow_elsewhere(server)
        for statement in rebuilding(vendor, program):
            program.run(statement)
        await talk.until(lambda: words.column("count") == [42])
        program.run("UPDATE app_word SET count = 43")
        await talk.until(lambda: words.column("count") == [43])
        assert "sync" not in words.actions[1:]
        with Server(tmp_path / "other.sqlite3", url=server.url) as other:
            again = await resume(other, "words", old)
            assert again.actions == ["update"], "what it held, and what any row may have become"
            assert again.column("count") == [43]


async def follow_elsewhere(server: Server) -> Any:
    """Return what another client has of the words, who goes away with it."""
    async with talking(server.ws) as talk:
        return await talk.follow("words")


def rebuilding(vendor: str, program: Program) -> list[str]:
    """Return the statements of a migration that makes a table anew, and changes its rows."""
    if vendor == "mysql":
        return [
            "CREATE TABLE new__word LIKE app_word",
            "INSERT INTO new__word SELECT text, 42 FROM app_word",
            "RENAME TABLE app_word TO old__word, new__word TO app_word",
            "DROP TABLE old__word",
        ]
    if vendor == "postgresql":
        made = "CREATE TABLE new__word (LIKE app_word INCLUDING ALL)"
    else:
        ((sql,),) = program.run("SELECT sql FROM sqlite_master WHERE name = 'app_word'")
        made = str(sql).replace("app_word", "new__word", 1)
    return [
        "BEGIN",
        made,
        "INSERT INTO new__word SELECT text, 42 FROM app_word",
        "DROP TABLE app_word",
        "ALTER TABLE new__word RENAME TO app_word",
        "COMMIT",
    ]


class TestABinding:
    """One that another deploy serves, to a client of the one before."""

    @pytest.mark.parametrize("change", ["fields", "serializer", "conditions"])
    async def test_that_serves_something_else_gives_sync(
        self, server: Server, program: Program, tmp_path: Path, change: str
    ) -> None:
        program.add_products(3)
        async with talking(server.ws) as talk:
            old = await talk.follow("products")
        program.run("UPDATE app_product SET stock = 7, sku = 'x' WHERE id = 2")
        with deployed(change, server, tmp_path) as other:
            again = await resume(other, "products", old)
            assert again.actions == ["sync"]
            if change == "fields":
                assert again.column("sku") == [None, "x", None]
            elif change == "serializer":
                assert again.column("name") == ["PRODUCT 1", "PRODUCT 2", "PRODUCT 3"]
            else:
                assert again.column("id") == [2]
            back = await resume(server, "products", again)  # during a rolling deploy
            assert back.actions == ["sync"]
            assert list(back.replica.rows[0]) == ["id", "name", "price", "stock", "category"]

    async def test_that_serves_the_same_gives_the_difference(
        self, server: Server, program: Program, tmp_path: Path
    ) -> None:
        program.add_products(3)
        async with talking(server.ws) as talk:
            old = await talk.follow("products")
        program.run("UPDATE app_product SET stock = 7 WHERE id = 2")
        with deployed("nothing", server, tmp_path) as other:
            assert told(await resume(other, "products", old)) == [("update", 2)]


def deployed(change: str, server: Server, folder: Path) -> Server:
    """Return a server of another deploy, on the same database."""
    return Server(
        folder / "deployed.sqlite3",
        module="tests.support.deploy_settings",
        environment={"DEPLOY": change},
        url=server.url,
    )
