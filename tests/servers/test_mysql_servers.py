"""Real servers on MariaDB: what clients are told, by one process and by several."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, suppress
from itertools import count
from pathlib import Path

import pytest
from django.db import connections
from pytest_django import DjangoDbBlocker

from bindserver.capture.log import log_of
from bindserver.client.replica import Replica
from tests.faults.servers import FAULTS_ON_MARIADB
from tests.servers.test_resuming import told
from tests.support.default import as_default
from tests.support.mariadb import MariaDB, MariaDBProgram, served
from tests.support.program import Program
from tests.support.server import Server
from tests.support.talk import Following, Talk, talking

MakeMaria = Callable[..., Server]


@pytest.fixture(scope="module")
def make_maria(
    maria: MariaDB, maria_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MakeMaria]:
    """Makes servers on the module's database; all are ended with the module."""
    made: list[Server] = []

    def make(**settings: object) -> Server:
        folder = tmp_path_factory.mktemp("server")
        made.append(served(maria, maria_database, folder, **settings).start())
        return made[-1]

    yield make
    for server in made:
        server.stop()


@pytest.fixture(scope="module")
def one(make_maria: MakeMaria) -> Server:
    return make_maria()


@pytest.fixture(scope="module")
def two(make_maria: MakeMaria) -> Server:
    return make_maria()


@pytest.fixture
def program(maria: MariaDB, maria_database: str) -> Iterator[Program]:
    program = MariaDBProgram(maria, maria_database)
    program.clean()
    yield program
    program.close()


@pytest.fixture
def writer(maria: MariaDB, maria_database: str) -> Iterator[Program]:
    """A second program, for transactions that stand open."""
    program = MariaDBProgram(maria, maria_database)
    yield program
    program.close()


@pytest.fixture
async def talk(one: Server, program: Program) -> AsyncIterator[Talk]:
    async with talking(one.ws) as talk:
        yield talk


def stocks(program: Program) -> list[int]:
    return [int(n) for (n,) in program.run("SELECT stock FROM app_product ORDER BY id")]


class TestOneServer:
    async def test_a_truncated_table_is_noticed(self, talk: Talk, program: Program) -> None:
        program.run("INSERT INTO app_word VALUES ('a', 1), ('b', 2)")
        words = await talk.follow("words")
        program.run("TRUNCATE TABLE app_word")
        await talk.until(lambda: words.column("text") == [])
        program.run("INSERT INTO app_word VALUES ('c', 1)")
        await talk.until(lambda: words.column("text") == ["c"])

    async def test_a_rebuilt_table_is_noticed_and_followed(
        self, talk: Talk, program: Program
    ) -> None:
        """As online schema changes do: a copy takes the table's name."""
        program.run("INSERT INTO app_word VALUES ('a', 1)")
        words = await talk.follow("words")
        program.run("CREATE TABLE new_word LIKE app_word")
        program.run("INSERT INTO new_word VALUES ('a', 1), ('b', 2)")
        program.run("RENAME TABLE app_word TO old_word, new_word TO app_word")
        program.run("DROP TABLE old_word")
        await talk.until(lambda: words.column("text") == ["a", "b"])
        await asyncio.sleep(1.5)
        program.run("UPDATE app_word SET count = 5")
        await talk.until(lambda: words.column("count") == [5, 5])
        column = "ALTER TABLE app_word ADD COLUMN more INT"
        program.run(column)
        program.run("UPDATE app_word SET count = 6")
        await talk.until(lambda: words.column("count") == [6, 6])
        program.run("ALTER TABLE app_word DROP COLUMN more")

    async def test_a_dropped_trigger_is_put_back(self, talk: Talk, program: Program) -> None:
        program.run("INSERT INTO app_word VALUES ('a', 1)")
        words = await talk.follow("words")
        program.run("DROP TRIGGER bindserver__app_word__upd")
        program.run("UPDATE app_word SET count = 5")
        await talk.until(lambda: words.column("count") == [5])
        program.run("UPDATE app_word SET count = 6")
        await talk.until(lambda: words.column("count") == [6])


