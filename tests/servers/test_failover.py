"""Standbys of PostgreSQL: refused while they are, and followed when they have taken over.

And another server of MariaDB behind the same address.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.servers.test_resuming import resume
from tests.support.forwarder import Forwarder
from tests.support.mariadb import MariaDB, MariaDBProgram
from tests.support.postgresql import Cluster, PostgreSQLProgram, wait_for
from tests.support.postgresql_fixtures import make_templates
from tests.support.server import ROOT, Server
from tests.support.talk import Following, talking

REFUSED = "the server is a standby"


class Pair:
    """A primary and its standby, a database on them, and an address that leads to one of them.

    Args:
        folder: an empty folder.
        templates: a folder for what makes the database.
    """

    def __init__(self, folder: Path, templates: Path) -> None:
        self.primary = Cluster(folder / "primary").make().start()
        self.name = self.primary.make_database(make_templates(self.primary, templates)[True])
        self.standby = self.primary.standby(folder / "standby")
        self.address = Forwarder(self.primary.port)
        self.url = f"postgresql://postgres@127.0.0.1:{self.address.port}/{self.name}"

    def close(self) -> None:
        self.address.close()
        self.primary.stop("immediate")
        self.standby.stop("immediate")

    def catch_up(self) -> None:
        """Wait until the standby has all that was committed."""
        wait_for(lambda: self.standby.is_as_new_as(self.primary))

    def run(self, cluster: Cluster, sql: str, *args: Any) -> list[tuple[Any, ...]]:
        """Have another program run a statement on one of the two."""
        program = PostgreSQLProgram(cluster.url(self.name))
        try:
            return program.run(sql, *args)
        finally:
            program.close()


@pytest.fixture
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = Path(tempfile.mkdtemp(prefix="bindserver-pg-"))
    folder.chmod(0o755)
    pair = Pair(folder, tmp_path_factory.mktemp("templates"))
    pair.run(pair.primary, "INSERT INTO app_product (id, name, price, stock, active) "
             "SELECT i, 'product', 1, 0, 1 FROM generate_series(1, 3) AS i")  # fmt: skip
    yield pair
    pair.close()
    shutil.rmtree(folder, ignore_errors=True)


def manage(url: str, *args: str) -> str:
    """Run a management command that is refused, and return what it says."""
    done = subprocess.run(
        [sys.executable, "manage.py", *args],
        cwd=ROOT,
        env=Server(Path("unused"), url=url).environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    return done.stdout + done.stderr


class TestAStandby:
    async def test_is_refused_by_the_installer_and_by_a_server_until_it_is_none(
        self, pair: Pair, tmp_path: Path
    ) -> None:
        said = manage(pair.standby.url(pair.name), "bindings", "capture", "install")
        assert "The server is a standby, which takes no writes; name the primary." in said
        with Server(tmp_path / "own", url=pair.standby.url(pair.name)) as server:
            assert f"capture on default: {REFUSED}" in server.log.read_text()
            async with talking(server.ws) as talk:
                await talk.say("products")
                refused = await talk.hear_data("products")
                assert refused["payload"]["code"] == "unavailable"
                assert REFUSED in server.log.read_text()
                pair.primary.stop("immediate")
                pair.standby.promote()
                while refused["action"] == "error":
                    await talk.say("products", ref="again")
                    refused = (await talk.hear())["data"]
                    refused.setdefault("action", "accepted")

    async def test_that_was_the_primary_makes_views_stale_until_the_address_leads_elsewhere(
        self, pair: Pair, tmp_path: Path
    ) -> None:
        with Server(tmp_path / "own", url=pair.url) as server:
            async with talking(server.ws) as talk:
                products = await talk.follow("products")
                pair.catch_up()
                pair.primary.demote()
                await talk.until(lambda: products.replica.stale)
                wait_for(lambda: REFUSED in server.log.read_text())
                pair.standby.promote()
                pair.run(pair.standby, "UPDATE app_product SET stock = 6")
                await talk.silence(1)
                assert products.replica.stale
                pair.address.point(pair.standby.port)
                await talk.until(lambda: products.column("stock") == [6, 6, 6], 30)
                assert not products.replica.stale


class TestAFailover:
    async def test_keeps_sockets_open_and_proves_nothing_to_who_comes_back(
        self, pair: Pair, tmp_path: Path
    ) -> None:
        with Server(tmp_path / "own", url=pair.url) as server:
            async with talking(server.ws) as talk:
                products, words = await talk.follow("products"), await talk.follow("words")
                old = copy_of(products)
                pair.run(pair.primary, "UPDATE app_product SET stock = 1 WHERE id = 1")
                await talk.until(lambda: products.column("stock") == [1, 0, 0])
                pair.catch_up()
                pair.primary.stop("immediate")
                await talk.until(lambda: products.replica.stale and words.replica.stale)
                pair.standby.promote()
                pair.run(pair.standby, "UPDATE app_product SET stock = 2 WHERE id = 2")
                pair.address.point(pair.standby.port)
                await talk.until(lambda: products.column("stock") == [1, 2, 0], 30)
                await talk.until(lambda: not words.replica.stale)
                assert "sync" not in products.actions[1:]
        with server:
            again = await resume(server, "products", old)
            assert again.actions == ["sync"]
            assert again.column("stock") == [1, 2, 0]

    async def test_to_one_that_lacked_the_last_commits_takes_them_back(
        self, pair: Pair, tmp_path: Path
    ) -> None:
        with Server(tmp_path / "own", url=pair.url) as server:
            async with talking(server.ws) as talk:
                products = await talk.follow("products")
                pair.catch_up()
                pair.standby.stop()
                for number in range(1, 6):
                    pair.run(pair.primary, "UPDATE app_product SET stock = ?", number)
                pair.run(pair.primary, "DELETE FROM app_product WHERE id = 2")
                await talk.until(lambda: products.column("stock") == [5, 5])
                lost, lost_too = copy_of(products), copy_of(products)
                pair.primary.stop("immediate")
                pair.standby.start()
                pair.standby.promote()
                for number in range(1, 6):  # the numbers of the transactions that are lost
                    pair.run(pair.standby, "UPDATE app_product SET stock = ? WHERE id = 3", number)
                pair.address.point(pair.standby.port)
                await talk.until(lambda: products.column("stock") == [0, 0, 5], 30)
                again = await talk.follow("products", cursor=lost.cursor, held=lost.replica.held)
                for frame in again.frames:
                    lost.take(frame)
                assert lost.column("stock") == [0, 0, 5]
            with Server(tmp_path / "other", url=pair.url) as other:
                again = await resume(other, "products", lost_too)
                assert again.actions == ["sync"]
                assert again.column("id") == [1, 2, 3]

    async def test_is_found_by_the_driver_among_several_hosts(
        self, pair: Pair, tmp_path: Path
    ) -> None:
        url = (
            f"postgresql://postgres@/{pair.name}?target_session_attrs=read-write"
            f"&host=127.0.0.1,127.0.0.1&port={pair.standby.port},{pair.primary.port}"
        )
        with Server(tmp_path / "own", url=url) as server:
            async with talking(server.ws) as talk:
                products = await talk.follow("products")
                pair.catch_up()
                pair.primary.stop("immediate")
                await talk.until(lambda: products.replica.stale)
                pair.standby.promote()
                pair.run(pair.standby, "UPDATE app_product SET stock = 3")
                await talk.until(lambda: products.column("stock") == [3, 3, 3], 30)


async def test_another_mariadb_behind_the_address_that_lacks_the_last_commits(
    maria: MariaDB, maria_template: dict[bool, str], tmp_path: Path
) -> None:
    name, there = maria.make(), MariaDB().start()
    with closing(there.connect("")) as admin:
        admin.query(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    there.load(name, maria_template[True])
    url = "mysql://root@127.0.0.1:{}/" + name
    with closing(Forwarder(there.port)) as address, closing(MariaDBProgram(there, name)) as program:
        program.add_products(3)
        maria.load(name, there.dump(name))
        with Server(tmp_path / "own", url=url.format(address.port)) as server:
            async with talking(server.ws) as talk:
                products = await talk.follow("products")
                program.run("UPDATE app_product SET stock = 5")
                program.run("DELETE FROM app_product WHERE id = 2")
                await talk.until(lambda: products.column("stock") == [5, 5])
                lost = copy_of(products)
                there.remove()
                await talk.until(lambda: products.replica.stale)
                address.point(maria.port)
                await talk.until(lambda: products.column("stock") == [0, 0, 0], 30)
                assert not products.replica.stale
        with server:
            again = await resume(server, "products", lost)
            assert again.actions == ["sync"]
            assert again.column("id") == [1, 2, 3]


def copy_of(following: Following) -> Following:
    """Return what a client has now, for one that goes away with it."""
    copy = Following(following.accepted)
    for frame in following.frames:
        copy.take(frame)
    return copy
