"""Subscribers who come back after a restart, and how long another binding's frames take then."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import time
from bisect import bisect_left
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from benchmarks.cycling import Audience, Following, Wanted, following
from benchmarks.homes import Place

OFTEN_SECONDS = 0.02
"""The other binding's row is written so often."""
MOST = 500_000
ALONE_SECONDS = 3.0
HUNDREDTHS = 100

Subscribing = Callable[[Following, Iterable[Wanted]], Awaitable[float]]


class Frames:
    """How long frames of the other binding take, from the commit to who hears it.

    A program of its own writes one number after the other, so that this one's threads do not hold
    it up.

    Args:
        place: the database.
    """

    def __init__(self, place: Place) -> None:
        forked = multiprocessing.get_context("fork")
        self._committed: Any = forked.Array("d", MOST, lock=False)
        self._last: Any = forked.Value("q", 0, lock=False)
        self._over = forked.Event()
        self._process = forked.Process(target=self._write, args=(place,))
        self._numbers: list[int] = []
        self._times: list[float] = []

    def _write(self, place: Place) -> None:
        program = place.program()
        while not self._over.wait(OFTEN_SECONDS):
            number = self._last.value + 1
            program.run(f"UPDATE board_notice SET number = {number}")
            self._committed[number] = time.monotonic()
            self._last.value = number
        program.close()

    def hear(self, number: int, event: Any) -> None:
        """Note what is heard of the other binding, and when."""
        if number != Audience.MARK:
            return
        for frame in getattr(event, "frames", ()):
            data = json.loads(frame.text)["data"]
            if data["action"] == "update":
                self._numbers.append(data["payload"]["number"])
                self._times.append(time.monotonic())

    @asynccontextmanager
    async def written(self) -> AsyncIterator[Frames]:
        """Have numbers written, for as long as the block lasts."""
        self._process.start()
        try:
            yield self
        finally:
            self._over.set()
            await asyncio.to_thread(self._process.join)

    def last(self) -> int:
        """Return the last number that was committed."""
        return int(self._last.value)

    async def all_heard(self, audience: Audience) -> None:
        """Wait until all is heard that is committed by now."""
        last = self.last()
        await audience.until(lambda: bool(self._numbers) and self._numbers[-1] >= last)

    def between(self, first: int, last: int) -> list[float]:
        """Return how long the frames of some numbers took, in seconds, sorted: one that brings
        several was waited for by each."""
        heard = [self._times[bisect_left(self._numbers, n)] for n in range(first, last + 1)]
        return sorted(
            at - self._committed[n] for n, at in zip(range(first, last + 1), heard, strict=True)
        )


async def come_back(wanted: Sequence[Wanted], place: Place, subscribe: Subscribing) -> str:
    """Have all follow, restart, and have all come back at once with what they know.

    Args:
        wanted: what they follow.
        place: the database.
        subscribe: waits until all are answered, and returns how long that took.

    Returns:
        How long they waited, and others meanwhile, in words.
    """
    frames = Frames(place)
    async with frames.written():
        cursors = await _first_time(wanted, subscribe)
        back = [replace(one, cursor=cursors[n]) for n, one in enumerate(wanted, start=1)]
        async with following(frames.hear) as followed:
            await followed.follow_marks()
            began = frames.last() + 1
            await asyncio.sleep(ALONE_SECONDS)
            came = frames.last() + 1
            seconds = await subscribe(followed, back)
            last = frames.last()
            await frames.all_heard(followed.audience)
        alone, beside = frames.between(began, came - 1), frames.between(came, last)
    return (
        f"{len(wanted):,} subscribers with a view each, all answered {seconds:.1f} s after a "
        f"restart; another binding's frames meanwhile: median {_part(beside, 50):.0f} ms, p99 "
        f"{_part(beside, 99):.0f} ms (alone {_part(alone, 50):.0f} and {_part(alone, 99):.0f} ms); "
        "to reach: 20,000 in 20 s, p99 100 ms"
    )


async def _first_time(wanted: Sequence[Wanted], subscribe: Subscribing) -> dict[int, str]:
    """Return the cursor that each comes to."""
    cursors: dict[int, str] = {}

    def keep(number: int, event: Any) -> None:
        cursors[number] = json.loads(event.frames[-1].text)["data"]["cursor"]

    async with following(keep) as followed:
        await subscribe(followed, wanted)
    return cursors


def _part(seconds: Sequence[float], hundredths: int) -> float:
    """Return what so many of a hundred took at most, in milliseconds."""
    return seconds[(len(seconds) - 1) * hundredths // HUNDREDTHS] * 1e3 if seconds else 0.0
