"""What breaks is ridden out: sockets stay, others go on, and all heals by itself."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError

from bindserver import Binding
from bindserver.cycle.cycle import Cycle
from bindserver.cycle.delivery import Outbound
from bindserver.cycle.inbox import Caller, Snapshot, SnapshotRequest, SubscriptionRef
from bindserver.cycle.live_view import LiveView, ViewState
from bindserver.cycle.outage import out_of_reach
from bindserver.cycle.turn import Turn
from bindserver.cycle.view_store import ViewStore
from bindserver.cycle.waiting import Reading
from bindserver.engine.events import Arrived
from bindserver.exceptions import Unavailable
from bindserver.queries.query import Query
from tests.app.bindings import ProductBinding
from tests.conftest import MakeServer, program_on
from tests.servers.transports.test_rest import ask
from tests.support.program import Program
from tests.support.server import Server
from tests.support.talk import Following, Talk, talking


async def once_well(talk: Talk, event: str = "fragile") -> Following:
    """Follow a binding as a client does that asks again: an earlier test may have broken it."""
    await talk.say(event)
    while (await talk.hear())["event"] != "$subscribed":
        assert talk.heard[-1]["data"]["payload"]["code"] == "internal"
        await asyncio.sleep(0.1)
        await talk.say(event)
    following = talk.following(event)
    await talk.until(lambda: following.actions)
    return following


class TestABrokenBinding:
    async def test_goes_stale_alone_and_heals_when_the_row_is_mended(
        self, talk: Talk, program: Program
    ) -> None:
        program.add_products(2)
        fragile, products = await once_well(talk), await talk.follow("products")
        program.run("UPDATE app_product SET name = 'broken' WHERE id = 1")
        await talk.until(lambda: fragile.replica.stale and products.column("name")[0] == "broken")
        assert fragile.column("name") == ["product 1", "product 2"]
        program.add_products(1, first=3)
        await talk.until(lambda: products.column("id") == [1, 2, 3])
        program.run("UPDATE app_product SET name = 'mended' WHERE id = 1")
        await talk.until(lambda: not fragile.replica.stale)
        assert fragile.column("name") == ["mended", "product 2", "product 3"]
        assert fragile.actions == ["sync", "stale", "batch"]

    async def test_heals_to_ok_when_nothing_was_missed(self, talk: Talk, program: Program) -> None:
        program.add_products(1)
        fragile = await once_well(talk)
        program.run("UPDATE app_product SET name = 'broken' WHERE id = 1")
        await talk.until(lambda: fragile.replica.stale)
        program.run("UPDATE app_product SET name = 'product 1' WHERE id = 1")
        await talk.until(lambda: not fragile.replica.stale)
        assert fragile.actions == ["sync", "stale", "ok"]

    async def test_who_comes_meanwhile_is_told_why_and_served_when_it_is_well(
        self, server: Server, talk: Talk, program: Program
    ) -> None:
        program.add_products(1)
        async with talking(server.ws) as other:
            fragile = await once_well(other)
            program.run("UPDATE app_product SET name = 'broken' WHERE id = 1")
            await other.until(lambda: fragile.replica.stale)
            await talk.say("fragile", ref=1)
            told = await talk.hear_data("fragile")
            assert (told["action"], told["ref"]) == ("error", 1)
            assert told["payload"]["code"] == "internal"
            reference = told["payload"]["detail"].rpartition("reference ")[2]
            assert server.log.read_text().count(reference) == 1
            program.run("UPDATE app_product SET name = 'mended' WHERE id = 1")
            await other.until(lambda: fragile.column("name") == ["mended"])
            assert (await once_well(talk)).actions == ["sync"]

    async def test_who_comes_back_with_rows_meanwhile_keeps_them(
        self, server: Server, talk: Talk, program: Program
    ) -> None:
        program.add_products(1)
        async with talking(server.ws) as other:
            had = await once_well(other)
            program.run("UPDATE app_product SET name = 'broken' WHERE id = 1")
            await other.until(lambda: had.replica.stale)
        await talk.say("fragile", cursor=had.cursor, held=[1])
        await talk.hear_data("$subscribed")
        assert (await talk.hear_data("fragile"))["action"] == "stale"
        program.run("UPDATE app_product SET name = 'mended' WHERE id = 1")
        fragile = talk.following("fragile")
        await talk.until(lambda: fragile.column("name") == ["mended"])
        assert fragile.actions == ["stale", "update"]

    async def test_that_has_never_been_read_refuses_until_it_can_be(
        self, make_server: MakeServer
    ) -> None:
        server = make_server().start()
        program = program_on(server)
        program.add_products(1)
        program.run("UPDATE app_product SET name = 'broken'")
        async with talking(server.ws) as talk:
            answers = []
            for ref in (1, 2):
                await talk.say("fragile", ref=ref)
                answers.append(await talk.hear_data("fragile"))
            assert [answer["action"] for answer in answers] == ["error", "error"]
            assert [answer["ref"] for answer in answers] == [1, 2]
            assert answers[0]["payload"] == answers[1]["payload"]
            assert answers[0]["payload"]["code"] == "internal"
            assert "secret" not in answers[0]["payload"]["detail"]
            program.run("UPDATE app_product SET name = 'mended'")
            while answers[-1].get("action") == "error":
                await asyncio.sleep(0.1)  # as a client does that asks again
                await talk.say("fragile")
                answers.append((await talk.hear())["data"])
            await talk.until(lambda: talk.following("fragile").column("name") == ["mended"])
        program.close()
        assert server.log.read_text().count("Traceback") == 1

    async def test_tells_nobody_why(self, server: Server, talk: Talk, program: Program) -> None:
        program.add_products(1)
        fragile = await once_well(talk)
        program.run("UPDATE app_product SET name = 'broken' WHERE id = 1")
        await talk.until(lambda: fragile.replica.stale)
        assert "secret" not in json.dumps(talk.heard)
        assert "a secret of the serializer" in server.log.read_text()

    async def test_that_cannot_say_what_it_serves_is_asked_again_now_and_then(
        self, server: Server, talk: Talk, program: Program
    ) -> None:
        program.add_products(1)
        touchy, products = await talk.follow("touchy"), await talk.follow("products")
        program.run("INSERT INTO app_tag VALUES (1, 'touchy')")
        await talk.until(lambda: touchy.replica.stale)
        for number in range(20):
            program.run("UPDATE app_product SET name = ?", f"name {number}")
            await talk.shows(products, "name", [f"name {number}"])
        assert server.log.read_text().count("a secret of the binding") < 10
        assert touchy.column("name") == ["product 1"]
        program.run("DELETE FROM app_tag")
        await talk.until(lambda: touchy.column("name") == ["name 19"] and not touchy.replica.stale)

    async def test_over_http_is_500_at_once(
        self, server: Server, talk: Talk, program: Program
    ) -> None:
        program.add_products(1)
        fragile = await once_well(talk)
        program.run("UPDATE app_product SET name = 'broken' WHERE id = 1")
        await talk.until(lambda: fragile.replica.stale)
        await asyncio.sleep(2)  # by now it is set aside for longer
        began = time.monotonic()
        answer = await asyncio.to_thread(ask, server, "/bindings/fragile/")
        assert answer.status == 500
        assert b"secret" not in answer.body
        reference = json.loads(answer.body)["detail"].rpartition("reference ")[2]
        assert server.log.read_text().count(reference) == 1
        assert time.monotonic() - began < 1

    async def test_that_nobody_follows_any_more_costs_nothing(
        self, server: Server, talk: Talk, program: Program
    ) -> None:
        program.add_products(1)
        fragile, products = await once_well(talk), await talk.follow("products")
        program.run("UPDATE app_product SET name = 'broken' WHERE id = 1")
        await talk.until(lambda: fragile.replica.stale)
        await talk.say("fragile", disconnect=True)
        await asyncio.sleep(1)  # past the time at which it would be tried again
        before = cpu_seconds(server.pid)
        await asyncio.sleep(1)
        assert cpu_seconds(server.pid) - before < 0.5
        assert not products.replica.stale


def cpu_seconds(pid: int) -> float:
    """Return how much time a process has computed so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class TestALostDatabase:
    @pytest.fixture
    def own(self, make_server: MakeServer) -> Server:
        """A server whose database may be harmed."""
        server = make_server(QUERY_SECONDS=1)
        program = program_on(server)
        program.add_products(3)
        program.close()
        return server.start()

    async def follow(self, talk: Talk) -> Following:
        products = await talk.follow("products")
        assert products.column("id") == [1, 2, 3]
        return products

    async def test_that_is_locked_for_a_while_is_waited_for(self, own: Server) -> None:
        program = program_on(own)
        async with talking(own.ws) as talk, talking(own.ws) as other:
            products = await self.follow(talk)
            program.run("BEGIN EXCLUSIVE")
            program.run("UPDATE app_product SET stock = 1")
            await asyncio.sleep(1)
            await other.ping(1)
            assert (await other.follow("by_stock")).column("stock") == [0, 0, 0]
            program.run("COMMIT")
            program.close()
            await talk.until(lambda: products.column("stock") == [1, 1, 1], 30)
            assert not products.replica.stale

    async def test_a_file_that_is_moved_away_and_back(self, own: Server) -> None:
        away = own.database.with_suffix(".away")
        async with talking(own.ws) as talk:
            products = await self.follow(talk)
            move_database(own.database, away)
            await talk.until(lambda: products.replica.stale, 5)
            await talk.ping(1)
            await talk.say("tags", ref="meanwhile")
            data = await talk.hear_data("tags")
            assert data["payload"]["code"] == "unavailable"
            assert not own.database.exists()
            move_database(away, own.database)
            program = program_on(own)
            program.run("UPDATE app_product SET stock = 5")
            await talk.until(lambda: products.column("stock") == [5, 5, 5], 30)
            assert not products.replica.stale
            assert (await talk.follow("tags")).actions == ["sync"]
            program.close()

    async def test_a_restored_backup_is_noticed_and_followed(self, own: Server) -> None:
        backup = own.database.with_suffix(".backup")
        program = program_on(own)
        program.run("VACUUM INTO ?", str(backup))
        async with talking(own.ws) as talk:
            products = await self.follow(talk)
            program.run("UPDATE app_product SET stock = 5")
            await talk.until(lambda: products.column("stock") == [5, 5, 5])
            program.close()
            for suffix in ("-wal", "-shm"):
                Path(f"{own.database}{suffix}").unlink(missing_ok=True)
            backup.replace(own.database)
            await talk.until(lambda: products.column("stock") == [0, 0, 0], 30)
            program = program_on(own)
            program.run("UPDATE app_product SET stock = 6")
            await talk.until(lambda: products.column("stock") == [6, 6, 6], 30)
            program.close()

    async def test_a_file_that_is_no_database_any_more(self, own: Server) -> None:
        copy = own.database.with_suffix(".copy")
        program = program_on(own)
        program.run("VACUUM INTO ?", str(copy))
        program.close()
        async with talking(own.ws) as talk:
            products = await self.follow(talk)
            broken = own.database.with_suffix(".broken")
            broken.write_bytes(b"no database at all " * 1000)
            broken.replace(own.database)
            await talk.until(lambda: products.replica.stale, 5)
            for message in talk.heard:
                assert "not a database" not in json.dumps(message)
            for suffix in ("-wal", "-shm"):
                Path(f"{own.database}{suffix}").unlink(missing_ok=True)
            shutil.copy(copy, broken)
            broken.replace(own.database)
            await talk.until(lambda: not products.replica.stale, 30)
            assert products.column("id") == [1, 2, 3]

    async def test_over_http_is_503_to_who_is_signed_in_too(self, own: Server) -> None:
        program = program_on(own)
        anna = program.log_in("anna")
        program.close()
        move_database(own.database, own.database.with_suffix(".away"))
        answer = await asyncio.to_thread(ask, own, "/bindings/products/", **anna)
        assert answer.status == 503
        assert "sqlite" not in answer.body.decode().lower()

    async def test_over_http_is_503_and_heals(self, own: Server) -> None:
        away = own.database.with_suffix(".away")
        assert (await asyncio.to_thread(ask, own, "/bindings/products/")).status == 200
        move_database(own.database, away)
        answer = await asyncio.to_thread(ask, own, "/bindings/products/")
        assert answer.status == 503
        assert "sqlite" not in answer.body.decode().lower()
        move_database(away, own.database)
        until = time.monotonic() + 20
        while (await asyncio.to_thread(ask, own, "/bindings/products/")).status != 200:
            assert time.monotonic() < until
            await asyncio.sleep(0.1)


