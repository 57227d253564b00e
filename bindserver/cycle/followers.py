"""Who has a view's rows, by the event loop that they are told on."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from bindserver.cycle.inbox import SubscriptionRef
from bindserver.cycle.one_or_many import Few

ByLoop = Mapping[asyncio.AbstractEventLoop, Sequence[SubscriptionRef]]


def by_loop(refs: Sequence[SubscriptionRef]) -> ByLoop:
    """Return subscriptions by the loops of their listeners."""
    loops: dict[asyncio.AbstractEventLoop, list[SubscriptionRef]] = {}
    for ref in refs:
        loops.setdefault(ref.listener.loop, []).append(ref)
    return loops


class Followers(Few[SubscriptionRef]):
    """The subscriptions that have a view's rows. They stay in order from turn to turn, for as long
    as none comes or goes: a view that changes often has them put in order once."""

    __slots__ = ("_by_loop",)

    def __init__(self) -> None:
        super().__init__()
        self._by_loop: ByLoop | None = None

    def add(self, member: SubscriptionRef) -> None:
        """Take a subscription."""
        super().add(member)
        self._by_loop = None

    def discard(self, member: SubscriptionRef) -> None:
        """Let go of a subscription, if it has the rows."""
        super().discard(member)
        self._by_loop = None

    def clear(self) -> None:
        """Let go of all."""
        super().clear()
        self._by_loop = None

    def by_loop(self) -> ByLoop:
        """Return all as they are now. What is returned stays as it is when others come."""
        if self._by_loop is None:
            found = by_loop(list(self))
            if len(self) == 1:
                return found  # very many views have a single one, and this takes 300 bytes
            self._by_loop = found
        return self._by_loop
