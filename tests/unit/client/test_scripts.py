"""The Python clients against a peer that does what a server seldom does, at the wrong moment."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Self

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve

from bindserver.client import BlockingClient, Change, Client, SubscriptionEnded
from bindserver.client import blocking as blocking_module
from bindserver.client import client as client_module
from bindserver.client import conversation as conversation_module
from bindserver.client.feed import Feed
from bindserver.client.subscription import Status

SECONDS = 30

Answer = Callable[["Peer", ServerConnection, str, dict[str, Any]], Awaitable[None]]


class Peer:
    """Answers as a test says.

    Attributes:
        heard: the events of what came.
        sockets: who has connected.
    """

    def __init__(self, answer: Answer) -> None:
        self.heard: list[str] = []
        self.sockets: list[ServerConnection] = []
        self._answer = answer
        self._server: Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await serve(self._serve, "127.0.0.1", 0, subprotocols=None)
        return self

    async def __aexit__(self, *problem: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        assert self._server is not None
        port = next(iter(self._server.sockets)).getsockname()[1]
        return f"ws://127.0.0.1:{port}/ws/"

    async def _serve(self, socket: ServerConnection) -> None:
        self.sockets.append(socket)
        async for text in socket:
            message = json.loads(text)
            self.heard.append(message["event"])
            await self._answer(self, socket, message["event"], message.get("data") or {})


async def say(socket: ServerConnection, event: str, /, **data: Any) -> None:
    await socket.send(json.dumps({"event": event, "data": data}))


async def refuse(socket: ServerConnection, event: str, code: str, ref: int) -> None:
    await say(socket, event, action="error", ref=ref, payload={"code": code, "detail": "no"})


async def serving(peer: Peer, socket: ServerConnection, event: str, data: dict[str, Any]) -> None:
    """Serve any binding, which has one row."""
    if data.get("disconnect"):
        await say(socket, event, action="disconnect", ref=data["ref"])
    else:
        await say(socket, "$subscribed", ref=data["ref"], event=event, key="id", params={})
        await say(socket, event, action="sync", payload=[{"id": 1}], cursor="c")


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0.01)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Have no wait before another attempt; return how many failures each was for."""
    found: list[int] = []

    def wait(failures: int, random: object) -> float:
        found.append(failures)
        return 0.0

    for module in (client_module, conversation_module):
        monkeypatch.setattr(module, "retry_wait", wait)
    monkeypatch.setattr(client_module, "reconnect_wait", lambda *_: 0.0)
    return found


