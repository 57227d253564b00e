"""A load that nobody here wrote: pgbench's TPC-B at full speed, while bindings follow its tables.

Each of its transactions adds the same amount to an account, a teller and a branch, and writes it
into the history. So in every committed state the sums of all four agree.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.servers import FAULTS_ON_POSTGRESQL
from tests.support.postgresql import Cluster
from tests.support.server import Server
from tests.support.talk import Following, Talk, talking

CLIENTS = 4
TRANSACTIONS = int(os.environ.get("PGBENCH_TRANSACTIONS", "1000"))
"""How many each of pgbench's clients makes, however long that takes on a busy machine."""
COLUMNS = {
    "branches": "bbalance",
    "tellers": "tbalance",
    "accounts": "abalance",
    "history": "delta",
}
SQL = {
    "branches": "SELECT bid, bbalance FROM pgbench_branches ORDER BY bid",
    "tellers": "SELECT tid, tbalance FROM pgbench_tellers ORDER BY tid",
    "accounts": "SELECT aid, abalance FROM pgbench_accounts ORDER BY aid",
    "history": "SELECT id, aid, delta FROM pgbench_history ORDER BY id",
}


class Bank:
    """pgbench's database, and the server that follows it."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.name = cluster.make_database()
        self._folder = folder
        self.server = self.serve()
        self.server.prepare(capture=False)
        cluster.run("pgbench", "-i", "-q", "-s", "1", cluster.url(self.name))
        cluster.psql(self.name, "ALTER TABLE pgbench_history ADD id bigserial PRIMARY KEY;")
        self.server.manage("bindings", "capture", "install")

    def serve(self, fault: str = "") -> Server:
        """Return a server on the database, with a fault planted in it or none."""
        return Server(
            self._folder / f"server{fault}",
            module="tests.projects.pgbench.settings",
            url=self.cluster.url(self.name),
            environment={"PLANTED_FAULT": fault},
        )

    def load(self) -> asyncio.Future[str]:
        """Start pgbench; the future has what it prints."""
        url = self.cluster.url(self.name)
        each = str(TRANSACTIONS)
        command = ("pgbench", "-n", "-c", str(CLIENTS), "-j", "2", "-t", each, url)
        return asyncio.ensure_future(asyncio.to_thread(self.cluster.output, *command))

    def rows(self, event: str) -> list[tuple[int, ...]]:
        """Return the rows of a table as they are now."""
        with self.cluster.connect(self.name) as connection:
            return connection.execute(SQL[event]).fetchall()


@pytest.fixture(scope="module")
def bank(postgresql: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bank]:
    bank = Bank(postgresql, tmp_path_factory.mktemp("pgbench"))
    with bank.server:
        yield bank


class Customer:
    """A client of all four bindings, which looks at the sums in every state that counts.

    While it subscribes to one after the other it holds them in several states; they are level at
    the first mark behind all four first answers. Marks that it heard before that speak of fewer.

    Attributes:
        level: whether all four have been of one state, and move together from then on.
        states: how many it has looked at.
    """

    def __init__(self, talk: Talk) -> None:
        self.talk = talk
        self.level = False
        self.states = 0
        self.following: dict[str, Following] = {}
        self._midway = False

    async def follow_all(self) -> None:
        await self.talk.say("$hello", want=["commit", "begin"])
        for event in COLUMNS:
            self.following[event] = await self.talk.follow(event)

    async def hear(self) -> None:
        """Take a message; between two marks a state is not whole yet."""
        message = await self.talk.hear()
        if message["event"] == "$begin":
            self._midway = True
        elif message["event"] == "$commit":
            self._midway = False
            self.level = True
        if self.level and not self._midway:
            self.check()

    async def hear_during(self, load: asyncio.Future[str]) -> None:
        """Hear as long as pgbench runs; its last transaction need not be the last to be heard."""
        while not load.done():
            hearing = asyncio.ensure_future(self.hear())
            either: set[asyncio.Future[Any]] = {hearing, load}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not hearing.done():
                hearing.cancel()
                await asyncio.wait({hearing})
            else:
                hearing.result()

    async def hear_more(self, bank: Bank) -> list[str]:
        """Hear further loads until there have been two states; return what pgbench printed.

        All of a load may pass within one on a busy machine, or while the client subscribes.
        """
        loads = []
        while self.states < 2:
            load = bank.load()
            await self.hear_during(load)
            loads.append(await load)
        return loads

    async def hear_all(self, load: asyncio.Future[str], bank: Bank) -> None:
        """Hear as long as pgbench runs, and then until nothing is missing, for a moment."""
        await self.hear_during(load)
        await self.settle(bank, seconds=3)

    async def settle(self, bank: Bank, seconds: float = 180) -> None:
        """Hear until it holds what the tables hold."""
        async with asyncio.timeout(seconds):
            while not self.holds(bank):
                await self.hear()

    def check(self) -> None:
        sums = self.sums()
        assert len(set(sums.values())) == 1, (self.states, sums)
        self.states += 1

    def sums(self) -> dict[str, int]:
        return {
            event: sum(row[column] for row in self.following[event].replica.rows_in_no_order)
            for event, column in COLUMNS.items()
        }

    def holds(self, bank: Bank) -> bool:
        return all(self.held(event) == bank.rows(event) for event in COLUMNS)

    def held(self, event: str) -> list[tuple[int, ...]]:
        return [tuple(row.values()) for row in self.following[event].replica.rows]


async def test_in_every_frames_state_the_balances_agree_and_the_end_is_the_table(
    bank: Bank,
) -> None:
    async with talking(bank.server.ws) as talk, talking(bank.server.ws) as late:
        customer, latecomer = Customer(talk), Customer(late)
        await customer.follow_all()
        load = bank.load()
        await customer.hear_during(load)
        await latecomer.follow_all()
        loads = [await load, *await customer.hear_more(bank)]
        await customer.settle(bank)
        await latecomer.settle(bank)
    print(f"{customer.states} states; {''.join(loads)}")
    assert all("number of failed transactions: 0" in processed for processed in loads)
    assert len(bank.rows("history")) == CLIENTS * TRANSACTIONS * len(loads)


async def test_a_client_that_subscribes_in_the_middle_agrees_from_its_first_state(
    bank: Bank,
) -> None:
    load = bank.load()
    async with talking(bank.server.ws) as talk:
        customer = Customer(talk)
        await customer.follow_all()
        await customer.hear_during(load)
        await load
        await customer.hear_more(bank)
        await customer.settle(bank)


@pytest.mark.parametrize("fault", sorted(FAULTS_ON_POSTGRESQL))
async def test_a_planted_fault_is_found(bank: Bank, fault: str) -> None:
    with bank.serve(fault) as faulty:
        async with talking(faulty.ws) as talk:
            customer = Customer(talk)
            await customer.follow_all()
            load = bank.load()
            with pytest.raises((AssertionError, TimeoutError)):
                await customer.hear_all(load, bank)
            await load


def test_pgbench_is_the_real_one(bank: Bank) -> None:
    assert "pgbench (PostgreSQL)" in bank.cluster.output("pgbench", "--version")
    with pytest.raises(subprocess.CalledProcessError):
        bank.cluster.output("pgbench", "-T", "1", "postgresql://127.0.0.1:1/none")
