"""Who gets a place to wait in, and what waiting lets go of."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.db import connection, transaction
from django.test import AsyncRequestFactory, override_settings

from bindserver.cycle.inbox import Snapshot
from bindserver.cycle.owners import Owner
from bindserver.http.api import SnapshotView
from bindserver.http.waiting import (
    NoPlace,
    WaitingPlaces,
    _tell_of_kept_connections,
    client_of,
    give_back_connections,
    let_go_of_thread,
    snapshots,
    threads,
    wait,
    wait_on_loop,
)

SNAPSHOT = Snapshot(rows={}, key="id", cursor="", digest="", modified=0.0)
ALL, ONE = "MAX_WAITING_SNAPSHOTS", "MAX_WAITING_SNAPSHOTS_PER_CLIENT"


def waiting() -> tuple[int, int]:
    return snapshots.waiting, threads.waiting


def asking(user: Any, address: str = "192.0.2.1") -> Any:
    return client_of(SimpleNamespace(user=user, META={"REMOTE_ADDR": address}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("a name", "a name", True),
    ],
)
def test_a_client_is_an_address_or_a_network_of_ipv6(one: str, other: str, alike: bool) -> None:
    assert (asking(None, one) == asking(None, other)) is alike


def test_a_user_is_a_client_wherever_from_and_else_the_address_is() -> None:
    ann = SimpleNamespace(is_authenticated=True, pk=1)
    bob = SimpleNamespace(is_authenticated=True, pk=2)
    nobody = SimpleNamespace(is_authenticated=False, pk=None)
    assert asking(ann) == asking(ann, "192.0.2.2") != asking(bob)
    assert asking(nobody) == asking(None) == Owner(None, "192.0.2.1")
    assert asking(nobody, "") is None


class TestPlaces:
    @pytest.fixture
    def places(self) -> WaitingPlaces:
        return WaitingPlaces("wait", ALL, ONE)

    @override_settings(BINDSERVER={ALL: 3, ONE: 2})
    def test_there_are_so_many_in_all_and_for_each_client(self, places: WaitingPlaces) -> None:
        with ExitStack() as stack:
            for client in ("ann", "ann"):
                stack.enter_context(places.place(client))
            with pytest.raises(NoPlace, match=r"of this client wait: .*_PER_CLIENT'. is 2; try"):
                stack.enter_context(places.place("ann"))
            stack.enter_context(places.place("bob"))
            with pytest.raises(NoPlace, match=r"too many requests wait: .*_SNAPSHOTS'. is 3; try"):
                stack.enter_context(places.place("carl"))
        assert places.waiting == 0
        with places.place("ann"):
            assert places.waiting == 1

    @override_settings(BINDSERVER={ALL: 3, ONE: 2})
    def test_whom_nobody_can_tell_apart_have_no_share(self, places: WaitingPlaces) -> None:
        with places.place(None), places.place(None), places.place(None):
            assert places.waiting == 3

    @override_settings(BINDSERVER={ALL: 1})
    def test_the_log_is_told_once_of_many(
        self, places: WaitingPlaces, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING), places.place("ann"):
            for _ in range(20):
                with pytest.raises(NoPlace), places.place("bob"):
                    pass
        assert len(caplog.records) == 1


class TestInAThread:
    @override_settings(BINDSERVER={"MAX_WAITING_THREADS": 1})
    def test_what_is_there_takes_no_place(self) -> None:
        answer = Future[Snapshot]()
        answer.set_result(SNAPSHOT)
        with snapshots.place("ann"), threads.place("ann"):
            assert wait(answer, "ann") is SNAPSHOT

    @override_settings(BINDSERVER={"MAX_WAITING_THREADS": 1})
    def test_who_finds_no_place_is_told_and_wants_nothing_any_more(self) -> None:
        answer = Future[Snapshot]()
        with threads.place("bob"), pytest.raises(NoPlace, match="hold a thread while they wait"):
            wait(answer, "ann")
        assert answer.cancelled()
        assert waiting() == (0, 0)

    @override_settings(BINDSERVER={"SNAPSHOT_SECONDS": 0.01})
    def test_who_waits_too_long_wants_nothing_any_more(self) -> None:
        answer = Future[Snapshot]()
        with pytest.raises(TimeoutError):
            wait(answer, "ann")
        assert answer.cancelled()
        assert waiting() == (0, 0)

    def test_who_keeps_a_connection_is_told_of_once(
        self, database: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        _tell_of_kept_connections.cache_clear()
        with (
            transaction.atomic(),
            caplog.at_level(logging.WARNING),
            override_settings(BINDSERVER={"SNAPSHOT_SECONDS": 0.2}),
        ):
            for _ in range(2):
                with pytest.raises(TimeoutError):
                    wait(Future[Snapshot](), "ann")
        [told] = caplog.messages
        assert "under ATOMIC_REQUESTS, mark the view" in told


class TestOnALoop:
    async def test_who_leaves_gives_the_place_back_and_wants_nothing_any_more(self) -> None:
        answer = Future[Snapshot]()
        task = asyncio.create_task(wait_on_loop(answer, "ann"))
        while waiting() != (1, 0):
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert answer.cancelled()
        assert waiting() == (0, 0)

    @override_settings(BINDSERVER={"SNAPSHOT_SECONDS": 0.01})
    async def test_who_waits_too_long_wants_nothing_any_more(self) -> None:
        answer = Future[Snapshot]()
        with pytest.raises(TimeoutError):
            await wait_on_loop(answer, "ann")
        assert answer.cancelled()


def open_connection() -> None:
    connection.ensure_connection()


class TestLettingGo:
    def test_of_connections_but_for_those_in_a_transaction(self, database: Path) -> None:
        with transaction.atomic():
            assert not give_back_connections()
            assert connection.connection is not None
        assert give_back_connections()
        assert connection.connection is None

    def test_of_connections_but_for_those_that_were_told_something(self, database: Path) -> None:
        with connection.cursor() as cursor:
            cursor.execute("CREATE TEMP TABLE mine (id int)")
        assert not give_back_connections()
        assert connection.connection is not None

    async def test_of_the_thread_that_a_request_has(self, database: Path) -> None:
        from threading import current_thread

        async with ThreadSensitiveContext():
            thread = await sync_to_async(current_thread)()
            await sync_to_async(open_connection)()
            await let_go_of_thread()
            await asyncio.to_thread(thread.join)
            assert await sync_to_async(current_thread)() is not thread


def test_a_snapshot_is_outside_of_the_transaction_of_atomic_requests() -> None:
    assert "default" in SnapshotView.as_view()._non_atomic_requests


async def test_what_decorators_have_given_a_response_the_answer_has(database: Path) -> None:
    from bindserver.hub.hub import hub

    response = await sync_to_async(SnapshotView.as_view())(
        AsyncRequestFactory().get("/"), event="products"
    )
    response.headers["X-Mine"] = "yes"
    response.set_cookie("mine", "yes")
    seen: list[Any] = []
    response.add_post_render_callback(seen.append)
    answer = await response.render()
    await sync_to_async(hub.stop)()
    assert (answer.status_code, answer.content, answer.headers["X-Mine"]) == (200, b"[]", "yes")
    assert answer.cookies["mine"].value == "yes"
    assert seen == [answer]
    assert {"Accept", "Cookie", "Authorization"} <= set(answer.headers["Vary"].split(", "))
