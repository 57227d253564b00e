"""Who waits for rows once and leaves keeps no view wanted, and has none read."""

from __future__ import annotations

from django.test import override_settings

from bindserver.cycle.inbox import Caller, SnapshotRequest
from bindserver.cycle.live_view import ViewState
from tests.app.bindings import ProductBinding
from tests.support.turning import Turning, add


def request() -> SnapshotRequest:
    return SnapshotRequest(binding=ProductBinding, caller=Caller(), params={})


def test_before_the_turn_begins_nothing_is_asked(sqlite_turning: Turning) -> None:
    gone = request()
    gone.answer.cancel()
    sqlite_turning.ask(gone)
    sqlite_turning.turn()
    assert list(sqlite_turning.views()) == []


@override_settings(BINDSERVER={"SYNC_ROWS": 1})
def test_a_first_load_that_nobody_waits_for_any_more_is_dropped(sqlite_turning: Turning) -> None:
    add(1)
    add(2)
    first = request()
    with sqlite_turning.loader_held():
        sqlite_turning.ask(first)
        sqlite_turning.take_one()
        [live] = sqlite_turning.views()
        assert (live.state, live.wanted) == (ViewState.LOADING, True)
        first.answer.cancel()
        assert not live.wanted
    sqlite_turning.take_one(sqlite_turning.next_load())
    assert live.state is ViewState.NEW
    assert not live.loaded
    again = request()
    sqlite_turning.ask(again)
    sqlite_turning.turn()
    assert list(again.answer.result(timeout=0).rows) == [1, 2]
    assert not live.readers


@override_settings(BINDSERVER={"SYNC_ROWS": 1})
def test_who_comes_and_leaves_is_not_gathered(sqlite_turning: Turning) -> None:
    add(1)
    add(2)
    requests = [request() for _ in range(5)]
    with sqlite_turning.loader_held():
        for one in requests:
            sqlite_turning.ask(one)
            sqlite_turning.take_one()
            one.answer.cancel()
        [live] = sqlite_turning.views()
        assert [reading.request for reading in live.readers] == requests[-1:]
        sqlite_turning.store.evict()
        assert not live.readers
    sqlite_turning.take_one(sqlite_turning.next_load())
