"""The WebSocket chapter of the wire contract, with a real server and real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.conftest import EVERY_DATABASE, MakeServer, Program
from tests.support.server import Server
from tests.support.talk import Talk, talking

pytestmark = EVERY_DATABASE


async def error_of(talk: Talk, event: str, text: str) -> dict[str, Any]:
    """Say something, and return the error that answers it, when it has the contract's form."""
    await talk.say_text(text)
    data = await talk.hear_data(event)
    assert data["action"] == "error"
    assert set(data["payload"]) == {"code", "detail"}
    assert isinstance(data["payload"]["detail"], str)
    return data


class TestSubscribing:
    async def test_is_accepted_before_the_first_frame(self, talk: Talk, program: Program) -> None:
        program.add_products(2)
        await talk.say("products", ref=17)
        accepted, sync = await talk.hear(), await talk.hear()
        assert accepted == {
            "event": "$subscribed",
            "data": {"ref": 17, "event": "products", "params": {}, "key": "id", "ordered": True},
        }
        row = {"name": "product 1", "price": "1.00", "stock": 0, "category": None}
        assert sync["event"] == "products"
        assert set(sync["data"]) == {"action", "payload", "cursor"}
        assert sync["data"]["action"] == "sync"
        assert sync["data"]["payload"][0] == {"id": 1, **row}
        assert len(sync["data"]["cursor"]) <= 512

    async def test_acceptance_comes_first_after_any_number_of_pings(self, talk: Talk) -> None:
        """An answer must not overtake what was said before it."""
        for _ in range(20):
            await talk.ping()
            following = await talk.follow("products")
            assert following.actions == ["sync"]

    async def test_without_a_ref_there_is_none_in_the_answer(self, talk: Talk) -> None:
        following = await talk.follow("products")
        assert "ref" not in following.accepted

    @pytest.mark.parametrize("ref", ["a mark", 17, 1.5, 0])
    async def test_a_ref_comes_back_as_it_was(self, talk: Talk, ref: Any) -> None:
        assert (await talk.follow("tags", ref=ref)).accepted["ref"] == ref

    async def test_the_key_is_named_as_the_rows_have_it(self, talk: Talk) -> None:
        assert (await talk.follow("words")).accepted["key"] == "text"
        assert (await talk.follow("tokens")).accepted["key"] == "id"

    async def test_params_come_back_in_canonical_form_in_every_frame(
        self, talk: Talk, program: Program
    ) -> None:
        program.run("INSERT INTO app_category VALUES (3, 'toys')")
        program.add_products(2, category_id=3)
        following = await talk.follow("catalogue", params={"q": "product", "category": "3"})
        assert following.accepted["params"] == {"category": 3, "q": "product"}
        assert list(following.accepted["params"]) == ["category", "q"]
        program.run("UPDATE app_product SET stock = 5 WHERE id = 1")
        await talk.until(lambda: following.actions == ["sync", "update"])
        assert all(f["params"] == {"category": 3, "q": "product"} for f in following.frames)

    async def test_one_connection_holds_an_event_with_different_params(
        self, talk: Talk, program: Program
    ) -> None:
        program.run("INSERT INTO app_category VALUES (1, 'a'), (2, 'b')")
        program.add_products(2, category_id=1)
        program.add_products(1, first=3, category_id=2)
        one = await talk.follow("in_category", params={"category": 1})
        two = await talk.follow("in_category", params={"category": 2})
        assert (one.column("id"), two.column("id")) == ([1, 2], [3])
        program.run("UPDATE app_product SET category_id = 2 WHERE id = 1")
        await talk.until(lambda: one.column("id") == [2] and two.column("id") == [1, 3])
        assert one.actions == ["sync", "delete"]
        assert two.actions == ["sync", "create"]

    async def test_again_gives_a_fresh_answer_and_never_a_second_stream(
        self, talk: Talk, program: Program
    ) -> None:
        await talk.follow("catalogue", params={"category": 1})
        program.run("INSERT INTO app_category VALUES (1, 'a')")
        following = await talk.follow("catalogue", params={"category": "1"}, ref="again")
        assert following.accepted["ref"] == "again"
        assert following.actions == ["sync"]
        program.add_products(1, category_id=1)
        await talk.until(lambda: following.column("id") == [1])
        await talk.silence(0.2)
        assert following.actions == ["sync", "create"]

    async def test_fields_and_own_events_that_are_unknown_are_ignored(self, talk: Talk) -> None:
        await talk.say_text('{"event": "$news", "data": {"x": 1}}')
        await talk.say_text('{"event": "tags", "data": {"later": [1]}, "more": 1}')
        assert (await talk.hear_data("$subscribed"))["event"] == "tags"

    async def test_no_data_and_null_are_as_good_as_an_empty_object(self, talk: Talk) -> None:
        for text in ('{"event": "tags"}', '{"event": "tags", "data": null}'):
            await talk.say_text(text)
            assert (await talk.hear_data("$subscribed"))["params"] == {}
            assert (await talk.hear_data("tags"))["action"] == "sync"

    async def test_a_large_answer_comes_in_pages(self, talk: Talk, program: Program) -> None:
        program.add_products(250)
        following = await talk.follow("products", page_size=90)
        frames = following.frames
        assert [(f["page"], f["pages"], len(f["payload"])) for f in frames] == [
            (1, 3, 100),
            (2, 3, 100),
            (3, 3, 50),
        ]
        assert ["cursor" in f for f in frames] == [False, False, True]
        assert following.column("id") == list(range(1, 251))

    async def test_a_small_answer_has_no_pages(self, talk: Talk, program: Program) -> None:
        program.add_products(100)
        following = await talk.follow("products", page_size=100)
        assert "page" not in following.frames[0]


