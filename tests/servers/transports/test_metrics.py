"""`/metrics`: its numbers are what has happened, only some may read them, nobody is named."""

from __future__ import annotations

import asyncio
import json
import os
import urllib.request
from contextlib import AsyncExitStack

import pytest

from tests.conftest import MakeServer, program_on
from tests.support.client import Client
from tests.support.metrics import Metrics, scrape, scraped_until
from tests.support.process import get
from tests.support.program import Program
from tests.support.server import Server
from tests.support.talk import talking

HERE = ["127.0.0.1"]
EVENT = {"database": "default", "event": "products"}


@pytest.fixture(scope="module")
def server(make_server: MakeServer) -> Server:
    return make_server(METRICS_ALLOW=HERE).start()


def url(server: Server) -> str:
    return f"http://127.0.0.1:{server.port}/metrics"


async def test_the_numbers_are_what_has_happened(make_server: MakeServer) -> None:
    with make_server(METRICS_ALLOW=HERE) as server:
        program = program_on(server)
        program.add_products(2)
        async with AsyncExitStack() as stack:
            one, two, _ = [await stack.enter_async_context(talking(server.ws)) for _ in range(3)]
            following = await one.follow("products")
            await two.follow("products")
            await two.follow("tags")
            program.run("UPDATE app_product SET stock = 7 WHERE id = 1")
            await one.until(lambda: following.actions == ["sync", "update"])
            metrics = await scraped_until(server, lambda m: m.value("deltas_total", **EVENT) == 1)
            assert metrics.value("connections", transport="websocket") == 3
            assert metrics.value("connections_opened_total") == 3
            assert metrics.value("connections_closed_total") == 0
            assert metrics.value("subscriptions", **EVENT) == 2
            assert metrics.value("subscriptions", event="tags") == 1
            assert metrics.value("views", **EVENT) == 1
            assert metrics.value("rows", **EVENT) == 2
            assert metrics.value("view_bytes", **EVENT) > 2 * 60
            assert metrics.value("turn_seconds_count", database="default") >= 3
            assert metrics.value("turn_seconds_bucket", le="+Inf") == metrics.value(
                "turn_seconds_count"
            )
            assert metrics.value("database_up", database="default") == 1
            heard = sum(len(frame["event"]) > 0 for frame in one.heard + two.heard)
            assert metrics.value("frames_sent_total") >= heard
            assert metrics.value("sent_bytes_total") > 50 * heard
            await two.socket.close()
            metrics = await scraped_until(server, lambda m: m.value("subscriptions") == 1)
            assert metrics.value("connections") == 2
            assert metrics.value("connections_closed_total", code="1000") == 1
        program.run("DELETE FROM app_product")
        await scraped_until(server, lambda m: m.value("connections") == 0)


async def test_the_log_is_as_large_as_it_was_when_it_was_last_looked_at(
    make_server: MakeServer,
) -> None:
    server = make_server(METRICS_ALLOW=HERE)
    with server:
        program_on(server).add_products(2)
    with server:
        async with talking(server.ws) as talk:
            await talk.follow("products")
            await scraped_until(server, lambda m: m.value("log_entries", database="default") >= 2)


async def test_rows_that_go_are_counted_no_more(make_server: MakeServer) -> None:
    with make_server(METRICS_ALLOW=HERE) as server:
        program = program_on(server)
        program.add_products(3)
        async with talking(server.ws) as talk:
            following = await talk.follow("products")
            program.run("DELETE FROM app_product")
            await talk.until(lambda: following.column("id") == [])
            metrics = await scraped_until(server, lambda m: m.value("rows", **EVENT) == 0)
            assert metrics.value("views", **EVENT) == 1


async def test_who_is_refused_is_counted(server: Server) -> None:
    before = scrape(server)
    async with talking(server.ws, {"Origin": "https://evil.example"}) as talk:
        assert await talk.closed() == 4403
    async with talking(server.ws) as talk:
        await talk.say("$auth", token="wrong")
        assert (await talk.hear_data("$auth"))["action"] == "error"

    def counted(metrics: Metrics, name: str, **labels: str) -> float:
        return metrics.value(name, **labels) - before.value(name, **labels)

    after = await scraped_until(server, lambda m: counted(m, "connections_closed_total") == 2)
    assert counted(after, "origins_refused_total") == 1
    assert counted(after, "proofs_failed_total") == 1
    assert counted(after, "connections_closed_total", code="4403") == 1


async def test_messages_that_are_too_many_are_counted(make_server: MakeServer) -> None:
    with make_server(METRICS_ALLOW=HERE, MAX_MESSAGES_BURST=2, MAX_MESSAGES_PER_SECOND=0.01) as s:
        async with talking(s.ws) as talk:
            for _ in range(10):
                await talk.say("$ping")
            assert await talk.closed() == 4429
        metrics = await scraped_until(s, lambda m: m.value("connections") == 0)
        assert metrics.value("messages_rate_limited_total") == 3
        assert metrics.value("connections_closed_total", code="4429") == 1
        assert "is closed with 4429, too many messages" in s.log.read_text()


