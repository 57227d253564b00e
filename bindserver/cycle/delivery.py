"""Brings events from the cycle's thread to the listeners of one event loop, in slices."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from bindserver.cycle.followers import ByLoop, Followers, by_loop
from bindserver.cycle.inbox import Listener, SubscriptionRef
from bindserver.engine.events import Accepted, Answered, Arrived, Event, Published, Rejected
from bindserver.logs import Repeats

_repeats = Repeats(logging.getLogger("bindserver.cycle"))

SLICE_SECONDS = 0.004

AT_A_TIME = 32
"""So many listeners hear of a delta before anybody looks at the clock."""

PARK_SECONDS = 0.1


class Outbound:
    """The events of one turn of the cycle, in order."""

    def __init__(self) -> None:
        self._items: list[tuple[ByLoop, Event]] = []
        self._accepted: dict[SubscriptionRef, int] = {}

    def add(self, refs: Iterable[SubscriptionRef], event: Event) -> None:
        """Tell an event to each of `refs`."""
        loops = refs.by_loop() if isinstance(refs, Followers) else by_loop(list(refs))
        if not loops:
            return
        if isinstance(event, Accepted):
            accepted = (ref for part in loops.values() for ref in part)
            self._accepted.update(dict.fromkeys(accepted, len(self._items)))
        self._items.append((loops, event))

    def refuse(self, ref: SubscriptionRef, event: Rejected) -> None:
        """Tell that a subscription is refused, in place of the word that it was accepted, and of
        what came behind that, if that is not told yet."""
        at = self._accepted.pop(ref, None)
        if at is None:
            self.add([ref], event)
            return
        alone = by_loop([ref])
        self._items[at] = (alone, event)
        if at + 1 < len(self._items):
            loops, behind = self._items[at + 1]
            self._items[at + 1] = ({} if loops == alone else loops, behind)

    def __bool__(self) -> bool:
        return bool(self._items)

    def __iter__(self) -> Iterator[tuple[Sequence[SubscriptionRef], Event]]:
        for loops, event in self._items:
            yield [ref for part in loops.values() for ref in part], event

    def by_loop(
        self,
    ) -> dict[asyncio.AbstractEventLoop, list[tuple[Sequence[SubscriptionRef], Event]]]:
        """Return the events for each loop."""
        loops: dict[asyncio.AbstractEventLoop, list[tuple[Sequence[SubscriptionRef], Event]]] = {}
        for parts, event in self._items:
            for loop, part in parts.items():
                loops.setdefault(loop, []).append((part, event))
        return loops


class LoopDispatcher:
    """Delivers on one loop: what it was given first, first, and never for long at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._steps: deque[Iterator[None]] = deque()

    def take(
        self,
        items: Sequence[tuple[Sequence[SubscriptionRef], Event]],
        state: str,
        behind: frozenset[Listener],
        done: threading.Event,
    ) -> None:
        """Deliver a turn's events, on the loop's own thread.

        Args:
            items: who hears what.
            state: the committed state that the turn came to.
            behind: listeners with a view that has not come so far; they get no commit mark.
            done: set when all is delivered.
        """
        self._steps.append(_deliver(items, state, behind, done))
        if len(self._steps) == 1:
            self._work()

    def _work(self) -> None:
        until = time.perf_counter() + SLICE_SECONDS
        while self._steps:
            for _ in self._steps[0]:
                if time.perf_counter() > until:
                    self._loop.call_soon(self._work)
                    return
            self._steps.popleft()


def _deliver(
    items: Sequence[tuple[Sequence[SubscriptionRef], Event]],
    state: str,
    behind: frozenset[Listener],
    done: threading.Event,
) -> Iterator[None]:
    """Tell each event to each listener, resting after a few."""
    settled: dict[Listener, None] = {}
    for refs, event in items:
        if isinstance(event, Published):
            yield from _publish(refs, event, behind, settled)
            continue
        counts = isinstance(event, (Answered, Arrived))
        for listener, number, _ in refs:
            try:
                listener.hear(number, event)
            except Exception:
                _give_up(listener)
            if counts:
                settled[listener] = None
            yield
    for listener in behind:
        settled.pop(listener, None)
    for index, listener in enumerate(settled, start=1):
        try:
            listener.settle(state)
        except Exception:
            _give_up(listener)
        if index % AT_A_TIME == 0:
            yield
    done.set()


def _publish(
    refs: Sequence[SubscriptionRef],
    published: Published,
    behind: frozenset[Listener],
    settled: dict[Listener, None],
) -> Iterator[None]:
    """Tell a delta to each listener, by its line if that is open, resting after a few.

    This is where one change reaches very many clients: the less is done here for each, the better.

    Args:
        refs: who hears it.
        published: the delta.
        behind: who does not have all of the state.
        settled: takes those who hear of the state, too. A line carries one subscription alone, and
            where that is so there is no state to be told of.
    """
    version, frame = published.version, published.small
    wire, packed = b"" if frame is None else frame.wire, False
    size, all_are_here = len(wire), not behind
    for start in range(0, len(refs), AT_A_TIME):
        for listener, number, line in refs[start : start + AT_A_TIME]:
            try:
                if (
                    frame is not None
                    and line is not None
                    and line.carries == number
                    and (all_are_here or listener not in behind)
                ):
                    if line.packs is not packed:
                        packed = line.packs
                        wire = frame.form(packed=packed)
                        size = len(wire)
                    line.write(wire)
                    line.version = version
                    line.frames += 1
                    line.bytes += size
                    continue
                listener.hear(number, published)
            except Exception:
                _give_up(listener)
            settled[listener] = None
        yield


def _give_up(listener: Listener) -> None:
    """Have a listener fail; one that fails in that, too, keeps no other from its events."""
    try:
        listener.fail()
    except Exception as problem:
        _repeats.note("a listener cannot be given up", problem)


EVERYTHING = -1
"""The number of no subscription: what is told by it is about all that a listener has."""


class Fanout:
    """The dispatchers of all loops that one cycle delivers to.

    Attributes:
        behind: the listeners that did not have all of a state when something was last delivered.
    """

    def __init__(self) -> None:
        self.behind: frozenset[Listener] = frozenset()
        self._dispatchers: dict[asyncio.AbstractEventLoop, LoopDispatcher] = {}

    def send(self, outbound: Outbound, state: str, behind: frozenset[Listener]) -> None:
        """Hand a turn's events over, and let the loops work for a moment before going on.

        Whoever was behind and is no more is told so, or a mark that is due would wait for the next
        change: what they had waited for may have come to nothing.
        """
        arrived, self.behind = self.behind - behind, behind
        outbound.add([SubscriptionRef(one, EVERYTHING) for one in arrived], Arrived())
        waiting = []
        for loop, items in outbound.by_loop().items():
            if loop.is_closed():
                self._dispatchers.pop(loop, None)
                continue
            dispatcher = self._dispatchers.setdefault(loop, LoopDispatcher(loop))
            done = threading.Event()
            loop.call_soon_threadsafe(dispatcher.take, items, state, behind, done)
            waiting.append(done)
        until = time.perf_counter() + PARK_SECONDS
        for done in waiting:
            done.wait(max(0.0, until - time.perf_counter()))