class TestProofs:
    async def test_that_are_taken_and_good_for_nothing_are_shown_ever_more_slowly(
        self, waits: list[int]
    ) -> None:
        async def answer(
            peer: Peer, socket: ServerConnection, event: str, data: dict[str, Any]
        ) -> None:
            if event == "$auth":
                await say(socket, event, ref=data["ref"], expires=None)
            else:
                await refuse(socket, event, "unauthenticated", data["ref"])

        async with Peer(answer) as peer, Client(peer.url, token="x") as client:
            client.subscribe("members")
            await until(lambda: peer.heard.count("$auth") > 4)
        assert waits[:4] == [0, 1, 2, 3]

    async def test_are_not_taken_for_good_because_an_older_one_was(
        self, waits: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(client_module, "ANSWER_SECONDS", 1.0)
        refs: list[int] = []

        async def answer(
            peer: Peer, socket: ServerConnection, event: str, data: dict[str, Any]
        ) -> None:
            if event != "$auth":
                await serving(peer, socket, event, data)
                return
            refs.append(data["ref"])
            if len(refs) == 2:
                await say(socket, event, ref=refs[0], expires=None)
                await refuse(socket, event, "unauthenticated", refs[1])
            elif len(refs) == 3:
                await say(socket, event, ref=refs[2], expires=None)

        async with Peer(answer) as peer, Client(peer.url, token="x") as client:
            assert await client.subscribe("members").ready() == [{"id": 1}]
        assert peer.heard[:4] == ["$auth", "$auth", "$auth", "members"]


class TestWhoComesLate:
    async def test_is_told_that_the_server_wants_nobody(self) -> None:
        async def answer(
            peer: Peer, socket: ServerConnection, event: str, data: dict[str, Any]
        ) -> None:
            await socket.close(4403, "not from here")

        async with Peer(answer) as peer, Client(peer.url) as client:
            with pytest.raises(SubscriptionEnded, match="not from here"):
                await client.subscribe("products").ready()
            with pytest.raises(SubscriptionEnded, match="not from here"):
                await client.subscribe("tags").ready()

    async def test_is_told_that_the_server_is_out_of_reach(self) -> None:
        async with Peer(serving) as peer:
            url = peer.url
        async with Client(url) as client:
            await until(lambda: client.error is not None)
            assert client.subscribe("products").error == client.error

    async def test_has_all_rows_first_though_the_server_says_that_they_are_known(
        self, waits: list[int]
    ) -> None:
        came = asyncio.Event()

        async def answer(
            peer: Peer, socket: ServerConnection, event: str, data: dict[str, Any]
        ) -> None:
            if "cursor" not in data:
                await serving(peer, socket, event, data)
                return
            await came.wait()
            await say(socket, "$subscribed", ref=data["ref"], event=event, key="id", params={})
            await say(socket, event, action="ok", cursor="c")

        async with Peer(answer) as peer, Client(peer.url) as client:
            first = client.subscribe("products")
            await first.ready()
            await peer.sockets[0].close(1001)
            await until(lambda: first.status is Status.STALE)
            late = client.subscribe("products")
            came.set()
            await until(lambda: late.status is Status.LIVE)
            assert await anext(late) == Change("sync", [{"id": 1}])


async def test_a_fault_in_what_is_said_is_told_to_who_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def ask(self: Feed, ref: int) -> str:
        raise LookupError("a fault")

    monkeypatch.setattr(Feed, "ask", ask)
    async with Peer(serving) as peer, Client(peer.url) as client:
        with pytest.raises(SubscriptionEnded, match="LookupError"):
            await client.subscribe("products").ready()


async def test_a_client_may_be_opened_again() -> None:
    async with Peer(serving) as peer:
        client = Client(peer.url)
        for _ in range(2):
            async with client:
                assert await client.subscribe("products").ready() == [{"id": 1}]


class TestBlocking:
    async def test_a_change_that_comes_with_ctrl_c_comes_again(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        result = blocking_module._result

        def interrupted(future: Any) -> None:
            result(future)
            raise KeyboardInterrupt

        def follow(url: str) -> Change | None:
            with BlockingClient(url) as client:
                products = client.subscribe("products")
                products.ready()
                with monkeypatch.context() as patch:
                    patch.setattr(blocking_module, "_result", interrupted)
                    with pytest.raises(KeyboardInterrupt):
                        products.next()
                return products.next(SECONDS)

        async with Peer(serving) as peer:
            found = await asyncio.to_thread(follow, peer.url)
        assert found == Change("sync", [{"id": 1}])

    async def test_after_its_end_the_last_rows_stay_and_loops_end(self) -> None:
        async with Peer(serving) as peer:
            client = await asyncio.to_thread(BlockingClient(peer.url).__enter__)
            products = await asyncio.to_thread(client.subscribe, "products")
            await asyncio.to_thread(products.ready)
            await asyncio.to_thread(client.close)
            # Here runs a loop, as in a notebook.
            assert products.rows == [{"id": 1}]
            assert (products.get(1), products.status) == ({"id": 1}, Status.CLOSED)
            assert [change.action for change in products] == ["sync"]
            with pytest.raises(SubscriptionEnded, match="closed by the client"):
                products.ready()
            products.close()

    async def test_whoever_waits_in_another_thread_goes_on_when_it_is_closed(self) -> None:
        def follow(url: str) -> list[str]:
            with BlockingClient(url) as client:
                products = client.subscribe("products")
                products.ready()
                closing = threading.Timer(0.1, client.close)
                closing.start()
                found = [change.action for change in products]
                closing.join()
                return found

        async with Peer(serving) as peer:
            assert await asyncio.to_thread(follow, peer.url) == ["sync"]

    async def test_its_own_thread_is_told_that_it_cannot_wait(self) -> None:
        def follow(url: str) -> str:
            def token() -> str:
                return str(client.subscribe("tokens").rows)

            client = BlockingClient(url, token=token)
            with client:
                members = client.subscribe("members")
                while members.error is None:
                    pass
                return str(members.error)

        async with Peer(serving) as peer:
            assert "own thread" in await asyncio.to_thread(follow, peer.url)


async def test_a_stream_that_goes_on_behind_a_refusal_is_left(waits: list[int]) -> None:
    left = asyncio.Event()

    async def answer(
        peer: Peer, socket: ServerConnection, event: str, data: dict[str, Any]
    ) -> None:
        if data.get("disconnect"):
            left.set()
        elif peer.heard.count("products") == 1:
            await serving(peer, socket, event, data)
            await say(socket, event, action="create", payload={})  # which makes no sense
        else:
            await refuse(socket, event, "forbidden", data["ref"])

    async with asyncio.timeout(SECONDS), Peer(answer) as peer, Client(peer.url) as client:
        products = client.subscribe("products")
        assert (await anext(products)).action == "sync"
        with pytest.raises(SubscriptionEnded, match="forbidden"):
            await anext(products)
        await left.wait()
