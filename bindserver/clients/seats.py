"""How many connections there may be: all together, and of one client.

A client is a user, or an address where nobody is logged in. Counted on the event loops' threads.
"""

from __future__ import annotations

import threading
from collections import Counter

from bindserver.conf import conf
from bindserver.cycle.owners import Owner
from bindserver.forks import on_fork


class Crowded(Exception):
    """There is no room for a connection.

    Args:
        who: has too many.
        setting: says how many these may be.
    """

    def __init__(self, who: str, setting: str) -> None:
        super().__init__(f"{who} has too many connections ({setting})")
        self.setting = setting


class Seat:
    """One connection's place among all.

    Args:
        owner: the client.

    Raises:
        Crowded: there are too many.
    """

    __slots__ = ("_owner",)

    def __init__(self, owner: Owner) -> None:
        self._owner: Owner | None = None
        seats.take(owner, among_all=True)
        self._owner = owner

    def change(self, owner: Owner) -> None:
        """Count as another client's from now on: it is known by now who that is.

        Raises:
            Crowded: that client has too many. The seat is kept as it was.
        """
        if self._owner in (None, owner):
            return
        seats.take(owner, among_all=False)
        seats.leave(self._owner)
        self._owner = owner

    def leave(self) -> None:
        """Make room; only the first call counts."""
        owner, self._owner = self._owner, None
        if owner is not None:
            seats.leave(owner)


class Seats:
    """All connections of this process that may have one, by client."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew, as a process must after a fork."""
        self._taken: Counter[Owner] = Counter()
        self._all = 0
        self._lock = threading.Lock()

    def take(self, owner: Owner, *, among_all: bool) -> None:
        """Count one more for a client.

        Args:
            owner: the client.
            among_all: whether there is one more of all, too.

        Raises:
            Crowded: there are too many.
        """
        with self._lock:
            if among_all and self._all >= conf.MAX_CONNECTIONS:
                raise Crowded("the server", "MAX_CONNECTIONS")
            if self._taken[owner] >= conf.MAX_CONNECTIONS_PER_CLIENT:
                raise Crowded(str(owner), "MAX_CONNECTIONS_PER_CLIENT")
            self._taken[owner] += 1
            self._all += 1

    def leave(self, owner: Owner) -> None:
        """Count one less for a client."""
        with self._lock:
            self._all -= 1
            self._taken[owner] -= 1
            if self._taken[owner] <= 0:
                del self._taken[owner]


seats = Seats()
"""This process's seats."""

on_fork(seats.forget)
