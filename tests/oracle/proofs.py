"""Which cursors the servers must be able to prove, as far as the machine can tell."""

from __future__ import annotations

import time

from tests.oracle.moving import MOVING
from tests.oracle.subscription import Subscription
from tests.oracle.truth import History
from tests.oracle.writer import Writer

HOLES_SECONDS = 60.0
"""How long what was undone may count as what may come yet: a cursor with such a hole in what was
purged proves nothing. Servers need some 12 seconds to tell, this is more than enough."""
UNPROVEN = frozenset({"mine", "own_listed", *MOVING})
"""What no cursor proves: a binding that reads rows by itself, and what moves without a write."""
NEVER = 2**62
"""Later than any state: no cursor can be proved until all have come to rest."""


class Proofs:
    """Remembers what ended the proof of older cursors.

    Args:
        writer: reads the log's epoch.
        history: counts the states.
    """

    def __init__(self, writer: Writer, history: History) -> None:
        self._writer = writer
        self._history = history
        self._since = 0
        self._seen_epoch = ""
        self._holes_until = 0.0

    def hold(self, subscription: Subscription | None) -> bool:
        """Return whether a server can prove what has changed since a subscription's cursor."""
        return (
            subscription is not None
            and subscription.replica is not None
            and subscription.replica.cursor is not None
            and subscription.since > self._since
            and subscription.name.event not in UNPROVEN
        )

    def end(self, state: int) -> None:
        """Note that no cursor of a state up to this one can be proved any more."""
        self._since = max(self._since, state)

    def purged(self) -> None:
        """Note that the log was purged."""
        self.end(NEVER if self._writer.dialect.leaves_holes else self._history.state)
        if self._writer.dialect.leaves_holes:
            self._holes_until = time.monotonic() + HOLES_SECONDS

    def rest(self) -> None:
        """Note that all replicas are as the database is: from here on cursors can be proved again,
        if no new epoch has come since the last rest."""
        before, self._seen_epoch = self._seen_epoch, self._epoch()
        if self._since != NEVER or time.monotonic() < self._holes_until:
            return
        if before == self._seen_epoch:
            self._since = self._history.state

    def _epoch(self) -> str:
        sql = "SELECT value FROM bindserver_meta WHERE name = 'epoch'"
        return str(self._writer.session.rows(sql)[0][0])