class TestTwoServers:
    async def test_both_follow_a_storm_of_writers(
        self, maria: MariaDB, maria_database: str, one: Server, two: Server, program: Program
    ) -> None:
        program.add_products(40)

        def write(seed: int) -> None:
            mine = MariaDBProgram(maria, maria_database)
            for number in range(60):
                mine.run("BEGIN")
                mine.run(f"UPDATE app_product SET stock = stock + 1 WHERE id = {seed * 5 + 1}")
                mine.run(f"UPDATE app_product SET stock = stock + 1 WHERE id = {seed * 5 + 2}")
                mine.run("ROLLBACK" if number % 5 == 0 else "COMMIT")
            mine.close()

        async with talking(one.ws) as talk, talking(two.ws) as other:
            here, there = await talk.follow("products"), await other.follow("products")
            writers = [asyncio.to_thread(write, seed) for seed in range(8)]

            async def check(talk: Talk, following: Following) -> None:
                while following.column("stock") != final or not final:
                    frames = len(following.frames)
                    await talk.hear(30)
                    if len(following.frames) > frames:
                        found = following.column("stock")
                        for seed in range(8):  # both of a pair are written in one transaction
                            assert found[seed * 5] == found[seed * 5 + 1]

            final: list[int] = []

            async def finish() -> None:
                await asyncio.gather(*writers)
                final.extend(stocks(program))
                program.run("UPDATE app_product SET name = 'done' WHERE id = 40")

            await asyncio.gather(finish(), check(talk, here), check(other, there))
        assert sum(final) == 8 * 2 * 48


class TestFaults:
    """What the tests above show must be able to fail: each fault is planted, and found."""

    @pytest.mark.parametrize("fault", [None, *sorted(FAULTS_ON_MARIADB)])
    async def test_are_found(
        self,
        maria: MariaDB,
        maria_database: str,
        program: Program,
        writer: Program,
        tmp_path: Path,
        fault: str | None,
    ) -> None:
        server = served(maria, maria_database, tmp_path)
        if fault is not None:
            server.environment["DJANGO_SETTINGS_MODULE"] = "tests.support.faulty_settings"
            server.environment["PLANTED_FAULT"] = fault
        program.add_products(20)
        writer.run("BEGIN")
        writer.run("UPDATE app_product SET stock = 7 WHERE id = 1")
        program.run("UPDATE app_product SET stock = 8 WHERE id = 2")
        with server:
            async with talking(server.ws) as talk:
                found = await self.find(talk, program, writer)
        expected = {
            "id_over_last": {"open before", "open later"},
            "holes_not_inherited": {"open before"},
            "holes_given_up_unproved": {"open before"},
            "rows_outside_snapshot": {"torn"},
        }
        assert found >= expected.get(fault or "", set())
        assert fault or not found

    async def find(self, talk: Talk, program: Program, writer: Program) -> set[str]:
        """Return what is wrong with a server, at whose start a number below the newest is open."""
        found = set()
        products = await talk.follow("products")
        await self.shows(talk, products, program, 1)
        writer.run("COMMIT")
        await self.shows(talk, products, program, 2)
        if products.column("stock")[0] != 7:
            found.add("open before")
        writer.run("BEGIN")
        writer.run("UPDATE app_product SET stock = 9 WHERE id = 1")
        await self.shows(talk, products, program, 3)
        await asyncio.sleep(0.2)
        writer.run("COMMIT")
        await self.shows(talk, products, program, 4)
        if products.column("stock")[0] != 9:
            found.add("open later")
        numbers, frames = count(10), len(products.frames)
        while len(products.frames) < frames + 6:  # so that writes go on while the server reads
            program.run("UPDATE app_product SET stock = %s WHERE id < 19", next(numbers))
            with suppress(TimeoutError):
                await talk.hear(0.002)
        await self.shows(talk, products, program, 5)
        replica = Replica("id")
        for frame in products.frames:
            replica.apply(frame)
            if len({row["stock"] for row in replica.rows[:18] if row["stock"] > 9}) > 1:
                found.add("torn")
        return found

    async def shows(self, talk: Talk, products: Following, program: Program, number: int) -> None:
        """Wait until a commit of now shows, and with it whatever should by then."""
        program.run("UPDATE app_product SET name = %s WHERE id = 20", f"mark {number}")
        await talk.until(lambda: products.column("name")[19] == f"mark {number}")


