"""A project's code in a thread of ours: what it raises there, and what ends that thread."""

from __future__ import annotations

import asyncio
import threading
from typing import NoReturn

import pytest

from bindserver.exceptions import BindingError
from bindserver.user_code import apart, contained_in_task


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


@pytest.mark.parametrize("problem", [SystemExit(1), asyncio.CancelledError()], ids=repr)
async def test_what_awaited_code_raises_to_end_its_task_is_a_failure_of_that_code(
    problem: BaseException,
) -> None:
    async def awaited() -> NoReturn:
        raise problem

    with pytest.raises(BindingError), contained_in_task():
        await awaited()


async def test_a_task_that_is_cancelled_is() -> None:
    async def waiting() -> None:
        with contained_in_task():
            await asyncio.Event().wait()

    task = asyncio.ensure_future(waiting())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_time_that_is_over_is() -> None:
    async def waiting() -> None:
        async with asyncio.timeout(0):
            with contained_in_task():
                await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await waiting()