async def test_a_slow_client_is_lazy_and_then_closed(make_server: MakeServer) -> None:
    settings = {"SLOW_CLIENT_SECONDS": 1, "METRICS_ALLOW": HERE}
    with make_server(**settings) as server:
        program = program_on(server)
        program.add_products(20_000)
        program.run("UPDATE app_product SET name = ?", "x" * 1000)  # more than kernels hold
        client = await Client.open(server.ws)
        await client.send("products")
        metrics = await scraped_until(
            server, lambda m: m.value("connections_closed_total", code="4408") == 1
        )
        assert metrics.value("load_seconds_count") >= 1
        assert metrics.value("loads_running") == metrics.value("loads_waiting") == 0
        assert metrics.value("outbox_bytes") == 0
        assert "is closed with 4408, the client reads too slowly" in server.log.read_text()
        client.abort()


async def test_a_binding_that_fails_is_counted_by_its_event(server: Server) -> None:
    async with talking(server.ws) as talk:
        await talk.say("broken")
        metrics = await scraped_until(
            server, lambda m: m.value("errors_total", event="broken", kind="failed") >= 1
        )
        assert metrics.value("errors_total", event="products") == 0


async def test_without_its_database_a_server_tells_that_it_is_lost(
    make_server: MakeServer,
) -> None:
    with make_server(METRICS_ALLOW=HERE, QUERY_SECONDS=1, STALE_SECONDS=1) as server:
        async with talking(server.ws) as talk:
            await talk.follow("products")
            away = server.database.rename(server.database.with_suffix(".away"))
            metrics = await scraped_until(server, lambda m: m.value("database_up") == 0)
            await scraped_until(server, lambda m: m.value("lag_seconds", database="default") > 1)
            assert metrics.value("views", **EVENT) == 1
            away.rename(server.database)
            await scraped_until(server, lambda m: m.value("database_up") == 1)


async def test_a_table_that_lost_its_triggers_is_told_by_metrics_and_probes(
    make_server: MakeServer,
) -> None:
    """A deploy that forgot to install them looks like this."""
    with make_server(METRICS_ALLOW=HERE, RUNTIME_INSTALL=False) as server:
        async with talking(server.ws) as talk:
            await talk.follow("products")
            assert scrape(server).value("unseen_tables", database="default") == 0
            program = program_on(server)
            for (name,) in program.run(
                "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'app_product'"
            ):
                program.run(f'DROP TRIGGER "{name}"')
            await scraped_until(server, lambda m: m.value("unseen_tables", database="default") == 1)
            status, text = get(f"http://127.0.0.1:{server.port}/readyz")
            warnings = json.loads(text)["warnings"]
            assert (status, list(warnings)) == (200, ["change log on default"])
            assert "app_product: no triggers" in warnings["change log on default"]
            program.close()


class TestWhoMayRead:
    def test_not_the_world_through_a_proxy_that_is_allowed(self, server: Server) -> None:
        """The proxy's own address may be in the list, whoever asks through it."""
        assert get(url(server))[0] == 200
        name = {"X-Forwarded-For": "203.0.113.9"}
        assert get(url(server), **name)[0] == 403
        assert get(url(server), Forwarded="for=203.0.113.9")[0] == 403

    def test_it_is_there_to_be_read(self, server: Server) -> None:
        request = urllib.request.Request(url(server), method="HEAD")
        with urllib.request.urlopen(request) as response:
            assert response.headers["Cache-Control"] == "no-store"
            assert response.headers["Content-Type"].startswith("text/plain; version=")
            assert response.read() == b""
        assert get(url(server), Host="10.0.0.7")[0] == 200


async def test_nothing_personal_is_in_it(make_server: MakeServer) -> None:
    with make_server(METRICS_ALLOW=HERE) as server:
        program: Program = program_on(server)
        program.run("INSERT INTO app_category VALUES (4711, 'a')")
        headers = {**program.log_in("wilhelmina"), "User-Agent": "agent-0815"}
        async with talking(server.ws, headers) as talk:
            await talk.follow("in_category", params={"category": 4711})
            await talk.follow("mine")
            await talk.say("unheard_of_event")
            await talk.ping()
            metrics = await asyncio.to_thread(scrape, server)
        for text in ("4711", "wilhelmina", "agent-0815", "unheard_of_event", "127.0.0.1"):
            assert text not in metrics.text
        known = {"default", "in_category", "mine", "websocket", "signals", "log"}
        others = metrics.labels() - known - {str(server.pid)}
        assert all(not label[:1].isalpha() or label.islower() for label in others), others


def test_each_process_names_itself(server: Server) -> None:
    metrics = scrape(server)
    assert {sample.labels["pid"] for sample in metrics.samples} == {str(server.pid)}
    assert str(os.getpid()) not in metrics.labels()


async def test_one_scrape_tells_of_all_workers(make_server: MakeServer) -> None:
    with make_server(METRICS_ALLOW=HERE, workers=2) as server:
        async with AsyncExitStack() as stack:
            talks = [await stack.enter_async_context(talking(server.ws)) for _ in range(12)]
            in_a_row = 0

            def known(metrics: Metrics) -> bool:
                nonlocal in_a_row
                all_told = metrics.value("info") == 2 and metrics.value("connections") == len(talks)
                in_a_row = in_a_row + 1 if all_told else 0
                return in_a_row == 12

            # Whichever of the two answers, once each has read what the other wrote last.
            metrics = await scraped_until(server, known)
            assert str(server.pid) not in metrics.labels()
