"""A PostgreSQL server that restarts, hangs, or is restored, seen from outside."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.test_resuming import resume
from tests.support.postgresql import Cluster, PostgreSQLProgram, own_cluster
from tests.support.postgresql_fixtures import make_templates
from tests.support.server import Server
from tests.support.talk import Following, talking


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with own_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def own_template(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_templates(cluster, tmp_path_factory.mktemp("own"))[True]


class TestALostDatabase:
    """On a server of PostgreSQL's own, which may be harmed."""

    @pytest.fixture
    def own(self, cluster: Cluster, own_template: str, tmp_path: Path) -> Iterator[Server]:
        name = cluster.make_database(own_template)
        with Server(tmp_path / "own", {"QUERY_SECONDS": 2}, url=cluster.url(name)) as server:
            program = PostgreSQLProgram(server.url)
            program.add_products(3)
            program.close()
            yield server
        if not cluster.is_running():  # as a test leaves it that fails in the middle of an outage
            cluster.start()

    @pytest.mark.parametrize("mode", ["immediate", "fast"])
    async def test_that_restarts_is_ridden_out(
        self, cluster: Cluster, own: Server, mode: str
    ) -> None:
        async with talking(own.ws) as talk:
            products = await talk.follow("products")
            keys, cursor = products.replica.held, products.cursor
            cluster.stop(mode)
            await talk.until(lambda: products.replica.stale)
            await talk.ping(1)
            await talk.say("tags", ref="meanwhile")
            data = await talk.hear_data("tags")
            assert data["payload"]["code"] == "unavailable"
            assert "psycopg" not in json.dumps(talk.heard)
            cluster.start()
            program = PostgreSQLProgram(own.url)
            program.run("UPDATE app_product SET stock = 5")
            program.close()
            await talk.until(lambda: products.column("stock") == [5, 5, 5], 30)
            assert not products.replica.stale
            assert "sync" not in products.actions[1:]
            async with talking(own.ws) as other:
                again = await other.follow("products", cursor=cursor, held=keys)
                assert again.column("stock")[-1:] == [5]
        said = own.log.read_text()
        assert said.count("cannot be followed: ") == 1
        assert said.count("is followed again") == 1
        assert "Traceback" not in said, said

    async def test_that_was_restored_from_an_older_copy_is_noticed(
        self, cluster: Cluster, own: Server
    ) -> None:
        program = PostgreSQLProgram(own.url)
        program.run("UPDATE app_product SET stock = 1")
        program.run("CHECKPOINT")
        program.close()
        cluster.stop()
        data, backup = cluster.folder / "data", cluster.folder / "backup"
        shutil.copytree(data, backup)
        for path in (backup, *backup.rglob("*")):
            shutil.chown(path, data.owner(), data.group())
        backup.chmod(0o700)
        cluster.start()
        async with talking(own.ws) as talk:
            products = await talk.follow("products")
            program = PostgreSQLProgram(own.url)
            program.run("UPDATE app_product SET stock = 8")
            program.add_products(5, first=10)
            program.close()
            await talk.until(lambda: len(products.replica.rows) == 8)
            own.kill()
        lost = Following({"key": "id"})
        for frame in products.frames:
            lost.take(frame)
        cluster.stop()
        shutil.rmtree(data)
        backup.rename(data)
        cluster.start()
        program = PostgreSQLProgram(own.url)
        program.run("UPDATE app_product SET stock = 2 WHERE id = 3")
        program.add_products(5, first=20)  # the same transaction ids as those that are lost
        program.close()
        own.start()
        again = await resume(own, "products", lost)
        assert again.actions == ["sync"]
        assert again.column("id") == [1, 2, 3, 20, 21, 22, 23, 24]

    async def test_whose_connections_are_ended_in_the_middle_of_writes(
        self, cluster: Cluster, own: Server
    ) -> None:
        name = own.url.rpartition("/")[2]
        program = PostgreSQLProgram(own.url)
        async with talking(own.ws) as talk:
            products = await talk.follow("products")
            for number in range(1, 61):
                program.run("UPDATE app_product SET stock = ?", number)
                if number % 12 == 0:
                    with cluster.connect() as admin:
                        admin.execute(
                            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                            "WHERE datname = %s AND application_name = 'bindserver'",
                            [name],
                        )
            await talk.until(
                lambda: products.column("stock") == [60] * 3 and not products.replica.stale, 30
            )
        program.close()

    async def test_that_hangs_for_a_while_keeps_sockets_open(
        self, cluster: Cluster, own: Server
    ) -> None:
        async with talking(own.ws) as talk:
            products = await talk.follow("products")
            cluster.pause()
            try:
                await asyncio.sleep(1)
                await talk.ping(4)  # before the server gives the connection up
            finally:
                cluster.go_on()
            program = PostgreSQLProgram(own.url)
            program.run("UPDATE app_product SET stock = 4")
            program.close()
            await talk.until(lambda: products.column("stock") == [4, 4, 4], 30)
