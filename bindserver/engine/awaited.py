"""The writes that a client waits to see in what it holds.

The hub says when all that the client follows is at a state with the write. What brought it may
still be on its way to the client then: the word waits behind that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from bindserver.engine.protocol import Ref
from bindserver.engine.subscription import Subscription, SubscriptionState


@dataclass(slots=True)
class AwaitedWrite:
    """One of them.

    Attributes:
        ref: the mark of the client's message.
        is_there: whether the hub has said that it is there.
        late: the subscriptions that what brought it has not all been written for; None as long as
            that is not known.
        forget: has the transport let go of its time limit.
    """

    ref: Ref
    is_there: bool = False
    late: frozenset[int] | None = None
    forget: Callable[[], object] | None = None


class AwaitedWrites:
    """One client's.

    Args:
        subscriptions: the client's subscriptions by number, as they are at any time.
    """

    __slots__ = ("_subscriptions", "_writes")

    def __init__(self, subscriptions: Mapping[int, Subscription]) -> None:
        self._subscriptions = subscriptions
        self._writes: dict[int, AwaitedWrite] = {}

    def __len__(self) -> int:
        return len(self._writes)

    def __contains__(self, number: int) -> bool:
        return number in self._writes

    def add(self, number: int, ref: Ref) -> None:
        """Wait for one.

        Args:
            number: by which the hub tells of it.
            ref: the mark of the client's message.
        """
        self._writes[number] = AwaitedWrite(ref)

    def limit(self, number: int, forget: Callable[[], object]) -> None:
        """Take what is to be called when nobody waits for one any more."""
        self._writes[number].forget = forget

    def arrive(self, number: int) -> None:
        """Called when the hub has said that it is there."""
        if number in self._writes:
            self._writes[number].is_there = True

    def forget(self, number: int) -> Ref:
        """Wait for it no more; return its mark."""
        write = self._writes.pop(number)
        if write.forget is not None:
            write.forget()
        return write.ref

    def forget_all(self) -> list[int]:
        """Wait for none; return the numbers of those that there were."""
        numbers = list(self._writes)
        for number in numbers:
            self.forget(number)
        return numbers

    def any_arrived(self) -> bool:
        """Return whether the hub has said of any that it is there."""
        return any(write.is_there for write in self._writes.values())

    def seen(self) -> Iterator[Ref]:
        """Yield the marks of those behind which nothing is on its way any more, and forget them.
        Called where no part of a state is kept back: there may be no room for that when it comes
        into the outbox, and then a subscription is late that was not."""
        for number, write in list(self._writes.items()):
            if not write.is_there:
                continue
            if write.late is None:
                write.late = frozenset(filter(self._is_late, self._subscriptions))
            if not any(map(self._is_late, write.late)):
                yield self.forget(number)

    def _is_late(self, number: int) -> bool:
        subscription = self._subscriptions.get(number)
        return subscription is not None and subscription.state is not SubscriptionState.LIVE