class TestUnsubscribing:
    async def test_ends_the_stream(self, talk: Talk, program: Program) -> None:
        await talk.follow("products")
        await talk.say("products", disconnect=True, ref="bye")
        data = await talk.hear_data("products")
        assert data == {"action": "disconnect", "ref": "bye"}
        program.add_products(1)
        await talk.silence(0.2)

    async def test_ends_the_subscription_of_these_params(
        self, talk: Talk, program: Program
    ) -> None:
        program.run("INSERT INTO app_category VALUES (1, 'a'), (2, 'b')")
        await talk.follow("in_category", params={"category": 1})
        other = await talk.follow("in_category", params={"category": 2})
        await talk.say("in_category", disconnect=True, params={"category": "1"})
        data = await talk.hear_data("in_category")
        assert data == {"action": "disconnect", "params": {"category": 1}}
        program.add_products(1, category_id=1)
        program.add_products(1, first=2, category_id=2)
        await talk.until(lambda: other.column("id") == [2])
        await talk.silence(0.1)

    async def test_from_what_was_never_subscribed_harms_nothing(self, talk: Talk) -> None:
        await talk.say("tags", disconnect=True)
        assert await talk.hear_data("tags") == {"action": "disconnect"}

    async def test_and_subscribing_again_works(self, talk: Talk) -> None:
        await talk.follow("tags")
        await talk.say("tags", disconnect=True)
        await talk.hear_data("tags")
        assert (await talk.follow("tags")).actions == ["sync"]


