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


def test_no_name_is_given_twice() -> None:
    names = Incarnations()
    assert len({names.next() for _ in range(100)}) == 100


def test_nor_by_a_fork_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Incarnations()
    before, parent = [names.next() for _ in range(10)], os.getpid()
    count = names._series[2]
    in_parent = f"{names._series[1]}{next(count):x}"
    monkeypatch.setattr(os, "getpid", lambda: parent + 1)
    assert {names.next() for _ in range(20)}.isdisjoint([*before, in_parent])
    assert names._series[2] is not count


@pytest.mark.usefixtures("often_switching")
def test_nor_to_threads_that_come_first_at_once() -> None:
    for _ in range(20):
        names, ready = Incarnations(), Barrier(4)

        def several(names: Incarnations = names, ready: Barrier = ready) -> list[str]:
            ready.wait()
            return [names.next() for _ in range(50)]

        with ThreadPoolExecutor(4) as threads:
            found = [work.result() for work in [threads.submit(several) for _ in range(4)]]
        every = [name for some in found for name in some]
        assert len(set(every)) == len(every)
