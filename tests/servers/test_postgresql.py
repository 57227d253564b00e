"""PostgreSQL from outside: other programs write, servers and the database come and go."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeServer
from tests.faults.servers import FAULTS_ON_POSTGRESQL
from tests.servers.test_resuming import resume, told
from tests.support.postgresql import Bouncer, Cluster, PostgreSQLProgram
from tests.support.server import Server
from tests.support.talk import Following, Talk, talking

Beside = tuple[Server, Server, PostgreSQLProgram]

ON_POSTGRESQL = pytest.mark.parametrize("vendor", ["postgresql"], indirect=True, scope="module")

HARMLESS = (
    "ALTER TABLE app_product ADD COLUMN fresh int NOT NULL DEFAULT 5",
    "ALTER TABLE app_product ALTER stock SET DEFAULT 7",
    "ALTER TABLE app_product ALTER name TYPE varchar(130)",
)
BACK = (
    "ALTER TABLE app_product DROP COLUMN fresh",
    "ALTER TABLE app_product ALTER stock DROP DEFAULT",
)
"""Changes of a table that leave all values as they are, and what undoes them."""


def rows_of(program: PostgreSQLProgram) -> list[tuple[Any, ...]]:
    return program.run("SELECT id, stock FROM app_product WHERE active ORDER BY id")


def held(following: Following) -> list[tuple[Any, ...]]:
    return [(row["id"], row["stock"]) for row in following.replica.rows]


async def watch_sums(server: Server, program: PostgreSQLProgram) -> tuple[int, list[int], bool]:
    """Have transactions move one from a row to another, while a client watches that the sum of all
    rows never differs.

    Returns:
        How many frames came, the sums that were wrong, and whether a row was wrong at the end.
    """
    program.add_products(20, stock=100)

    def write(seed: int) -> None:
        own = PostgreSQLProgram(server.url)
        for number in range(60):
            one, other = sorted(((seed * 7 + number) % 20 + 1, (number * 3) % 20 + 1))
            with own.transaction():
                own.run("UPDATE app_product SET stock = stock - 1 WHERE id = ?", one)
                own.run("UPDATE app_product SET stock = stock + 1 WHERE id = ?", other)
        own.close()

    wrong = []
    async with talking(server.ws) as talk:
        products = await talk.follow("products")
        writers = asyncio.gather(*(asyncio.to_thread(write, seed) for seed in range(6)))
        frames = len(products.frames)
        while not writers.done() or len(products.frames) > frames:
            frames = len(products.frames)
            try:
                await talk.hear(0.5)
            except TimeoutError:
                continue
            if sum(products.column("stock")) != 2000:
                wrong.append(sum(products.column("stock")))
        await writers
        return frames, wrong, held(products) != rows_of(program)


async def shows(talk: Talk, products: Following, stocks: list[int]) -> None:
    """Hear messages until a client has these."""
    await talk.until(lambda: products.column("stock") == stocks)


@contextmanager
def a_role_that_only_reads(program: PostgreSQLProgram) -> Iterator[str]:
    """Yield the database's address for a role that may read the tables there are."""
    program.run("DROP ROLE IF EXISTS reader")
    program.run("CREATE ROLE reader LOGIN")
    program.run("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    yield program.url.replace("postgres@", "reader@")
    program.run("DROP OWNED BY reader")


@ON_POSTGRESQL
class TestPlantedFaults:
    @pytest.mark.parametrize("fault", sorted(FAULTS_ON_POSTGRESQL))
    async def test_is_found(
        self,
        fault: str,
        make_server: MakeServer,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("PLANTED_FAULT", fault)
        honest = make_server()
        with Server(
            tmp_path / "own", module="tests.support.faulty_settings", url=honest.url
        ) as own:
            program = PostgreSQLProgram(own.url)
            for _ in range(10):
                program.clean()
                _, wrong, lost = await watch_sums(own, program)
                if wrong or lost:
                    break
            program.close()
        assert wrong or lost


@ON_POSTGRESQL
class TestWrites:
    async def test_sql_typed_into_psql(
        self, talk: Talk, server: Server, postgresql: Cluster
    ) -> None:
        products = await talk.follow("products")
        name = server.url.rpartition("/")[2]
        postgresql.psql(
            name,
            "BEGIN; INSERT INTO app_product (id, name, price, stock, active) VALUES "
            "(1, 'a', 1, 0, true), (2, 'b', 2, 0, true); UPDATE app_product SET stock = 5; COMMIT;",
        )
        await talk.until(lambda: products.column("stock") == [5, 5])
        assert products.actions == ["sync", "batch"]
        postgresql.psql(name, "TRUNCATE app_product CASCADE")
        await talk.until(lambda: products.replica.rows == [])

    async def test_many_writers_at_once_and_every_state_is_one_that_was_committed(
        self, server: Server, program: PostgreSQLProgram
    ) -> None:
        frames, wrong, lost = await watch_sums(server, program)
        assert frames > 1
        assert (wrong, lost) == ([], False)

    async def test_a_statement_that_fails_in_a_binding_harms_it_alone(
        self, talk: Talk, program: PostgreSQLProgram
    ) -> None:
        """An error ends a transaction of PostgreSQL's, unless there is a savepoint."""
        program.run("INSERT INTO app_word VALUES ('a', 1)")
        program.add_products(1)
        products, words = await talk.follow("products"), await talk.follow("words")
        program.run("ALTER TABLE app_word RENAME count TO amount")
        program.run("UPDATE app_product SET stock = 3")
        await talk.until(lambda: words.replica.stale and products.column("stock") == [3])
        program.run("ALTER TABLE app_word RENAME amount TO count")
        await talk.until(lambda: not words.replica.stale)
        program.run("UPDATE app_word SET count = 2")
        await talk.until(lambda: words.column("count") == [2])

    async def test_a_table_that_somebody_has_locked_holds_up_nobody_else_for_long(
        self, talk: Talk, server: Server, program: PostgreSQLProgram
    ) -> None:
        program.run("INSERT INTO app_word VALUES ('a', 1)")
        program.add_products(1)
        products, words = await talk.follow("products"), await talk.follow("words")
        locker = PostgreSQLProgram(server.url)
        locker.run("BEGIN")
        locker.run("UPDATE app_word SET count = 2")
        locker.run("LOCK TABLE app_word IN ACCESS EXCLUSIVE MODE")
        program.run("UPDATE app_product SET stock = 3")
        await talk.until(lambda: products.column("stock") == [3])
        locker.run("COMMIT")
        locker.close()
        await talk.until(lambda: words.column("count") == [2])


@ON_POSTGRESQL
class TestCommands:
    def test_install_shows_its_plan_and_status_what_there_is(self, make_server: MakeServer) -> None:
        server = make_server(capture=False)
        install = ("bindings", "capture", "install")
        planned = server.manage(*install, "--dry-run")
        assert "No change log" in server.manage("bindings", "capture", "status")
        installed = server.manage(*install, "--verbosity", "2")
        assert planned.splitlines()[:-1] == installed.splitlines()[:-1]
        assert planned.splitlines()[-1].startswith("Would watch app_category")
        program = PostgreSQLProgram(server.url)
        program.run("DROP TRIGGER bindserver__app_word__ins ON app_word")
        shown = server.manage("bindings", "capture", "status")
        assert "missing triggers: app_word\n" in shown
        assert re.search(r"^entries: \d+, about [\d.,]+\s\w+$", shown, re.MULTILINE)
        removed = server.manage("bindings", "capture", "remove", "-v", "2")
        assert "DROP TABLE bindserver_log" in removed
        program.close()

    async def test_a_log_that_is_removed_leaves_signals_until_it_is_back(
        self, make_server: MakeServer
    ) -> None:
        server = make_server(COMPARE_SECONDS=1).start()
        program = PostgreSQLProgram(server.url)
        program.add_products(1)
        async with talking(server.ws) as talk:
            products = await talk.follow("products")
            server.manage("bindings", "capture", "remove")
            program.add_products(1, first=2)
            await talk.until(lambda: products.column("id") == [1, 2])
            assert "was removed" in server.log.read_text()
            cursor = products.replica.cursor
            server.manage("bindings", "capture", "install")
            program.add_products(1, first=3)
            await talk.until(lambda: products.column("id") == [1, 2, 3])
            assert "the change log was installed" in server.log.read_text()
        server.stop()
        server.start()
        async with talking(server.ws) as talk:
            held = {"cursor": cursor, "held": [1, 2]}  # as signals named it
            products = await talk.follow("products", **held)
            assert products.actions == ["sync"]
        program.close()

    @pytest.fixture
    def beside(self, make_server: MakeServer, tmp_path: Path) -> Iterator[Beside]:
        """A server whose role only reads, beside one that is the owner's, and another program."""
        owned = make_server()
        program = PostgreSQLProgram(owned.url)
        program.add_products(2)
        owned.manage("bindings", "capture", "install")
        with (
            a_role_that_only_reads(program) as url,
            Server(tmp_path / "own", url=url) as server,
            owned,
        ):
            yield server, owned, program
        program.close()

    async def test_a_server_whose_role_only_reads_follows_too(self, beside: Beside) -> None:
        server, owned, program = beside
        async with talking(server.ws) as talk:
            products = await talk.follow("products")
            for number in range(1, 4):
                program.run("UPDATE app_product SET stock = ?", number)
                await shows(talk, products, [number, number])
        assert told(await resume(owned, "products", products)) == [("ok", None)]
        assert "cannot be purged" not in server.log.read_text()

    async def test_one_whose_role_only_reads_complains_of_no_change_that_does_no_harm(
        self, beside: Beside
    ) -> None:
        server, owned, program = beside
        async with talking(server.ws) as talk:
            products = await talk.follow("products")
            for number, sql in enumerate(HARMLESS, 1):
                program.run(sql)
                program.run("UPDATE app_product SET stock = ? WHERE id = 1", number)
                await shows(talk, products, [number, 0])
        program.run("UPDATE app_product SET stock = 9 WHERE id = 2")
        assert told(await resume(owned, "products", products)) == [("update", 2)]
        assert "missing triggers: none" in owned.manage("bindings", "capture", "status")
        for one in (server, owned):
            assert "installing" not in one.log.read_text()
            assert "not seen" not in one.log.read_text()


@ON_POSTGRESQL
class TestPgBouncer:
    """In transaction mode, where one's next transaction may be in another session."""

    @pytest.fixture
    def bouncer(self, postgresql: Cluster) -> Iterator[Bouncer]:
        bouncer = Bouncer(postgresql).start()
        yield bouncer
        bouncer.stop()

    async def test_every_state_is_one_that_was_committed(
        self, make_server: MakeServer, bouncer: Bouncer, tmp_path: Path
    ) -> None:
        direct = make_server()
        url = bouncer.url(direct.url.rpartition("/")[2])
        program = PostgreSQLProgram(direct.url)
        with Server(tmp_path / "own", url=url) as server:
            frames, wrong, lost = await watch_sums(server, program)
            assert frames > 1
            assert (wrong, lost) == ([], False)
        program.close()

    async def test_that_goes_away_and_comes_back_is_ridden_out(
        self, make_server: MakeServer, bouncer: Bouncer, tmp_path: Path
    ) -> None:
        direct = make_server()
        program = PostgreSQLProgram(direct.url)
        program.add_products(2)
        url = bouncer.url(direct.url.rpartition("/")[2])
        with Server(tmp_path / "own", url=url) as server:
            server.manage("bindings", "capture", "install")  # products are there by now
            assert "All in place" in server.manage("bindings", "capture", "install")
            async with talking(server.ws) as talk:
                products, words = await talk.follow("products"), await talk.follow("words")
                bouncer.stop()
                await talk.until(lambda: products.replica.stale and words.replica.stale)
                program.run("UPDATE app_product SET stock = 4")
                bouncer.start()
                await talk.until(lambda: products.column("stock") == [4, 4])
                await talk.until(lambda: not words.replica.stale)
                assert words.actions[-1] == "ok"
        program.close()


@ON_POSTGRESQL
class TestSchemaChanges:
    async def test_a_client_moves_on_past_a_change_that_does_no_harm(
        self, talk: Talk, server: Server, program: PostgreSQLProgram, tmp_path: Path
    ) -> None:
        program.add_products(3)
        async with talking(server.ws) as elsewhere:
            old = await elsewhere.follow("products")
        products, begin = await talk.follow("products"), len(server.log.read_text())
        for number, sql in enumerate((*HARMLESS, *BACK), 1):
            program.run(sql)
            program.run("UPDATE app_product SET stock = ? WHERE id = 2", number)
            await shows(talk, products, [0, number, 0])
        with Server(tmp_path / "other", url=server.url) as other:
            assert told(await resume(other, "products", old)) == [("update", 2)]
            assert "installing" not in other.log.read_text()
        assert "installing" not in server.log.read_text()[begin:]

    async def test_values_that_a_change_of_type_rewrites_are_seen(
        self, talk: Talk, program: PostgreSQLProgram
    ) -> None:
        program.run("INSERT INTO app_word VALUES ('a', 1)")
        words = await talk.follow("words")
        program.run("ALTER TABLE app_word ALTER count TYPE bigint USING count + 41")
        await talk.until(lambda: words.column("count") == [42])

    async def test_triggers_that_are_dropped_come_back_and_what_was_missed_is_seen(
        self, talk: Talk, server: Server, program: PostgreSQLProgram
    ) -> None:
        program.run("INSERT INTO app_word VALUES ('a', 1)")
        words = await talk.follow("words")
        old_cursor, keys = words.cursor, words.replica.held
        with program.transaction():
            for suffix in ("ins", "upd", "del", "tru", "row"):
                program.run(f"DROP TRIGGER bindserver__app_word__{suffix} ON app_word")
            program.run("UPDATE app_word SET count = 2")
        await talk.until(lambda: words.column("count") == [2])
        program.run("UPDATE app_word SET count = 3")
        await talk.until(lambda: words.column("count") == [3])
        assert "installing missing triggers on app_word" in server.log.read_text()
        again = await talk.follow("words", cursor=words.cursor, held=keys)
        assert again.actions == ["ok"]
        assert old_cursor != words.cursor
