"""The log as an operator reads it: who came and went, and why, and no secret."""

from __future__ import annotations

import json

import pytest

from bindserver.engine.frames import Frame
from tests.conftest import MakeServer, program_on
from tests.support.metrics import lines_of, scraped_until
from tests.support.server import Server
from tests.support.talk import talking

JSON_LOG = {"LOG_FORMAT": "json"}
HERE = ["127.0.0.1"]


@pytest.fixture(scope="module")
def server(make_server: MakeServer) -> Server:
    return make_server(environment=JSON_LOG, METRICS_ALLOW=HERE).start()


async def closed(server: Server, count: int = 0) -> None:
    """Wait until nobody is connected."""
    await scraped_until(
        server,
        lambda m: m.value("connections") == 0 and m.value("connections_closed_total") >= count,
    )


async def test_a_connection_has_a_line_when_it_opens_and_one_when_it_ends(server: Server) -> None:
    program = program_on(server)
    program.clean()
    program.add_products(2)
    cookie = program.log_in("ann")
    [user] = program.run("SELECT id FROM auth_user WHERE username = 'ann'")
    async with talking(server.ws, {**cookie, "User-Agent": "test 1.0"}) as talk:
        await talk.follow("products")
    await closed(server)
    opened, ended = lines_of(server, "bindserver.connection")[-2:]
    assert opened["connection"] == ended["connection"]
    for line in (opened, ended):
        assert line["user"] == str(user[0])
        assert line["address"] == "127.0.0.1"
        assert line["transport"] == "websocket"
        assert line["level"] == "INFO"
    assert opened["agent"] == "test 1.0"
    assert (ended["code"], ended["by_us"]) == (1000, False)
    assert ended["frames"] == len(talk.heard) == 2
    texts = [json.dumps(message, separators=(",", ":")) for message in talk.heard]
    assert ended["bytes"] == sum(len(Frame.of(text).wire) for text in texts)
    assert float(str(ended["seconds"])) > 0
    text = server.log.read_text()
    assert "product 1" not in text
    assert cookie["Cookie"].partition("=")[2] not in text


async def test_nobody_forges_a_line(server: Server) -> None:
    async with talking(server.ws, {"User-Agent": 'x" forged\x85 ERROR'}) as talk:
        await talk.ping()
        await talk.socket.close(reason="\nERROR bindserver: all is lost")
    await closed(server)
    text = server.log.read_text()
    assert "\x85" not in text
    assert not any(line.startswith("ERROR bindserver") for line in text.splitlines())
    assert all(line.startswith("{") for line in text.splitlines() if "forged" in line)


async def test_refused_origins_are_told_sparsely_with_a_count(server: Server) -> None:
    for number in range(15):
        async with talking(server.ws, {"Origin": f"https://evil{number}.example"}) as talk:
            assert await talk.closed() == 4403
    told = [
        line
        for line in lines_of(server, "bindserver.connection")
        if "a page may not connect" in str(line["message"])
    ]
    assert len(told) == 10
    assert "'https://evil0.example'" in str(told[0]["message"])
    assert told[0]["level"] == "WARNING"


async def test_a_token_that_proves_nothing_is_told_and_not_shown(server: Server) -> None:
    async with talking(server.ws) as talk:
        await talk.say("$auth", token="hunter2-hunter2")
        await talk.hear_data("$auth")
    await closed(server)
    *_, refused, _ended = lines_of(server, "bindserver.connection")
    assert "a client has not proved who it is: the token is not valid" in str(refused["message"])
    assert "hunter2" not in server.log.read_text()


async def test_params_and_rows_reach_no_line(server: Server) -> None:
    program = program_on(server)
    program.clean()
    program.run("INSERT INTO app_category VALUES (4711, 'secret category')")
    async with talking(server.ws) as talk:
        await talk.follow("in_category", params={"category": 4711})
        await talk.say("in_category", params={"category": "no number: 0815"})
        await talk.ping()
    await closed(server)
    text = server.log.read_text()
    assert "4711" not in text
    assert "0815" not in text
    assert "secret category" not in text


def test_all_lines_of_the_server_are_json_where_that_is_wanted(server: Server) -> None:
    said = server.log.read_text().splitlines()
    served = [line for line in said if line.startswith("{")]
    loggers = {json.loads(line)["logger"].partition(".")[0] for line in served}
    assert {"bindserver", "uvicorn"} <= loggers


async def test_what_fails_for_everybody_is_told_once(make_server: MakeServer) -> None:
    with make_server(METRICS_ALLOW=HERE, environment=JSON_LOG) as server:
        program = program_on(server)
        cookie = program.log_in("ann")
        program.run("ALTER TABLE django_session RENAME TO moved")
        try:
            for _ in range(5):
                async with talking(server.ws, cookie) as talk:
                    assert await talk.closed() == 1013
        finally:
            program.run("ALTER TABLE moved RENAME TO django_session")
        lines = lines_of(server, "bindserver.websocket")
        told = [line for line in lines if "a session cannot be read" in str(line["message"])]
        assert len(told) == 1
        assert "Traceback" in str(told[0]["traceback"])
