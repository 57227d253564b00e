"""What docs/migrating.md shows does what it says: what people have today, and what it becomes."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as dial

from bindserver.client import Client, Subscription, SubscriptionEnded
from tests.projects.migrating.site import ROUTED, Site, blocks
from tests.support.patience import nobody_waits_without_end

CUP, POT = {"id": 1, "name": "cup", "price": 3}, {"id": 2, "name": "pot", "price": 5}

FILTERED = [
    "django-binding and django-node-websockets",
    "Consumers written by hand",
    "djangochannelsrestframework",
    "Polling",
]
"""Chapters whose bindings serve active products alone, by name and price."""


def client_of(site: Site, **options: Any) -> Client:
    return Client(f"ws://127.0.0.1:{site.port}/ws/", **options)


async def until(products: Subscription, are: Callable[[list[dict[str, Any]]], bool]) -> None:
    async with nobody_waits_without_end():
        while not are(products.rows):
            await asyncio.sleep(0.01)


async def write(site: Site, *names: str) -> None:
    for name in names:
        await asyncio.to_thread(site.write, name)


@pytest.mark.parametrize("chapter", FILTERED)
async def test_what_it_becomes_serves_each_write_and_lets_rows_leave(
    chapter: str, tmp_path: Path
) -> None:
    with Site(tmp_path, blocks(chapter, "After")) as site:
        async with client_of(site) as client, client.subscribe("products") as products:
            assert await products.ready() == [CUP]
            await write(site, "create")
            await until(products, lambda rows: rows == [CUP, POT])
            await write(site, "bulk")
            await until(products, lambda rows: [row["price"] for row in rows] == [7, 7])
            await write(site, "hide")
            await until(products, lambda rows: [row["id"] for row in rows] == [2])
            await write(site, "delete")
            await until(products, lambda rows: rows == [])


async def test_a_channels_1_binding_s_permission_is_asked_as_drf_asks_it(tmp_path: Path) -> None:
    with Site(tmp_path, blocks("Channels 1 bindings", "After")) as site:
        async with client_of(site) as client, client.subscribe("products") as products:
            with pytest.raises(SubscriptionEnded):
                await products.ready()
        cookie = str((await asyncio.to_thread(site.write, "login"))["Set-Cookie"]).split(";")[0]
        known = client_of(site, headers={"Cookie": cookie})
        async with known, known.subscribe("products") as products:
            assert await products.ready() == [CUP]
            await write(site, "bulk")
            await until(products, lambda rows: [row["price"] for row in rows] == [7])


async def hear(socket: ClientConnection) -> Any:
    return json.loads(await asyncio.wait_for(socket.recv(), 60))


async def test_consumers_written_by_hand_do_what_the_page_says_of_them(tmp_path: Path) -> None:
    with Site(tmp_path, blocks("Consumers written by hand", "Before"), plain=True) as site:
        async with dial(f"ws://127.0.0.1:{site.port}/ws/products/") as socket:
            assert await hear(socket) == {"action": "list", "rows": [CUP]}
            await write(site, "create", "hide", "bulk", "delete")
            assert await hear(socket) == {"action": "saved", "row": POT}
            # Nothing of the two that no signal tells, though the cup is not active any more.
            assert await hear(socket) == {"action": "deleted", "id": 2}


async def test_a_model_observer_does_what_the_page_says_of_it(tmp_path: Path) -> None:
    files = {"site_asgi.py": ROUTED, **blocks("djangochannelsrestframework", "Before")}
    with Site(tmp_path, files, plain=True) as site:
        async with dial(f"ws://127.0.0.1:{site.port}/ws/products/") as socket:
            for message in (
                {"action": "list", "request_id": 1},
                {"action": "subscribe_to_products", "request_id": 2},
            ):
                await socket.send(json.dumps(message))
            assert (await hear(socket))["data"] == [CUP]
            told: list[Any] = []
            async with nobody_waits_without_end():
                while not told or told[-1]["action"] != "create":
                    await write(site, "save") if told else await write(site, "create")
                    told.append(await hear(socket))
            assert told[-1]["data"] == POT


def events(site: Site, path: str, *writes: str, wanted: int) -> list[dict[str, Any]]:
    """Open an event stream, have something written, and return the data of some events."""
    link = http.client.HTTPConnection("127.0.0.1", site.port, timeout=60)
    link.request("GET", path, headers={"Accept": "text/event-stream"})
    answer, told = link.getresponse(), []
    assert answer.status == 200
    for line in answer:
        if line.startswith((b"data: {", b"data:{")):
            told.append(json.loads(line.partition(b":")[2]))
        if writes and (told or line.startswith(b"event: stream-open")):
            site.write(writes[0])
            writes = writes[1:]
        if len(told) == wanted:
            break
    link.close()
    return told


def test_an_event_of_eventstream_carries_what_was_sent(tmp_path: Path) -> None:
    with Site(tmp_path, blocks("django-eventstream", "Before"), plain=True) as site:
        assert events(site, "/events/", "save", wanted=1) == [{"id": 1, "price": 4}]


def test_the_stream_that_it_becomes_begins_with_all_rows(tmp_path: Path) -> None:
    with Site(tmp_path, blocks("django-eventstream", "After")) as site:
        first, second = events(site, "/bindings/products/", "bulk", wanted=2)
        assert (first["action"], first["payload"]) == ("sync", [{"id": 1, "price": 3}])
        assert (second["action"], second["payload"]) == ("update", {"id": 1, "price": 7})


def test_a_polled_list_is_the_same_and_answers_by_304(tmp_path: Path) -> None:
    (tmp_path / "before").mkdir()
    (tmp_path / "after").mkdir()
    with Site(tmp_path / "before", blocks("Polling", "Before")) as site:
        status, _, before = site.ask("/api/products/")
    assert status == 200
    with Site(tmp_path / "after", blocks("Polling", "After")) as site:
        status, headers, after = site.ask("/api/products/")
        assert (status, json.loads(after)) == (200, json.loads(before))
        assert site.ask("/api/products/", **{"If-None-Match": headers["ETag"]})[0] == 304
        site.write("bulk")
        assert json.loads(site.ask("/api/products/")[2]) == [{**CUP, "price": 7}]


@pytest.mark.parametrize("chapter", [*FILTERED[:1], "Channels 1 bindings"])
def test_what_installs_no_more_is_at_least_python(chapter: str) -> None:
    for name, text in blocks(chapter, "Before").items():
        compile(text, name, "exec")
