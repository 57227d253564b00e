"""One connection's life: a channel layer on one event loop, until something goes wrong with it."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Collection
from typing import Any

from bindserver.conf import conf
from bindserver.engine.changes import Change, Gathered
from bindserver.exceptions import BindserverError
from bindserver.relay.messages import (
    Beat,
    CommandMessage,
    GapDetector,
    Hints,
    RelayMessage,
    dump,
    load,
    split,
)

logger = logging.getLogger("bindserver.relay")

SEND_SECONDS = 5.0
"""How long a channel layer may take to send a message."""
JOIN_SECONDS = 5.0
JOIN_BEAT_SECONDS = 0.2
JOIN_AGAIN_SECONDS = 60.0
PATIENCE_BEATS = 3
"""After so many beats without an echo a process takes itself for cut off."""
CANCEL_SECONDS = 0.1
COMPARE_PAUSE_SECONDS = 0.5
"""How long after a compare the next one begins at the earliest."""


class NoEcho(BindserverError):
    """A process does not hear itself through the channel layer."""


class SendQueue:
    """What waits to be sent; it lasts from one life to the next.

    Hints are put together while they wait, so that it cannot grow past a few keys for each table.

    Args:
        sender: this process's name, which no other has or had.
    """

    def __init__(self, sender: str) -> None:
        self.sender = sender
        self.gaps = GapDetector()
        self._lock = threading.Lock()
        self._sent = threading.Event()
        self._sent.set()
        self._waiting: dict[str, Gathered] = {}
        self._numbered: deque[RelayMessage] = deque()
        self._number = 0

    @property
    def used(self) -> bool:
        """Whether anything was ever sent."""
        return self._number > 0

    def put(self, alias: str, changes: Collection[Change]) -> None:
        """Put hints to those that wait, from any thread."""
        with self._lock:
            waiting = self._waiting.get(alias)
            if waiting is None:
                waiting = self._waiting[alias] = Gathered(conf.HINT_KEYS)
            waiting.add(changes)
            self._sent.clear()

    def beat(self) -> None:
        """Number a beat, to be sent after what is there."""
        self._number_waiting()
        self._append(Beat(sender=self.sender, number=self._number + 1))

    def first(self) -> RelayMessage | None:
        """Return the oldest message that has not been sent."""
        if not self._numbered:
            self._number_waiting()
        return self._numbered[0] if self._numbered else None

    def done(self) -> None:
        """Let go of the oldest: it was sent."""
        self._numbered.popleft()
        with self._lock:
            if not self._numbered and not self._waiting:
                self._sent.set()

    def wait_until_sent(self, seconds: float) -> bool:
        """Wait until nothing is left; return whether that came about."""
        return self._sent.wait(seconds)

    def _number_waiting(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        for alias, gathered in waiting.items():
            for changes in split(gathered.take(), conf.HINT_KEYS):
                number = self._number + 1
                self._append(Hints(sender=self.sender, number=number, alias=alias, changes=changes))

    def _append(self, message: RelayMessage) -> None:
        self._number = message.number
        self._numbered.append(message)


class RelayConnection:
    """One connection of a relay, on the running loop.

    Args:
        layer: the channel layer, which nobody else uses.
        queue: what is to be sent.
        receiver: hears what others say.
        worked: called when the channel layer has done what was asked of it.
    """

    def __init__(
        self, layer: Any, queue: SendQueue, receiver: Any, worked: Callable[[], None]
    ) -> None:
        self._layer = layer
        self._queue = queue
        self._receiver = receiver
        self._worked = worked
        self._bell = asyncio.Event()
        self._bell.set()  # something may have come between two lives
        self._wants_to_hear = asyncio.Event()
        self._over = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._echoed_at: float | None = None
        self._compared_at = float("-inf")
        self._compare_due: asyncio.TimerHandle | None = None
        self._problem: BaseException | None = None

    # From other threads, by `call_soon_threadsafe`.

    def ring(self) -> None:
        """Called when there is something to send."""
        self._bell.set()

    def listen(self) -> None:
        """Join the group, and hear what is said there."""
        self._wants_to_hear.set()

    def end(self, problem: BaseException | None = None) -> None:
        """Come to an end, because of a problem or in peace."""
        self._problem = self._problem or problem
        self._over.set()

    # The life.

    async def run(self) -> None:
        """Send, hear and beat until the end.

        Raises:
            Exception: the channel layer failed, or does not let us hear ourselves.
        """
        work = (self._send_all(), self._hear_all(), self._beat_all(), self._over.wait())
        tasks = {asyncio.ensure_future(one) for one in work}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._over.set()
            await _end(tasks)
            if self._compare_due is not None:
                self._compare()  # whatever is missed from now on is found at the next joining
            problems = [task.exception() for task in tasks if not task.cancelled()]
        logger.debug("bindserver: a connection has ended, with %s", problems)
        for task in done:
            task.result()
        if self._problem is not None:
            raise self._problem

    async def _send_all(self) -> None:
        while not self._over.is_set():
            await self._bell.wait()
            self._bell.clear()
            while (message := self._queue.first()) is not None:
                async with asyncio.timeout(SEND_SECONDS):
                    await self._layer.group_send(conf.RELAY_GROUP, dump(message))
                self._queue.done()
                if not self._wants_to_hear.is_set():
                    self._worked()

    async def _beat_all(self) -> None:
        """Say now and then how far the numbers are, for whoever has missed the last ones."""
        while not self._over.is_set():
            await asyncio.sleep(conf.RELAY_BEAT_SECONDS)
            if self._queue.used or self._wants_to_hear.is_set():
                self._beat()
            if self._echoed_at is not None:
                silence = self._loop.time() - self._echoed_at
                if silence > PATIENCE_BEATS * conf.RELAY_BEAT_SECONDS:
                    raise NoEcho(f"no echo for {silence:.0f} s")

    def _beat(self) -> None:
        self._queue.beat()
        self._bell.set()

    # Hearing.

    async def _hear_all(self) -> None:
        await self._wants_to_hear.wait()
        channel = await self._layer.new_channel()
        await self._join(channel)
        join_at = self._loop.time() + JOIN_AGAIN_SECONDS
        while not self._over.is_set():
            await self._take(await self._layer.receive(channel))
            if self._loop.time() >= join_at:
                join_at = self._loop.time() + JOIN_AGAIN_SECONDS
                await self._layer.group_add(conf.RELAY_GROUP, channel)

    async def _join(self, channel: str) -> None:
        """Join the group. An echo is the proof; whatever came before it may have been missed."""
        async with asyncio.timeout(JOIN_SECONDS):
            await self._layer.group_add(conf.RELAY_GROUP, channel)
            while self._echoed_at is None:
                self._beat()
                receiving = asyncio.ensure_future(self._layer.receive(channel))
                receiving.add_done_callback(_heed)
                try:
                    while not (await asyncio.wait([receiving], timeout=JOIN_BEAT_SECONDS))[0]:
                        self._beat()
                finally:
                    if not receiving.done():
                        receiving.cancel()
                await self._take(receiving.result())
        self._worked()
        self._compare_soon()

    async def _take(self, raw: dict[str, Any]) -> None:
        message = load(raw)
        if message is None:
            logger.warning("bindserver: a message of another version came by the channel layer")
            self._compare_soon()
            return
        if not self._queue.gaps.follows(message.sender, message.number):
            self._compare_soon()
        if message.sender == self._queue.sender:
            self._echoed_at = self._loop.time()
            return  # what this process wrote went straight to its own hub
        match message:
            case Hints():
                self._receiver.hint(message.alias, message.changes)
            case CommandMessage():
                self._receiver.command(message.command, message.events)
                async with asyncio.timeout(SEND_SECONDS):
                    done = {"type": "bindserver.done", "sender": self._queue.sender}
                    await self._layer.send(message.reply, done)

    def _compare_soon(self) -> None:
        """Compare everything: hints may have been lost. One time for many reasons."""
        if self._compare_due is None:
            due = max(self._loop.time(), self._compared_at + COMPARE_PAUSE_SECONDS)
            self._compare_due = self._loop.call_at(due, self._compare)

    def _compare(self) -> None:
        self._compare_due = None
        self._compared_at = self._loop.time()
        self._receiver.compare()


def _heed(task: asyncio.Future[Any]) -> None:
    """Look at how a task has ended: one that was cancelled may fail instead, and nobody waits."""
    if not task.cancelled():
        task.exception()


async def _end(tasks: Collection[asyncio.Future[Any]]) -> None:
    """Cancel tasks until they are done: a channel layer may swallow what it is told once."""
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_SECONDS)