class TestErrors:
    @pytest.mark.parametrize(
        "text",
        [
            *("", "no json", "17", "[]", '"products"', "null", '{"data": {}}', '{"event": 5}'),
            *('{"event": ""}', '{"event": "' + "x" * 200 + '"}', '{"event": NaN}', "[" * 100_000),
        ],
    )
    async def test_what_names_no_event_is_malformed(self, talk: Talk, text: str) -> None:
        data = await error_of(talk, "$error", text)
        assert data["payload"]["code"] == "malformed"

    @pytest.mark.parametrize(
        "fields",
        [
            '"data": 5',
            '"data": {"params": []}',
            '"data": {"cursor": 5}',
            '"data": {"held": {}}',
            '"data": {"held": [1.5]}',
            '"data": {"held": [true]}',
            '"data": {"held": [9007199254740993]}',
            '"data": {"page_size": 0}',
            '"data": {"page_size": "many"}',
            '"data": {"disconnect": "yes"}',
            '"data": {"ref": []}',
        ],
    )
    async def test_fields_of_the_wrong_type_are_malformed(self, talk: Talk, fields: str) -> None:
        data = await error_of(talk, "products", f'{{"event": "products", {fields}}}')
        assert data["payload"]["code"] == "malformed"

    async def test_an_event_that_nobody_publishes(self, talk: Talk) -> None:
        data = await error_of(talk, "nothing", '{"event": "nothing", "data": {"ref": 1}}')
        assert data["payload"]["code"] == "unknown_event"
        assert data["ref"] == 1

    async def test_wrong_params(self, talk: Talk) -> None:
        text = '{"event": "in_category", "data": {"ref": 2, "params": {"category": "x"}}}'
        data = await error_of(talk, "in_category", text)
        assert data["payload"]["code"] == "invalid_params"
        assert data["params"] == {"category": "x"}
        assert data["ref"] == 2

    async def test_missing_and_unknown_params(self, talk: Talk) -> None:
        data = await error_of(talk, "in_category", '{"event": "in_category"}')
        assert data["payload"]["code"] == "invalid_params"
        data = await error_of(talk, "tags", '{"event": "tags", "data": {"params": {"x": 1}}}')
        assert data["payload"]["detail"] == "unknown params: x; known: none"

    async def test_wrong_params_do_not_unsubscribe_either(self, talk: Talk) -> None:
        text = '{"event": "tags", "data": {"disconnect": true, "params": {"x": 1}}}'
        assert (await error_of(talk, "tags", text))["payload"]["code"] == "invalid_params"

    async def test_too_many_rows(self, talk: Talk, program: Program) -> None:
        program.add_products(6)
        await talk.say("few", ref=3)
        assert (await talk.hear_data("$subscribed"))["ref"] == 3
        data = await talk.hear_data("few")
        assert data == {"action": "disconnect", "code": "too_large"}

    async def test_a_view_that_outgrows_its_limit_ends(self, talk: Talk, program: Program) -> None:
        program.add_products(5)
        following = await talk.follow("few")
        program.add_products(1, first=6)
        assert (await talk.hear_data("few")) == {"action": "disconnect", "code": "too_large"}
        program.run("DELETE FROM app_product WHERE id = 6")
        following = await talk.follow("few")
        assert following.column("id") == [1, 2, 3, 4, 5]

    async def test_a_binding_that_fails_says_only_a_reference(
        self, talk: Talk, server: Server
    ) -> None:
        data = await error_of(talk, "broken", '{"event": "broken", "data": {"ref": 4}}')
        assert data["payload"]["code"] == "internal"
        assert data["ref"] == 4
        assert "secret" not in json.dumps(data)
        reference = data["payload"]["detail"].rpartition(" ")[2]
        log = server.log.read_text()
        assert f"(reference {reference})" in log
        assert "a secret of the binding" in log

    async def test_one_bad_message_never_ends_the_connection(self, talk: Talk) -> None:
        following = await talk.follow("products")
        for text in ("no json", '{"event": "nothing"}', '{"event": "broken"}'):
            await talk.say_text(text)
            await talk.hear()
        await talk.ping()
        assert following.actions == ["sync"]

    async def test_any_depth_of_nesting_is_answered(self, talk: Talk) -> None:
        for depth in (60, 61, 62, 63, 64, 65, 500, 900, 960, 970, 1000, 5000):
            nested = "[" * depth + "]" * depth
            await talk.say_text(f'{{"event": "tags", "data": {{"params": {{"x": {nested}}}}}}}')
            assert (await talk.hear())["data"]["action"] == "error"

    async def test_half_a_character_comes_back(self, talk: Talk) -> None:
        await talk.say_text(
            '{"event": "tags", "data": {"ref": "\\ud800", "params": {"\\ud83d": 1}}}'
        )
        assert (await talk.hear_data("tags"))["ref"] == "\ud800"

    @pytest.mark.parametrize("category", [2**31, 2**63, -(2**63) - 1, 10**30])
    async def test_numbers_that_no_column_holds_match_nothing(
        self, talk: Talk, category: int
    ) -> None:
        following = await talk.follow("in_category", params={"category": category})
        assert following.replica.rows == []


