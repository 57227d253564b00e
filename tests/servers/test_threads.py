"""A thread of the server's that fails: whoever waits is told, and all goes on, or the process ends
and says so."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bindserver.supervision import EXIT_STATUS
from tests.conftest import MakeServer, program_on
from tests.servers.transports.test_rest import ask
from tests.support.probes import probe, ready
from tests.support.process import PATIENCE_SECONDS
from tests.support.server import Server
from tests.support.talk import Talk, talking

Problems = dict[str, str]


class Faulty:
    """A server with a fault that a test lets loose.

    Args:
        server: it.
        file: while it is there, the fault is at work.
    """

    def __init__(self, server: Server, file: Path) -> None:
        self.server = server
        self._file = file

    def begin(self) -> None:
        self._file.touch()

    def end(self) -> None:
        self._file.unlink()

    async def gone_wrong(self) -> None:
        """Wait until the fault has come about."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self._file.exists():
                await asyncio.sleep(0.01)

    async def probe(self, path: str) -> tuple[int, dict[str, Any]]:
        return await probe(self.server, path)

    async def told(self, path: str, of: str) -> str:
        """Return what a probe says of one part, once it does."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while of not in (problems := (await self.probe(path))[1].get("problems", {})):
                await asyncio.sleep(0.05)
        return str(problems[of])


MakeFaulty = Callable[..., Faulty]


@pytest.fixture
def faulty(make_server: MakeServer, tmp_path: Path) -> MakeFaulty:
    """Start a server with a fault, and with twenty products."""

    def make(fault: str, **settings: Any) -> Faulty:
        file = tmp_path / "fault"
        environment = {
            "DJANGO_SETTINGS_MODULE": "tests.support.faulty_settings",
            "PLANTED_FAULT": fault,
            "FAULT_FILE": str(file),
        }
        server = make_server(environment=environment, **settings)
        program = program_on(server)
        program.add_products(20)
        program.close()
        return Faulty(server.start(), file)

    return make


def write(server: Server, stock: int) -> None:
    program = program_on(server)
    program.run("UPDATE app_product SET stock = ?", stock)
    program.close()


@pytest.mark.parametrize("fault", ["turn_ends_once", "turn_fails_once"])
async def test_a_cycle_that_fails_says_that_rows_are_old_and_reads_all_afresh(
    faulty: MakeFaulty, fault: str
) -> None:
    wrong = faulty(fault)
    async with talking(wrong.server.ws) as talk:
        products = await talk.follow("products")
        wrong.begin()
        await asyncio.to_thread(write, wrong.server, 7)
        await talk.until(lambda: "stale" in products.actions)
        await talk.until(
            lambda: not products.replica.stale and products.column("stock") == [7] * 20
        )
        await asyncio.to_thread(write, wrong.server, 8)
        await talk.until(lambda: products.column("stock") == [8] * 20)
    assert (await wrong.probe("healthz"))[0] == 200
    await ready(wrong.server)
    log = wrong.server.log.read_text()
    assert log.count("the thread of cycle default has failed") == 1
    assert log.count("Traceback") == 1


async def test_who_asks_while_the_cycle_fails_is_told_so_and_served_afterwards(
    faulty: MakeFaulty,
) -> None:
    wrong = faulty("turn_ends_once")
    async with talking(wrong.server.ws) as talk:
        wrong.begin()
        answer = await asyncio.to_thread(ask, wrong.server, "/bindings/products/")
        assert answer.status in (200, 503)  # the turn may have served it before it failed
        await wrong.gone_wrong()
        products = await talk.follow("products")
        await talk.until(lambda: len(products.column("id")) == 20)
    assert (await asyncio.to_thread(ask, wrong.server, "/bindings/products/")).status == 200


async def test_a_subscription_in_a_turn_that_fails_is_refused_for_now(
    faulty: MakeFaulty,
) -> None:
    wrong = faulty("serving_fails_once")
    async with talking(wrong.server.ws) as talk:
        wrong.begin()
        await talk.say("products", ref=1)
        told = await talk.hear_data("products")
        assert (told["action"], told["payload"]["code"]) == ("error", "unavailable")
        products = await talk.follow("products")
        await talk.until(lambda: len(products.column("id")) == 20)


async def test_a_loader_that_fails_begins_anew_and_its_views_are_loaded(
    faulty: MakeFaulty,
) -> None:
    wrong = faulty("load_ends_once", SYNC_ROWS=5)
    async with talking(wrong.server.ws) as talk:
        wrong.begin()
        products = await talk.follow("products")
        await talk.until(lambda: len(products.replica.held) == 20)
        await asyncio.to_thread(write, wrong.server, 7)
        await talk.until(lambda: products.column("stock") == [7] * 20)
    log = wrong.server.log.read_text()
    assert log.count("the thread of loader default has failed") == 1
    await ready(wrong.server)


async def test_a_process_whose_cycle_fails_again_and_again_ends_with_a_status_that_says_so(
    faulty: MakeFaulty,
) -> None:
    wrong = faulty("turn_fails_always")
    process = wrong.server._process
    assert isinstance(process, subprocess.Popen)
    wrong.begin()
    await asyncio.to_thread(write, wrong.server, 7)
    assert await asyncio.to_thread(process.wait, PATIENCE_SECONDS) == EXIT_STATUS
    log = wrong.server.log.read_text()
    assert log.count("the thread of cycle default has failed") == 5
    assert f"the process ends with status {EXIT_STATUS}" in log


async def test_a_thread_that_is_gone_for_good_fails_both_probes_and_nobody_waits_for_it(
    faulty: MakeFaulty,
) -> None:
    wrong = faulty("thread_is_gone")
    async with talking(wrong.server.ws) as talk:
        await talk.follow("products")
        wrong.begin()
        await asyncio.to_thread(write, wrong.server, 7)
        assert await wrong.told("healthz", "cycle default") == "its thread has ended"
        assert await wrong.told("readyz", "cycle default") == "its thread has ended"
        await talk.say("tags", ref=1)
        refused = await _error(talk, "tags")
        assert refused["payload"]["code"] == "unavailable"
        answer = await asyncio.to_thread(ask, wrong.server, "/bindings/tags/")
        assert answer.status == 503


async def _error(talk: Talk, event: str) -> dict[str, Any]:
    while True:
        message = await talk.hear()
        if message["event"] == event and message["data"]["action"] == "error":
            data: dict[str, Any] = message["data"]
            return data


async def test_a_load_that_never_ends_makes_a_server_unready_after_a_time_that_is_set(
    faulty: MakeFaulty,
) -> None:
    wrong = faulty("load_never_ends", SYNC_ROWS=5, FIRST_ROWS_SECONDS=1)
    async with talking(wrong.server.ws) as talk:
        wrong.begin()
        await talk.say("products")
        told = await wrong.told("readyz", "views of default")
        assert told.startswith("somebody waits for the first rows of products for ")
        assert told.endswith(" s: it is still being loaded")
        assert (await wrong.probe("healthz"))[0] == 200
        wrong.end()
        await talk.until(lambda: any(m["data"].get("action") == "sync" for m in talk.heard))
        await ready(wrong.server)


@pytest.mark.parametrize("clients", [8, 100])
async def test_probes_are_answered_while_a_function_that_proves_tokens_holds_the_thread_pool(
    make_server: MakeServer, tmp_path: Path, clients: int
) -> None:
    hold = tmp_path / "hold"
    hold.touch()
    server = make_server(
        environment={"TICKET_HOLD": str(hold)},
        AUTHENTICATE="tests.app.tickets.by_held_ticket",
        AUTHENTICATE_SECONDS=PATIENCE_SECONDS,
    ).start()
    await ready(server)
    talks = [talking(server.ws) for _ in range(clients)]
    try:
        for talk in talks:
            await (await talk.__aenter__()).say("$auth", token="held")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while server.log.read_text().count("held") < 5:  # as many as the pool has threads
                await asyncio.sleep(0.05)
        for _ in range(3):
            assert await probe(server, "healthz") == (200, {"status": "alive"})
            assert await probe(server, "readyz") == (200, {"status": "ready"})
        assert hold.exists()
    finally:
        hold.unlink()
        for talk in talks:
            await talk.__aexit__(None, None, None)


async def test_a_function_that_wants_to_end_the_thread_fails_to_prove_and_no_more(
    make_server: MakeServer,
) -> None:
    server = make_server(AUTHENTICATE="tests.app.tickets.by_leaving").start()
    async with talking(server.ws) as talk, talking(server.ws) as other:
        for token in ("SystemExit", "KeyboardInterrupt", "CancelledError", "BaseException"):
            await talk.say("$auth", token=token, ref=token)
            told = await talk.hear_data("$auth")
            assert told["payload"]["code"] == "unavailable", told
        await other.follow("products")
    assert (await probe(server, "healthz"))[0] == 200


@pytest.mark.parametrize("capture", [True, False], ids=["log", "signals"])
async def test_a_redis_that_is_down_counts_only_where_writes_are_learned_from_it(
    make_server: MakeServer, tmp_path: Path, capture: bool
) -> None:
    pytest.importorskip("channels_redis")
    from tests.support.redis import Redis

    with Redis(tmp_path) as redis:
        server = make_server(capture=capture, environment={"REDIS_URL": redis.url}).start()
        await ready(server)
        redis.kill()
        part = "warnings" if capture else "problems"
        async with asyncio.timeout(PATIENCE_SECONDS):
            while part not in (told := await probe(server, "readyz"))[1]:
                await asyncio.sleep(0.05)
        status, content = told
        assert status == (200 if capture else 503)
        assert list(content[part]) == ["channel layer"]
        assert content[part]["channel layer"].startswith("out of reach since ")
        assert str(redis.port) not in json.dumps(content)
        redis.start()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await probe(server, "readyz") != (200, {"status": "ready"}):
                await asyncio.sleep(0.05)
