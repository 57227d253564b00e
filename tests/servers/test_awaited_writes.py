"""`$await`: a client hears when what it follows holds a write."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from typing import Any

import pytest

from bindserver import commit_token
from bindserver.client import BlockingClient, Client, NotSeen
from bindserver.cycle.commit_tokens import read
from bindserver.exceptions import NoToken
from tests.conftest import EVERY_DATABASE, MakeServer, program_on
from tests.support.program import Program
from tests.support.server import Server
from tests.support.talk import Talk

pytestmark = EVERY_DATABASE


def post(server: Server, path: str, **data: Any) -> str:
    """Write by a viewset; return the token of the answer."""
    url = f"http://127.0.0.1:{server.port}{path}"
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(data).encode(), headers)
    with urllib.request.urlopen(request) as answer:
        return str(answer.headers["Bindserver-Commit"])


async def test_it_is_told_when_the_rows_are_here(talk: Talk, server: Server) -> None:
    words = await talk.follow("words")
    token = await asyncio.to_thread(post, server, "/drf/bound/words/", text="new", count=1)
    await talk.say("$await", token=token, ref=7)
    await talk.until(lambda: talk.heard[-1]["event"] == "$seen")
    assert talk.heard[-1]["data"] == {"ref": 7}
    assert words.column("text") == ["new"]


async def test_each_of_many_writes_of_another_program_is_held_when_it_is_told(
    server: Server, program: Program
) -> None:
    async with Client(server.ws) as client:
        both = [client.subscribe("products"), client.subscribe("cheapest")]
        for one in both:
            await one.ready()
        for number in range(60):
            await asyncio.to_thread(program.add_products, 1, number + 1)
            await client.seen(commit_token())
            assert len(both[0].rows) == number + 1
            assert both[0].get(number + 1) is not None


async def test_it_waits_for_first_rows_that_are_being_loaded(
    server: Server, program: Program
) -> None:
    program.add_products(3000)
    async with Client(server.ws) as client:
        products = client.subscribe("products", page_size=100)
        await client.seen(commit_token())
        assert len(products.rows) == 3000


async def test_it_waits_for_rows_that_are_loaded_anew(make_server: MakeServer) -> None:
    server = make_server(SYNC_ROWS=100).start()
    program = program_on(server)
    program.add_products(3000)
    async with Client(server.ws) as client:
        products = client.subscribe("products")
        await products.ready()
        for stock in range(5):
            await asyncio.to_thread(program.run, f"UPDATE app_product SET stock = {stock}")
            await client.seen(commit_token())
            assert {row["stock"] for row in products.rows} == {stock}
    program.close()


async def test_it_is_asked_again_by_another_connection(make_server: MakeServer) -> None:
    server = make_server().start()
    program = program_on(server)
    async with Client(server.ws) as client:
        products = client.subscribe("products")
        await products.ready()
        server.kill()
        program.add_products(1)
        waiting = asyncio.create_task(client.seen(commit_token()))
        server.start()
        await waiting
        assert len(products.rows) == 1
    program.close()


class TestWhatCannotBeKnown:
    @pytest.mark.parametrize("token", ["{}x", "nonsense", "a:b:c", ""])
    async def test_a_token_that_is_none_is_malformed(self, talk: Talk, token: str) -> None:
        await talk.say("$await", token=token.format(commit_token()), ref=7)
        message = await talk.hear()
        assert (message["event"], message["data"]["ref"]) == ("$await", 7)
        assert message["data"]["payload"]["code"] == "malformed"

    async def test_a_database_that_nobody_follows(self, talk: Talk) -> None:
        await talk.say("$await", token=commit_token("elsewhere"))
        message = await talk.hear()
        assert message["data"]["payload"]["code"] == "unavailable"
        assert "'elsewhere'" in message["data"]["payload"]["detail"]

    async def test_without_a_log_it_is_another_process_s_write(
        self, make_server: MakeServer
    ) -> None:
        server = make_server(capture=False, CAPTURE="signals").start()
        async with Client(server.ws) as client:
            words = client.subscribe("words")
            await words.ready()
            path = "/drf/bound/words/"
            await client.seen(await asyncio.to_thread(post, server, path, text="own", count=1))
            assert [row["text"] for row in words.rows] == ["own"]
            with pytest.raises(NotSeen, match="no change log") as caught:
                await client.seen(commit_token())
            assert caught.value.code == "unavailable"

    async def test_a_client_that_is_closed_or_not_open(self, server: Server) -> None:
        client = Client(server.ws)
        with pytest.raises(RuntimeError, match="async with"):
            await client.seen(commit_token())
        async with client:
            waiting = asyncio.create_task(client.seen(commit_token("elsewhere") + "x"))
            await asyncio.sleep(0)
        with pytest.raises(NotSeen):
            await waiting


async def test_what_only_reads_or_fails_has_no_token(server: Server) -> None:
    url = f"http://127.0.0.1:{server.port}/drf/bound/words/"

    def got() -> Any:
        with urllib.request.urlopen(url) as answer:
            return answer.headers["Bindserver-Commit"]

    assert await asyncio.to_thread(got) is None


async def test_code_that_does_not_await_waits_on_its_thread(
    server: Server, program: Program
) -> None:
    def wait() -> int:
        with BlockingClient(server.ws) as client:
            products = client.subscribe("products")
            program.add_products(1)
            client.seen(commit_token(), timeout=60)
            return len(products.rows)

    assert await asyncio.to_thread(wait) == 1


def test_a_token_says_where_the_write_was() -> None:
    assert read(commit_token("archive")).alias == "archive"
    assert read(commit_token()).is_ours
    with pytest.raises(NoToken):
        read("none")
