"""WebSocket: who connects, how they prove who they are, and how a connection ends."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.conftest import EVERY_DATABASE, MakeServer
from tests.servers.transports.test_websocket import error_of
from tests.support.program import Program
from tests.support.server import Server
from tests.support.talk import Talk, talking

pytestmark = EVERY_DATABASE


class TestAuthenticating:
    async def test_a_session_is_proof(self, server: Server, program: Program) -> None:
        async with talking(server.ws, program.log_in("ann")) as talk:
            await talk.say("$auth", ref=5)
            data = await talk.hear_data("$auth")
            assert data["ref"] == 5
            assert isinstance(data["expires"], int)
            assert data["expires"] > 0

    async def test_nobody_logged_in_is_unauthenticated(self, talk: Talk) -> None:
        data = await error_of(talk, "$auth", '{"event": "$auth", "data": {"ref": 6}}')
        assert data["payload"]["code"] == "unauthenticated"
        assert data["ref"] == 6

    async def test_a_session_that_has_expired_is_no_proof(
        self, server: Server, program: Program
    ) -> None:
        headers = program.log_in("ann", expires="2020-01-01 00:00:00")
        async with talking(server.ws, headers) as talk:
            data = await error_of(talk, "$auth", '{"event": "$auth"}')
            assert data["payload"]["code"] == "unauthenticated"

    async def test_a_session_that_has_ended_since_is_no_proof(
        self, server: Server, program: Program
    ) -> None:
        async with talking(server.ws, program.log_in("ann")) as talk:
            await talk.say("$auth")
            assert (await talk.hear_data("$auth"))["expires"] > 0
            await talk.follow("products")
            program.run("DELETE FROM django_session")
            await talk.say("$auth")
            assert await talk.hear_data("products") == {"action": "disconnect", "code": "revoked"}
            data = await talk.hear_data("$auth")
            assert data["payload"]["code"] == "unauthenticated"

    async def test_a_session_that_cannot_be_read_is_told_to_try_later(
        self, server: Server, program: Program
    ) -> None:
        async with talking(server.ws, program.log_in("ann")) as talk:
            program.run("ALTER TABLE django_session RENAME TO moved")
            try:
                data = await error_of(talk, "$auth", '{"event": "$auth"}')
            finally:
                program.run("ALTER TABLE moved RENAME TO django_session")
            assert data["payload"]["code"] == "unavailable"
            assert "django_session" not in json.dumps(data)
            await talk.say("$auth")
            assert (await talk.hear_data("$auth"))["expires"] > 0

    async def test_a_wrong_token_is_none_and_changes_nothing(
        self, server: Server, program: Program
    ) -> None:
        async with talking(server.ws, program.log_in("ann")) as talk:
            data = await error_of(talk, "$auth", '{"event": "$auth", "data": {"token": "abc"}}')
            assert data["payload"]["code"] == "unauthenticated"
            assert "abc" not in json.dumps(data)

    async def test_a_token_of_the_wrong_type_is_malformed(self, talk: Talk) -> None:
        data = await error_of(talk, "$auth", '{"event": "$auth", "data": {"token": 5}}')
        assert data["payload"]["code"] == "malformed"

    async def test_a_forged_cookie_is_nobody(self, server: Server, program: Program) -> None:
        async with talking(server.ws, {"Cookie": "sessionid=" + "x" * 32}) as talk:
            data = await error_of(talk, "$auth", '{"event": "$auth"}')
            assert data["payload"]["code"] == "unauthenticated"


class TestConnecting:
    @pytest.mark.parametrize(
        "origin", ["https://evil.example", "null", "http://[", "http://127.0.0.1", "127.0.0.1"]
    )
    async def test_a_page_of_elsewhere_is_refused(self, server: Server, origin: str) -> None:
        async with talking(server.ws, {"Origin": origin}) as talk:
            assert await talk.closed() == 4403

    async def test_a_page_of_the_same_host_is_welcome(self, server: Server) -> None:
        async with talking(server.ws, {"Origin": f"http://127.0.0.1:{server.port}"}) as talk:
            await talk.ping()

    async def test_a_program_without_an_origin_is_welcome(self, talk: Talk) -> None:
        await talk.ping()

    async def test_origins_that_are_named_are_the_only_ones(self, make_server: MakeServer) -> None:
        with make_server(ORIGINS=["https://shop.example"]) as server:
            async with talking(server.ws, {"Origin": "https://shop.example"}) as talk:
                await talk.ping()
            async with talking(server.ws, {"Origin": f"http://127.0.0.1:{server.port}"}) as talk:
                assert await talk.closed() == 4403

    async def test_what_a_refused_page_says_is_not_heard(self, server: Server) -> None:
        async with talking(server.ws, {"Origin": "https://evil.example"}) as talk:
            with contextlib.suppress(ConnectionClosed):
                await talk.say("products")
            assert await talk.closed() == 4403
            assert talk.heard == []

    async def test_the_subprotocol_is_spoken_where_it_is_asked_for(self, server: Server) -> None:
        wanted = [Subprotocol("other"), Subprotocol("bindserver.v1")]
        async with talking(server.ws, subprotocols=wanted) as talk:
            assert talk.socket.subprotocol == "bindserver.v1"

    async def test_no_subprotocol_is_fine(self, talk: Talk) -> None:
        assert talk.socket.subprotocol is None
        await talk.ping()


class TestClosing:
    async def test_binary_messages_are_1003(self, talk: Talk) -> None:
        await talk.socket.send(b'{"event": "$ping"}')
        assert await talk.closed() == 1003

    async def test_large_messages_are_1009(self, make_server: MakeServer) -> None:
        with make_server(MAX_MESSAGE_BYTES=1000) as server:
            async with talking(server.ws) as talk:
                await talk.say_text(json.dumps({"event": "$ping", "data": "x" * 900}))
                await talk.hear()
                await talk.say_text(json.dumps({"event": "$ping", "data": "x" * 1000}))
                assert await talk.closed() == 1009
            async with talking(server.ws) as talk:
                await talk.say_text('{"event":"$ping","data":"' + "é" * 600 + '"}')
                assert await talk.closed() == 1009

    async def test_many_malformed_messages_are_4400(self, talk: Talk) -> None:
        for _ in range(20):
            await talk.say_text("no json")
        assert await talk.closed() == 4400
        codes = [m["data"]["payload"]["code"] for m in talk.heard]
        assert codes == ["malformed"] * 20

    async def test_too_many_messages_are_told_and_then_4429(self, make_server: MakeServer) -> None:
        with make_server(MAX_MESSAGES_BURST=10, MAX_MESSAGES_PER_SECOND=1) as server:
            async with talking(server.ws) as talk:
                for _ in range(40):
                    await talk.say_text('{"event": "$ping"}')
                assert await talk.closed() == 4429
                assert [m["event"] for m in talk.heard[:10]] == ["$pong"] * 10
                assert talk.heard[-1]["event"] == "$error"
                assert talk.heard[-1]["data"]["payload"]["code"] == "rate_limited"

    async def test_who_slows_down_is_heard_again(self, make_server: MakeServer) -> None:
        with make_server(MAX_MESSAGES_BURST=5, MAX_MESSAGES_PER_SECOND=20) as server:
            async with talking(server.ws) as talk:
                for _ in range(8):
                    await talk.say_text('{"event": "$ping"}')
                for _ in range(8):
                    await talk.hear()
                await asyncio.sleep(0.2)
                await talk.ping()

    async def test_what_is_refused_for_the_rate_is_named(self, make_server: MakeServer) -> None:
        with make_server(MAX_MESSAGES_BURST=3, MAX_MESSAGES_PER_SECOND=0.001) as server:
            async with talking(server.ws) as talk:
                for _ in range(3):
                    await talk.ping()
                text = '{"event": "in_category", "data": {"params": {"category": 1}, "ref": 8}}'
                data = await error_of(talk, "in_category", text)
                assert data["payload"]["code"] == "rate_limited"
                assert (data["ref"], data["params"]) == (8, {"category": 1})
                data = await error_of(talk, "$auth", '{"event": "$auth", "data": {"ref": 9}}')
                assert (data["ref"], data["payload"]["code"]) == (9, "rate_limited")

    async def test_leaving_is_never_refused_for_the_rate(self, make_server: MakeServer) -> None:
        with make_server(MAX_MESSAGES_BURST=20, MAX_MESSAGES_PER_SECOND=0.001) as server:
            async with talking(server.ws) as talk:
                for number in range(15):
                    await talk.follow("in_category", params={"category": number})
                for _ in range(10):
                    await talk.say_text('{"event": "$ping"}')
                for number in range(15):
                    params = {"category": str(number)}
                    await talk.say("in_category", params=params, disconnect=True, ref=number)
                heard = len(talk.heard)
                await talk.until(lambda: len(talk.heard) == heard + 10 + 15)
                said = talk.heard[heard:]
                left = [m["data"]["ref"] for m in said if m["event"] == "in_category"]
                assert left == list(range(15))
                assert sum(m["event"] == "$error" for m in said) == 5

    async def test_leaving_for_ever_is_4429(self, make_server: MakeServer) -> None:
        with make_server(
            MAX_MESSAGES_BURST=5, MAX_MESSAGES_PER_SECOND=0.001, MAX_SUBSCRIPTIONS=5
        ) as server:
            async with talking(server.ws) as talk:
                for _ in range(16):
                    await talk.say_text('{"event": "products", "data": {"disconnect": true}}')
                assert await talk.closed() == 4429

    async def test_too_many_subscriptions_are_refused_one_by_one(
        self, make_server: MakeServer
    ) -> None:
        with make_server(MAX_SUBSCRIPTIONS=2) as server:
            async with talking(server.ws) as talk:
                await talk.follow("products")
                await talk.follow("tags")
                data = await error_of(talk, "words", '{"event": "words", "data": {"ref": 9}}')
                assert data["payload"]["code"] == "too_many_subscriptions"
                assert data["ref"] == 9
                assert (await talk.follow("tags")).actions == ["sync"]
                await talk.say("tags", disconnect=True)
                await talk.hear_data("tags")
                assert (await talk.follow("words")).actions == ["sync"]


class TestTextThatIsNotUtf8:
    async def test_it_closes_the_connection_and_writes_no_traceback(
        self, server: Server, program: Program
    ) -> None:
        program.add_products(1)
        before = len(server.log.read_text())
        for text in (b"\xff", b"\xed\xa0\x80", b'{"event": "products\xc3"}'):
            async with talking(server.ws) as talk:
                await talk.follow("products")
                await talk.socket.send(text, text=True)
                assert await talk.closed() == 1007
        log = server.log.read_text()[before:]
        assert "Traceback" not in log, log
