"""A gate and a mailbox do what an event and a queue of asyncio's do."""

from __future__ import annotations

import asyncio
import sys
from random import Random

import pytest

from bindserver.server.mailbox import Mailbox, PauseGate


@pytest.mark.parametrize("kind", [PauseGate, asyncio.Event])
async def test_all_who_wait_go_on_when_it_opens(kind: type[PauseGate]) -> None:
    gate = kind()
    gate.set()
    await asyncio.wait_for(gate.wait(), 1)
    gate.clear()
    waiting = [asyncio.create_task(gate.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    assert [one.done() for one in waiting] == [True, False, False]
    gate.set()
    gate.clear()  # they came while it was closed, and it was opened
    await asyncio.wait(waiting, timeout=1)
    assert [one.cancelled() for one in waiting] == [True, False, False]
    assert not gate.is_set()


@pytest.mark.parametrize("seed", range(20))
async def test_what_comes_is_read_in_order_whoever_is_first(seed: int) -> None:
    chance, mailbox = Random(seed), Mailbox[int]()
    read: list[int] = []

    async def reader() -> None:
        while len(read) < 50:
            read.append(await mailbox.get())
            if chance.random() < 0.3:
                await asyncio.sleep(0)

    task = asyncio.create_task(reader())
    for number in range(50):
        mailbox.put_nowait(number)
        for _ in range(chance.randrange(3)):
            await asyncio.sleep(0)
    await asyncio.wait_for(task, 5)
    assert read == list(range(50))
    assert mailbox.empty()


async def test_a_reader_that_is_cancelled_takes_nothing_with_it() -> None:
    mailbox = Mailbox[str]()
    task = asyncio.create_task(mailbox.get())
    await asyncio.sleep(0)
    mailbox.put_nowait("it")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await mailbox.get() == "it"


def test_empty_ones_are_small() -> None:
    assert sys.getsizeof(PauseGate()) + sys.getsizeof(Mailbox[int]()) < 200
