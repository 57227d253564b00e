"""A process that forks while threads of ours work."""

from __future__ import annotations

import os
import threading
import time

import pytest

from bindserver.forks import Gate, working


def test_a_fork_waits_until_nobody_works_and_lets_nobody_begin_meanwhile() -> None:
    gate = Gate()
    seen: list[str] = []
    entered, leave = threading.Event(), threading.Event()

    def work(name: str) -> None:
        with gate:
            seen.append(name)
            entered.set()
            leave.wait(60)

    first = threading.Thread(target=work, args=["first"])
    first.start()
    entered.wait(60)

    def fork() -> None:
        gate.close()
        seen.append("forked")

    closing = threading.Thread(target=fork)
    closing.start()
    second = threading.Thread(target=work, args=["second"])
    while not gate._closed:
        time.sleep(0.001)
    second.start()
    assert seen == ["first"]
    leave.set()
    closing.join(60)
    assert seen == ["first", "forked"]
    gate.open()
    second.join(60)
    assert seen == ["first", "forked", "second"]
    first.join(60)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_may_work_whatever_its_parent_was_at() -> None:
    def hold() -> None:
        with working:
            held.set()
            done.wait(0.2)

    held, done = threading.Event(), threading.Event()
    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(60)
    child = os.fork()
    if child == 0:
        with working:
            os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    thread.join()
    with working:
        assert working._working == 1
