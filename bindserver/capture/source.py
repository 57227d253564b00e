"""What the cycle asks about changes, whichever capture is on."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Protocol

from bindserver.capture.log_facts import LogSize
from bindserver.capture.read_columns import ReadColumns
from bindserver.engine.changes import Change, Position


class Source(Protocol):
    """Says where in history a snapshot is, and what changed on the way.

    Attributes:
        name: the capture's name.
        polls: whether commits elsewhere can be noticed by looking.
        durable: whether any connection can tell its snapshot's position.
    """

    name: str
    polls: bool
    durable: bool

    def prepare(self, tables: Collection[str], columns: ReadColumns | None = None) -> None:
        """Bring in place, before a snapshot, what is needed to see changes of these tables.

        Args:
            tables: the tables.
            columns: which of their columns are read, and will have been when `watches` is asked.

        Raises:
            LogRemoved, LogInstalled: another source is to be asked from now on.
        """

    def prepared(self) -> bool:
        """Tell, in a snapshot, whether what `prepare` brought in place is there in it too."""

    def watches(self, tables: Collection[str]) -> bool:
        """Return whether all that can be seen of these tables' changes is seen, as far as anybody
        reads what is changed."""

    def unseen(self) -> frozenset[str]:
        """Return the tables whose changes are not seen for the time being."""

    def suspected(self) -> list[Change]:
        """Return the changes that there may be in those, where it is time to compare them."""

    def position(self) -> Position:
        """Return the position of the present snapshot."""

    def proves(self, compared: Position, asked: Position) -> bool:
        """Return whether a view shows all that was committed when somebody asked for its rows.

        Args:
            compared: where it was read whole for the last time; it has followed `changes` since.
            asked: where we were when its rows were asked for.
        """

    def changes(self, since: Position) -> list[Change] | None:
        """Return what changed since a position, None when that cannot be proved."""

    def old_columns(self, table: str) -> frozenset[str]:
        """Return the columns of a table whose old values every change tells."""

    def hint(self, changes: Collection[Change]) -> None:
        """Take hints of what was written."""

    def compare(self) -> None:
        """Called when changes may have gone unseen."""

    def listen(self, ring: Callable[[], None]) -> None:
        """Have it rung when somebody commits, from any thread, if the database can tell."""

    def moved(self) -> bool:
        """Return whether anybody has committed since the last look."""

    def pause(self, *, quiet: bool) -> float:
        """Return how long to wait between two looks, in seconds.

        Args:
            quiet: whether nothing was written for a while.
        """

    def due(self) -> float | None:
        """Return when, on the monotonic clock, a look is due without a hint."""

    def purge(self) -> bool:
        """Let go of some old history; return whether there may be more."""

    def size(self) -> LogSize | None:
        """Return how large the log is that it reads; None where it reads none."""

    def close(self) -> None:
        """End what works besides."""
