"""Names of views' memories, of which no two are alike."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from bindserver.cycle.incarnations import Incarnations


@pytest.fixture
def often_switching() -> Iterator[None]:
    """Threads that take turns after nearly each step."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


def test_no_name_is_another_number_s() -> None:
    names = Incarnations()
    assert len({names.named(number) for number in range(100)}) == 100


def test_a_number_keeps_its_name() -> None:
    names = Incarnations()
    assert names.named(7) == names.named(7)
    assert names.named(7) != Incarnations().named(7)


def test_in_a_fork_of_the_process_it_has_another(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Incarnations()
    before, parent = {names.named(number) for number in range(20)}, os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: parent + 1)
    assert {names.named(number) for number in range(20)}.isdisjoint(before)


@pytest.mark.usefixtures("often_switching")
def test_threads_that_come_first_at_once_have_the_same_names() -> None:
    for _ in range(20):
        names, ready = Incarnations(), Barrier(4)

        def several(names: Incarnations = names, ready: Barrier = ready) -> list[str]:
            ready.wait()
            return [names.named(number) for number in range(50)]

        with ThreadPoolExecutor(4) as threads:
            found = [work.result() for work in [threads.submit(several) for _ in range(4)]]
        assert all(some == found[0] for some in found)
        assert names.named(0) == found[0][0]