def move_database(source: Path, target: Path) -> None:
    """Move a database's file, its log of pages first written back."""
    connection = sqlite3.connect(source)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    for suffix in ("", "-wal", "-shm"):
        if Path(f"{source}{suffix}").exists():
            Path(f"{source}{suffix}").replace(f"{target}{suffix}")


def test_an_asker_who_went_away_does_not_hinder_the_word_that_the_database_is_lost() -> None:
    store = ViewStore("default", b"secret")
    binding: Binding[Any] = ProductBinding()
    live = LiveView(Query(binding), binding, b"secret")
    store._views[b"x"] = live
    gone, waiting = (
        SnapshotRequest(binding=ProductBinding, caller=Caller(), params={}) for _ in range(2)
    )
    live.await_rows([Reading(gone, live.position), Reading(waiting, live.position)])
    gone.answer.cancel()
    late: SnapshotRequest = SnapshotRequest(binding=ProductBinding, caller=Caller(), params={})
    late.answer.cancel()
    outbound = out_of_reach(store, [late])
    assert isinstance(outbound, Outbound)
    future: Future[Snapshot] = waiting.answer
    assert isinstance(future.exception(timeout=0), Unavailable)


async def test_a_log_that_is_removed_leaves_signals_and_comes_back_when_installed(
    make_server: MakeServer,
) -> None:
    server = make_server(COMPARE_SECONDS=1).start()
    program = program_on(server)
    program.add_products(1)
    async with talking(server.ws) as talk:
        products = await talk.follow("products")
        server.manage("bindings", "capture", "remove")
        program.add_products(1, first=2)
        await talk.until(lambda: products.column("id") == [1, 2])
        assert program.run("SELECT name FROM sqlite_master WHERE name = 'bindserver_log'") == []
        assert "was removed" in server.log.read_text()
        server.manage("bindings", "capture", "install")
        program.add_products(1, first=3)
        await talk.until(lambda: products.column("id") == [1, 2, 3])
        assert "the change log was installed" in server.log.read_text()
    program.close()


