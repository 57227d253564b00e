"""The WebSocket chapter of the wire contract, with a real server and real sockets."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import EVERY_DATABASE
from tests.support.program import Program
from tests.support.server import Server
from tests.support.talk import Talk

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

    @pytest.mark.parametrize("category", [2**31, 2**63 - 1, -(2**63)])
    async def test_numbers_that_a_column_might_hold_match_nothing(
        self, talk: Talk, category: int
    ) -> None:
        following = await talk.follow("in_category", params={"category": category})
        assert following.replica.rows == []

    @pytest.mark.parametrize("category", [2**63, -(2**63) - 1, 10**30])
    async def test_numbers_that_no_column_holds_are_invalid_params(
        self, talk: Talk, category: int
    ) -> None:
        await talk.say("in_category", params={"category": category}, ref=1)
        answer = await talk.hear_data("in_category")
        assert answer["action"] == "error"
        assert answer["payload"]["code"] == "invalid_params"
        assert "category: a whole number is between" in answer["payload"]["detail"]


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
