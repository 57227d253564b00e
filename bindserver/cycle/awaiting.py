"""Who waits to hear that they hold a write: all are told whose views the next turn brings to the
present, as its snapshot was taken after they began to wait."""

from __future__ import annotations

from collections.abc import Collection

from bindserver.cycle.delivery import Outbound
from bindserver.cycle.inbox import Listener, SubscriptionRef
from bindserver.engine.events import Rejected, Seen


class Awaiting:
    """Those of one database."""

    def __init__(self) -> None:
        self._refs: dict[SubscriptionRef, None] = {}

    def __bool__(self) -> bool:
        return bool(self._refs)

    def add(self, ref: SubscriptionRef) -> None:
        """Have a listener wait, by the number of its question."""
        self._refs[ref] = None

    def forget(self, ref: SubscriptionRef) -> None:
        """Have it wait no more, if it does."""
        self._refs.pop(ref, None)

    def tell(self, outbound: Outbound, behind: Collection[Listener]) -> None:
        """Tell all but those who do not have all of the present state.

        Args:
            outbound: what is told, behind all else that is.
            behind: those.
        """
        here = [ref for ref in self._refs if ref.listener not in behind]
        for ref in here:
            del self._refs[ref]
        outbound.add(here, Seen())

    def refuse(self, outbound: Outbound, rejected: Rejected) -> None:
        """Tell all that it cannot be known now."""
        outbound.add(self._refs, rejected)
        self._refs = {}
