"""A project's code in a thread of ours: what it raises there, and what ends that thread."""

from __future__ import annotations

import threading
from typing import NoReturn

import pytest

from bindserver.exceptions import BindingError
from bindserver.user_code import apart


def interrupted() -> NoReturn:
    raise KeyboardInterrupt


def test_an_interrupt_that_code_raises_in_a_thread_of_ours_is_a_failure_of_that_code() -> None:
    raised: list[BaseException] = []

    def work() -> None:
        try:
            apart(interrupted)
        except BaseException as problem:
            raised.append(problem)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert [type(problem) for problem in raised] == [BindingError]


def test_an_interrupt_of_the_main_thread_is_one() -> None:
    with pytest.raises(KeyboardInterrupt):
        apart(interrupted)
