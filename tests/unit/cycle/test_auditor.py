"""Whose turn it is to be audited, and when."""

from __future__ import annotations

import gc
import math
from types import SimpleNamespace
from typing import Any
from weakref import ref

import pytest
from django.test import override_settings

from bindserver.cycle.auditor import Auditor
from bindserver.cycle.live_view import ViewState


class Clock:
    """A clock that somebody sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Several:
    """Views, an auditor of theirs, and its clock."""

    def __init__(self, *names: str) -> None:
        self.views: list[Any] = [view(name) for name in names]
        self.clock = Clock()
        self.auditor = Auditor(lambda: list(self.views), self.clock)

    def next(self) -> str | None:
        live: Any = self.auditor.next()
        return None if live is None else str(live.name)

    def done(self, name: str, seconds: float = 0.01, *, moved: bool = False) -> None:
        (live,) = [live for live in self.views if live.name == name]
        self.auditor.came_back(live, seconds, moved=moved)

    def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds


class View(SimpleNamespace):
    """What an auditor knows of a view; weak references to it can be had."""


def view(name: str, **more: Any) -> Any:
    query = SimpleNamespace(refreshed_after=None)
    return View(
        name=name,
        **{
            "state": ViewState.READY,
            "is_dropped": False,
            "binding": object,
            "query": query,
            **more,
        },
    )


def test_there_is_one_audit_at_a_time() -> None:
    some = Several("a", "b")
    assert (some.next(), some.next(), some.auditor.due()) == ("a", None, math.inf)


def test_it_takes_its_share_of_the_time() -> None:
    some = Several("a", "b")
    assert some.next() == "a"
    some.done("a", seconds=1)
    some.pass_time(98.9)
    assert some.next() is None
    some.pass_time(0.2)
    assert some.next() == "b"


@pytest.mark.parametrize("share", [0, 0.0])
def test_no_share_is_no_audit(share: float) -> None:
    with override_settings(BINDSERVER={"AUDIT_SHARE": share}):
        assert (Several("a").next(), Several("a").auditor.due()) == (None, math.inf)


def test_all_views_have_their_turn_before_one_has_another() -> None:
    some = Several("a", "b")
    with override_settings(BINDSERVER={"AUDIT_SHARE": 1, "COMPARE_SECONDS": 30}):
        assert some.next() == "a"
        some.views.append(view("new"))
        some.done("a")
        assert some.next() == "b"
        some.done("b")
        assert some.next() is None  # the round is over
        some.pass_time(31)
        for name in ("a", "b", "new"):
            assert some.next() == name
            some.done(name)


def test_one_that_has_moved_is_looked_at_again_once() -> None:
    some = Several("a", "b")
    with override_settings(BINDSERVER={"AUDIT_SHARE": 1}):
        for name in ("a", "b", "a", "b"):
            assert some.next() == name
            some.done(name, moved=True)
        assert some.next() is None


def test_what_is_lost_with_the_database_is_waited_for_no_more() -> None:
    some = Several("a", "b")
    assert some.next() == "a"
    some.auditor.forget()
    assert some.next() == "b"


def test_views_that_have_no_rows_or_are_gone_or_may_be_old_are_passed_over() -> None:
    old = SimpleNamespace(refreshed_after=5.0)
    some = Several()
    some.views = [
        view("failed", state=ViewState.FAILED),
        view("gone", is_dropped=True),
        view("old", query=old),
        view("good"),
    ]
    assert some.next() == "good"


def test_a_view_that_is_dropped_does_not_stay_in_memory_for_the_rest_of_a_round() -> None:
    some = Several("a", "b", "c")
    assert some.next() == "a"
    some.done("a", moved=True)
    seen = [ref(live) for live in some.views]
    some.views.clear()
    gc.collect()
    assert [one() for one in seen] == [None] * 3
    some.pass_time(100)
    assert some.next() is None
