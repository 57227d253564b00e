"""The Python client against a server: rows, changes, lost servers, tokens, and what is refused."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from bindserver.client import (
    BlockingClient,
    Change,
    Client,
    Problem,
    Subscription,
    SubscriptionEnded,
)
from bindserver.client import client as client_module
from bindserver.client.subscription import Status
from tests.conftest import MakeServer, program_on
from tests.servers.transports.test_identity import add_token, jwt
from tests.support.patience import nobody_waits_without_end
from tests.support.program import Program
from tests.support.server import Server

PATIENCE_SECONDS = 60


@pytest.fixture(autouse=True)
async def patience() -> AsyncIterator[None]:
    async with nobody_waits_without_end():
        yield


@pytest.fixture
async def client(server: Server, program: Program) -> AsyncIterator[Client]:
    async with Client(server.ws) as client:
        yield client


def status(of: Subscription) -> Status:
    return of.status  # it changes meanwhile, which type checkers do not believe


def names(subscription: Subscription) -> list[str]:
    return [row["name"] for row in subscription.rows]


async def until(subscription: Subscription, action: str) -> Change:
    """Return the next change of a kind, past others."""
    async for change in subscription:
        if change.action == action:
            return change
    raise AssertionError("it was closed")


async def test_who_leaves_in_order_is_told_to_have(make_server: MakeServer) -> None:
    with make_server(environment={"LOG_FORMAT": "json"}) as server:
        async with Client(server.ws) as client, client.subscribe("products") as products:
            await products.ready()
        while "ended with" not in (log := server.log.read_text()):
            await asyncio.sleep(0.02)
    assert "ended with 1000 by the client" in log


class TestFollowing:
    async def test_has_the_rows_and_then_each_change(
        self, client: Client, program: Program
    ) -> None:
        program.add_products(2)
        products = client.subscribe("products")
        first = await anext(products)
        assert (first.action, [row["id"] for row in first.payload]) == ("sync", [1, 2])
        program.run("UPDATE app_product SET name = 'pen' WHERE id = 1")
        change = await anext(products)
        assert (change.action, change.payload["name"]) == ("update", "pen")
        program.run("DELETE FROM app_product WHERE id = 2")
        assert await anext(products) == Change("delete", {"id": 2})
        assert (names(products), products.status, products.error) == (["pen"], Status.LIVE, None)

    async def test_two_who_want_the_same_share_a_subscription(
        self, client: Client, program: Program
    ) -> None:
        program.add_products(1)
        one, two = client.subscribe("products"), client.subscribe("products", {})
        assert await one.ready() == await two.ready()
        one.close()
        program.run("UPDATE app_product SET name = 'pen'")
        assert (await until(two, "update")).payload["name"] == "pen"

    async def test_params_that_the_server_takes_for_the_same_are_one(
        self, client: Client, program: Program
    ) -> None:
        program.run("INSERT INTO app_category (id, name) VALUES (3, 'x')")
        program.add_products(1)
        program.run("UPDATE app_product SET category_id = 3")
        both = [client.subscribe("in_category", {"category": given}) for given in (3, "3")]
        assert [len(await each.ready()) for each in both] == [1, 1]
        while len(client._conversation._feeds) > 1:
            await asyncio.sleep(0.01)
        program.run("UPDATE app_product SET name = 'pen'")
        for each in both:
            assert (await until(each, "update")).payload["name"] == "pen"

    async def test_one_that_was_closed_is_let_go_of_and_may_come_again(
        self, client: Client, program: Program
    ) -> None:
        for count in (1, 2):
            program.add_products(1, first=count)
            async with client.subscribe("products") as products:
                assert len(await products.ready()) == count
        assert client._conversation._feeds == []

    async def test_a_large_answer_comes_in_pages(self, client: Client, program: Program) -> None:
        program.add_products(2500)
        products = client.subscribe("products", page_size=100)
        assert len(await products.ready()) == 2500
        assert (await anext(products)).action == "sync"


class TestALostServer:
    async def test_is_gone_on_from_with_what_was_missed_alone(
        self, make_server: MakeServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        server = make_server().start()
        program = program_on(server)
        program.add_products(2)
        async with Client(server.ws) as client:
            products = client.subscribe("products")
            await products.ready()
            await anext(products)
            server.kill()
            while products.status is not Status.STALE:
                await asyncio.sleep(0.01)
            assert names(products)
            assert products.error is not None
            assert (products.error.code, products.error.passing) == ("unreachable", True)
            program.run("DELETE FROM app_product WHERE id = 1")
            program.run("UPDATE app_product SET name = 'pen' WHERE id = 2")
            server.start()
            assert await anext(products) == Change("delete", {"id": 1})
            assert (await anext(products)).payload["name"] == "pen"
            assert (names(products), client.error) == (["pen"], None)
        program.close()
        assert "lost connection" in caplog.text

    async def test_that_is_not_there_yet_is_waited_for_and_the_log_says_why(
        self, make_server: MakeServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        server = make_server()
        async with Client(server.ws) as client:
            products = client.subscribe("products")
            while products.error is None:
                await asyncio.sleep(0.01)
            assert status(products) is Status.CONNECTING
            assert f"cannot connect to {server.ws}" in str(products.error)
            server.start()
            assert await products.ready() == []
        assert caplog.record_tuples[0][:2] == ("bindserver.client", logging.WARNING)

    async def test_that_restarts_in_order_sends_its_clients_away_for_a_while(
        self, make_server: MakeServer
    ) -> None:
        server = make_server().start()
        async with Client(server.ws) as client:
            products = client.subscribe("products")
            await products.ready()
            server.stop()
            server.start()
            while products.status is Status.LIVE:
                await asyncio.sleep(0.01)
            assert await products.ready() == []


class TestWhoAsks:
    @pytest.fixture
    def users(self, program: Program) -> Program:
        program.log_in("ann")
        program.add_products(2)
        return program

    async def test_is_proved_by_a_token(self, server: Server, users: Program) -> None:
        async with Client(server.ws, token=add_token(users, 1)) as client:
            assert len(await client.subscribe("members").ready()) == 2

    async def test_is_proved_by_a_header(self, server: Server, users: Program) -> None:
        headers = {"Authorization": f"Token {add_token(users, 1)}"}
        async with Client(server.ws, headers=headers) as client:
            assert len(await client.subscribe("members").ready()) == 2

    async def test_is_proved_anew_before_the_token_ends(
        self, server: Server, users: Program
    ) -> None:
        given: list[str] = []

        async def token() -> str:
            given.append(jwt(1, seconds=3))
            return given[-1]

        async with Client(server.ws, token=token) as client:
            members = client.subscribe("members")
            await members.ready()
            while len(given) < 3:
                await asyncio.sleep(0.05)
            assert members.status is Status.LIVE
            assert [(await anext(members)).action] == ["sync"]

    async def test_is_asked_again_where_the_function_fails(
        self, server: Server, users: Program, caplog: pytest.LogCaptureFixture
    ) -> None:
        asked: list[None] = []

        def token() -> str:
            asked.append(None)
            if len(asked) == 1:
                raise OSError("the vault is closed")
            return jwt(1)

        async with Client(server.ws, token=token) as client:
            members = client.subscribe("members")
            while members.error is None:
                await asyncio.sleep(0.01)
            assert members.error == Problem("unauthenticated", "the vault is closed")
            assert len(await members.ready()) == 2

    async def test_with_a_token_that_ends_without_another_is_told(
        self, server: Server, users: Program
    ) -> None:
        once = jwt(1, seconds=2)
        async with Client(server.ws, token=once) as client:
            members = client.subscribe("members")
            await members.ready()
            while members.status is Status.LIVE:
                await asyncio.sleep(0.01)
            assert members.error is not None
            assert members.error.passing

    async def test_and_may_not_is_told_so(self, client: Client) -> None:
        with pytest.raises(SubscriptionEnded) as caught:
            await client.subscribe("members").ready()
        assert caught.value.code == "unauthenticated"


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("event", "params", "code"),
        [("nothing", {}, "unknown_event"), ("in_category", {}, "invalid_params")],
    )
    async def test_ends_with_the_server_s_reason(
        self, client: Client, event: str, params: dict[str, Any], code: str
    ) -> None:
        with pytest.raises(SubscriptionEnded) as caught:
            await anext(client.subscribe(event, params))
        assert caught.value.code == code
        assert caught.value.detail

    async def test_for_now_is_asked_again_until_it_is_served(self, make_server: MakeServer) -> None:
        server = make_server(MAX_SUBSCRIPTIONS=1).start()
        async with Client(server.ws) as client:
            first = client.subscribe("products")
            await first.ready()
            second = client.subscribe("tags")
            first.close()
            assert await second.ready() == []

    async def test_for_good_is_what_there_is_no_room_for(self, make_server: MakeServer) -> None:
        server = make_server(MAX_SUBSCRIPTIONS=1).start()
        async with Client(server.ws) as client:
            await client.subscribe("products").ready()
            with pytest.raises(SubscriptionEnded, match="too_many_subscriptions"):
                await client.subscribe("tags").ready()

    async def test_many_at_once_are_asked_for_at_the_server_s_pace(
        self, make_server: MakeServer
    ) -> None:
        server = make_server(MAX_SUBSCRIPTIONS=500).start()
        async with Client(server.ws) as client:
            wanted = [client.subscribe("in_category", {"category": n}) for n in range(150)]
            assert [await each.ready() for each in wanted] == [[]] * 150
            assert client.is_live

    async def test_is_an_address_that_is_none(self) -> None:
        with pytest.raises(ValueError, match="no address such as ws://"):
            Client("http://example.com/")

    async def test_is_an_event_that_no_binding_can_have(self, client: Client) -> None:
        for event in ("", "$auth"):
            with pytest.raises(ValueError, match="no binding's event"):
                client.subscribe(event)

    def test_is_to_subscribe_before_it_is_open(self) -> None:
        with pytest.raises(RuntimeError, match="async with Client"):
            Client("ws://127.0.0.1/ws/").subscribe("products")
        with pytest.raises(RuntimeError, match="with BlockingClient"):
            BlockingClient("ws://127.0.0.1/ws/").subscribe("products")


class TestWhatMakesNoSense:
    async def test_is_logged_and_a_frame_of_it_leads_to_all_rows_anew(
        self, client: Client, program: Program, caplog: pytest.LogCaptureFixture
    ) -> None:
        program.add_products(1)
        products = client.subscribe("products")
        await products.ready()
        await anext(products)
        client._conversation.take("no JSON")
        client._conversation.take(
            '{"event": "products", "data": {"action": "create", "payload": {}}}'
        )
        assert status(products) is Status.STALE
        assert (await anext(products)).action == "sync"
        assert status(products) is Status.LIVE
        assert caplog.text.count("none of the contract's") == 2

    async def test_a_fault_of_the_client_s_is_told_to_who_waits(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def failing(*args: object, **options: object) -> None:
            raise LookupError("a fault")

        monkeypatch.setattr(client_module, "connect", failing)
        async with Client(server.ws) as client:
            with pytest.raises(SubscriptionEnded, match="internal: LookupError"):
                await client.subscribe("products").ready()


class TestBlocking:
    @pytest.fixture
    def blocking(self, server: Server, program: Program) -> Iterator[BlockingClient]:
        with BlockingClient(server.ws) as client:
            yield client

    def test_has_rows_and_changes(self, blocking: BlockingClient, program: Program) -> None:
        program.add_products(1)
        with blocking.subscribe("products") as products:
            assert [row["id"] for row in products.ready(PATIENCE_SECONDS)] == [1]
            assert products.next(PATIENCE_SECONDS) == Change("sync", products.rows)
            program.run("UPDATE app_product SET name = 'pen'")
            change = next(products)
            assert (change.action, change.payload) == ("update", products.get(1))
            assert (products.status, products.error, products.key) == (Status.LIVE, None, "id")
            products.close()
            assert list(products) == []

    def test_waits_no_longer_than_it_is_told(self, blocking: BlockingClient) -> None:
        products = blocking.subscribe("products")
        products.ready(PATIENCE_SECONDS)
        assert next(products).action == "sync"
        with pytest.raises(TimeoutError):
            products.next(0.05)

    def test_what_is_refused_is_raised(self, blocking: BlockingClient) -> None:
        with pytest.raises(SubscriptionEnded, match="unknown_event"):
            next(blocking.subscribe("nothing"))

    def test_who_is_closed_ends_its_loop(self, blocking: BlockingClient) -> None:
        products = blocking.subscribe("products")
        next(products)
        blocking.close()
        blocking.close()  # once more does no harm
        assert blocking.error is None