class TestALostDatabase:
    @pytest.fixture
    def own(self) -> Iterator[MariaDB]:
        server = MariaDB("--innodb-flush-log-at-trx-commit=1").start()
        yield server
        server.remove()

    @pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
    async def test_a_restart_is_ridden_out(
        self, own: MariaDB, maria_template: dict[bool, str], tmp_path: Path, how: signal.Signals
    ) -> None:
        name = own.make()
        own.load(name, maria_template[True])
        program = MariaDBProgram(own, name)
        program.add_products(3)
        program.close()
        with served(own, name, tmp_path) as server:
            async with talking(server.ws) as talk:
                products = await talk.follow("products")
                old = products.cursor
                own.stop(how)
                await talk.until(lambda: products.replica.stale)
                await talk.ping()
                own.start()
                program = MariaDBProgram(own, name)
                program.run("UPDATE app_product SET stock = 5 WHERE id = 2")
                await talk.until(lambda: products.column("stock") == [0, 5, 0], 30)
                assert not products.replica.stale
                assert "sync" not in products.actions[1:]
            async with talking(server.ws) as talk:
                again = await talk.follow("products", cursor=old, held=[1, 2, 3])
                assert told(again) == [("update", 2)]  # this process has seen it all
        with server, closing(program):
            async with talking(server.ws) as talk:
                again = await talk.follow("products", cursor=old, held=[1, 2, 3])
                assert told(again) == [("sync", None)]  # and this one cannot know

    def test_runs_that_follow_at_once_are_told_apart(
        self, own: MariaDB, maria_template: dict[bool, str], django_db_blocker: DjangoDbBlocker
    ) -> None:
        name = own.make()
        own.load(name, maria_template[True])
        epochs = set()
        with as_default(own.url(name), django_db_blocker):
            for _ in range(4):
                epochs.add(log_of(connections["default"]).position().epoch)
                connections["default"].close()
                own.stop(signal.SIGKILL)
                own.start()
        assert len(epochs) == 4

    async def test_connections_that_are_killed_are_made_anew(
        self, talk: Talk, program: Program
    ) -> None:
        program.add_products(1)
        products = await talk.follow("products")
        for row in program.run("SHOW PROCESSLIST"):
            if row[0] != program.run("SELECT CONNECTION_ID()")[0][0] and row[1] == "root":
                program.run(f"KILL {row[0]}")
        program.run("UPDATE app_product SET stock = 5")
        await talk.until(lambda: products.column("stock") == [5], 30)
        await talk.until(lambda: not products.replica.stale, 30)

    async def test_a_restored_dump_is_noticed_and_followed(
        self, maria: MariaDB, maria_database: str, one: Server, talk: Talk, program: Program
    ) -> None:
        program.add_products(3)
        dump = maria.dump(maria_database)
        products = await talk.follow("products")
        program.run("UPDATE app_product SET stock = 5")
        await talk.until(lambda: products.column("stock") == [5, 5, 5])
        old = products
        await asyncio.to_thread(maria.load, maria_database, dump)
        await talk.until(lambda: products.column("stock") == [0, 0, 0], 30)
        async with talking(one.ws) as other:  # in the middle of the dump all was stale, as was said
            again = await other.follow("products", cursor=old.cursor, held=old.replica.held)
            await other.until(lambda: again.actions[-1] != "stale", 30)
        assert again.actions[-1] in ("sync", "ok")
        program.run("UPDATE app_product SET stock = 6")
        await talk.until(lambda: products.column("stock") == [6, 6, 6], 30)
