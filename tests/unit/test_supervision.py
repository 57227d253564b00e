"""Threads that are begun anew: after how long, how often, and what probes hear meanwhile."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import pytest

from bindserver import supervision
from bindserver.supervision import Restarts, Supervised
from tests.support.logs import logged


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Hasty(Restarts):
    """Rests for no time, whatever it would be."""

    def after_death(self) -> float | None:
        return None if super().after_death() is None else 0.0


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has connected in this process, as a test of the consumer does, has made it a server,
    which ends with a thread that fails too often."""
    monkeypatch.setattr(supervision, "_ends_process", threading.Event())


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_each_death_within_a_minute_is_followed_by_a_longer_rest(clock: Clock) -> None:
    restarts = Restarts(clock)
    assert [restarts.after_death() for _ in range(4)] == [0.1, 0.5, 1.0, 2.0]


def test_the_fifth_death_within_a_minute_is_too_many(clock: Clock) -> None:
    restarts = Restarts(clock)
    for _ in range(4):
        clock.now += 10
        assert restarts.after_death() is not None
    clock.now += 10
    assert restarts.after_death() is None


def test_deaths_of_more_than_a_minute_ago_are_forgotten(clock: Clock) -> None:
    restarts = Restarts(clock)
    for _ in range(20):
        clock.now += 20
        assert restarts.after_death() in (0.1, 0.5, 1.0)
    clock.now += 61
    assert restarts.after_death() == 0.1


def failing(times: int, problem: BaseException) -> tuple[Callable[[], None], threading.Event]:
    """Return work that fails so many times, and what is set when it does not."""
    left, well = [problem] * times, threading.Event()

    def work() -> None:
        if left:
            raise left.pop()
        well.set()

    return work, well


@pytest.mark.parametrize(
    "problem", [SystemExit(1), KeyboardInterrupt(), GeneratorExit(), MemoryError()], ids=repr
)
def test_a_thread_whose_work_raises_puts_things_in_order_and_begins_anew(
    problem: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    work, well = failing(2, problem)
    recovered: list[int] = []
    thread = Supervised(
        "test", "tests", work, recover=lambda: recovered.append(1), restarts=Hasty()
    )
    thread.start()
    assert well.wait(30)
    thread.join(30)
    assert recovered == [1, 1]
    told = logged(caplog, logging.CRITICAL)
    assert [type(problem).__name__ in text and "Traceback" in text for text in told] == [True] * 2


def test_what_cannot_be_put_in_order_does_not_keep_a_thread_from_beginning_anew() -> None:
    work, well = failing(1, SystemExit(1))
    thread = Supervised("test", "tests", work, recover=lambda: 1 / 0, restarts=Hasty())
    thread.start()
    assert well.wait(30)
    thread.join(30)


def test_a_thread_that_rests_is_told_of_and_ends_when_it_is_stopped() -> None:
    resting, ended = threading.Event(), threading.Event()

    class Long(Restarts):
        def after_death(self) -> float | None:
            return 600.0

    work, _ = failing(1, ValueError())
    thread = Supervised("test", "tests", work, recover=resting.set, end=ended.set, restarts=Long())
    thread.start()
    assert resting.wait(30)
    assert supervision.troubles()["tests"] == (
        "its thread has failed (ValueError), and begins anew"
    )
    assert "tests" not in supervision.gone()
    thread.stop()
    thread.join(30)
    assert ended.is_set()
    assert "tests" not in supervision.troubles()


def test_nobody_may_wait_for_a_thread_that_has_failed_too_often_and_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    was_down: list[bool] = []
    work, well = failing(5, SystemExit(1))
    monkeypatch.setattr(supervision, "REST_SECONDS", 0.0)
    thread = Supervised(
        "test",
        "tests",
        work,
        recover=lambda: was_down.append(thread.is_down),
        restarts=Hasty(),
    )
    thread.start()
    assert well.wait(30)
    thread.join(30)
    assert was_down == [False] * 4 + [True]
    assert not thread.is_down


def test_a_thread_that_ends_as_it_should_is_not_missed() -> None:
    work, _ = failing(0, SystemExit(1))
    thread = Supervised("test", "tests", work)
    thread.start()
    thread.join(30)
    assert "tests" not in supervision.gone()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_cannot_be_begun_anew_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Supervised, problem: BaseException) -> None:
        raise MemoryError

    monkeypatch.setattr(Supervised, "_rest", fail)
    work, _ = failing(1, SystemExit(1))
    thread = Supervised("test", "tests", work)
    thread.start()
    thread.join(30)
    try:
        assert supervision.gone() == {"tests": "its thread has ended"}
    finally:
        supervision._started.discard(thread)