class TestOwnEvents:
    @pytest.mark.parametrize("data", [None, 1, "x", [1, {"a": None}], {"t": 1.5}])
    async def test_a_ping_gets_its_data_back(self, talk: Talk, data: Any) -> None:
        await talk.say_text(json.dumps({"event": "$ping", "data": data}))
        assert await talk.hear() == {"event": "$pong", "data": data}

    async def test_a_commit_mark_follows_the_last_frame_of_one_transaction(
        self, talk: Talk, program: Program
    ) -> None:
        await talk.say("$hello", want=["commit", "unheard-of"])
        products, stock = await talk.follow("products"), await talk.follow("by_stock")
        categories = await talk.follow("categories")
        heard = len(talk.heard)
        program.add_products(3)
        await talk.until(lambda: talk.heard[heard:] and talk.heard[-1]["event"] == "$commit")
        assert sorted(m["event"] for m in talk.heard[heard:]) == ["$commit", "by_stock", "products"]
        assert isinstance(talk.heard[-1]["data"]["state"], str)
        assert products.column("id") == stock.column("id") == [1, 2, 3]

        heard = len(talk.heard)
        with program.transaction():
            program.run("INSERT INTO app_category VALUES (1, 'a')")
            program.run("UPDATE app_product SET category_id = 1")
        await talk.until(lambda: talk.heard[heard:] and talk.heard[-1]["event"] == "$commit")
        events = [m["event"] for m in talk.heard[heard:]]
        assert events[-1] == "$commit"
        assert sorted(events[:-1]) == ["categories", "products"]
        assert categories.column("name") == ["a"]

    async def test_a_mark_comes_before_one_transaction_s_frames_where_it_is_wanted(
        self, talk: Talk, program: Program
    ) -> None:
        await talk.say("$hello", want=["commit", "begin"])
        products, _ = await talk.follow("products"), await talk.follow("by_stock")
        categories = await talk.follow("categories")
        program.run("INSERT INTO app_category VALUES (1, 'a')")
        await talk.until(lambda: categories.column("name") == ["a"])
        heard = len(talk.heard)
        program.add_products(3)
        await talk.until(lambda: products.column("id") == [1, 2, 3])
        await talk.until(lambda: talk.heard[-1]["event"] == "$commit")
        events = [m["event"] for m in talk.heard[heard:]]
        assert events[0] == "$begin"
        assert sorted(events[1:-1]) == ["by_stock", "products"]
        assert [m["event"] for m in talk.heard[:heard] if m["event"][0] == "$"][-1] == "$subscribed"

    async def test_one_subscription_needs_no_commit_mark(
        self, talk: Talk, program: Program
    ) -> None:
        await talk.say("$hello", want=["commit"])
        tags = await talk.follow("tags")
        await talk.follow("products")
        program.run("INSERT INTO app_tag VALUES (1, 'a')")
        await talk.until(lambda: tags.column("name") == ["a"])
        await talk.silence(0.1)

    async def test_who_does_not_ask_gets_no_commit_mark(self, talk: Talk, program: Program) -> None:
        one, other = await talk.follow("products"), await talk.follow("by_stock")
        program.add_products(1)
        await talk.until(lambda: one.column("id") == other.column("id") == [1])
        await talk.silence(0.1)


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