async def test_a_table_that_is_gone_makes_its_views_stale_until_it_is_back(
    make_server: MakeServer,
) -> None:
    server = make_server().start()
    program = program_on(server)
    program.add_products(1)
    program.run("INSERT INTO app_tag VALUES (1, 'a')")
    async with talking(server.ws) as talk:
        tags, products = await talk.follow("tags"), await talk.follow("products")
        program.run("ALTER TABLE app_tag RENAME TO elsewhere")
        await talk.until(lambda: tags.replica.stale)
        program.run("UPDATE elsewhere SET name = 'b'")
        program.add_products(1, first=2)
        await talk.until(lambda: products.column("id") == [1, 2])
        program.run("ALTER TABLE elsewhere RENAME TO app_tag")
        await talk.until(lambda: tags.column("name") == ["b"] and not tags.replica.stale)
        program.run("UPDATE app_tag SET name = 'c'")
        await talk.until(lambda: tags.column("name") == ["c"])
        assert not products.replica.stale
    program.close()


def test_nobody_is_told_that_they_have_all_of_a_state_which_a_lost_database_broke_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cycle = Cycle("default", b"secret")
    binding: Binding[Any] = ProductBinding()
    live = LiveView(Query(binding), binding, b"secret")
    live.state = ViewState.READY
    listener: Any = type("Listener", (), {"loop": None})()
    live.audience.add(SubscriptionRef(listener, 1))
    cycle._store._views[b"x"] = live
    behind: list[frozenset[Any]] = []

    def break_off(turn: Turn, *_: Any) -> bool:
        turn._context.outbound.add(live.audience, Arrived())
        raise OperationalError("gone")

    monkeypatch.setattr(cycle._link, "connect", lambda: (None, None))
    monkeypatch.setattr(cycle._turns, "_run_in_snapshot", break_off)
    monkeypatch.setattr(cycle._fanout, "send", lambda _, state, lagging: behind.append(lagging))
    with pytest.raises(OperationalError):
        cycle._take_turn([])
    assert behind == [frozenset({listener})]
