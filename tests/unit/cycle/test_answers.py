"""What is made of a view's rows is made once for all who ask for the same."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import override_settings

from bindserver.cycle.load_messages import Wanted
from bindserver.cycle.loader import Loader
from bindserver.engine.frames import FrameEncoder
from tests.app.bindings import ProductBinding
from tests.support.turning import Turning, add


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The pages that were made, by how many rows they have."""
    made: list[int] = []
    sync = FrameEncoder.sync

    def counted(encoder: FrameEncoder, rows: Any, *rest: Any) -> Any:
        made.append(len(rows))
        return sync(encoder, rows, *rest)

    monkeypatch.setattr(FrameEncoder, "sync", counted)
    return made


def test_many_who_ask_together_have_the_same_frames(
    sqlite_turning: Turning, encoded: list[int]
) -> None:
    for key in (1, 2, 3):
        add(key)
    followers = [sqlite_turning.follow(ProductBinding()) for _ in range(50)]
    sqlite_turning.turn()
    assert all(follower.column("id") == [1, 2, 3] for follower in followers)
    assert encoded == [3]
    later = sqlite_turning.follow(ProductBinding())
    sqlite_turning.turn()
    assert later.column("id") == [1, 2, 3]
    assert encoded == [3]


def test_frames_for_one_alone_are_not_kept(sqlite_turning: Turning, encoded: list[int]) -> None:
    add(1)
    sqlite_turning.follow(ProductBinding())
    sqlite_turning.turn()
    [live] = sqlite_turning.views()
    assert encoded == [1]
    assert not live.rows.made.sync


@override_settings(BINDSERVER={"SYNC_ROWS": 1})
def test_all_who_come_back_after_a_restart_are_served_from_one_read(
    sqlite_turning: Turning, encoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in (1, 2, 3):
        add(key)
    loads: list[Wanted] = []
    load = Loader.load

    def counted(loader: Loader, wanted: Wanted) -> None:
        loads.append(wanted)
        load(loader, wanted)

    monkeypatch.setattr(Loader, "load", counted)
    followers = []
    with sqlite_turning.loader_held():
        for _ in range(4):  # some turns, before the rows are there
            followers += [sqlite_turning.follow(ProductBinding()) for _ in range(250)]
            sqlite_turning.take_one()
    sqlite_turning.take_one(sqlite_turning.next_load())
    assert all(follower.column("id") == [1, 2, 3] for follower in followers)
    assert (len(loads), encoded) == (1, [3])
