"""What reading views costs: measured, expected the next time, and kept within a share of time."""

from __future__ import annotations

KEPT = 2
"""So many measurements are known; the smallest counts, since a busy machine only adds to them."""

CERTAIN_SECONDS = 0.1
"""A single measurement counts from here on: no machine is as busy as that."""

FEWEST_ROWS = 20
"""What one row costs is known from no fewer: the query costs something without any."""

APART = 2.0
"""What takes so many times as long as a turn has for it is read by a thread of its own."""

WORTH = 10.0
"""Rows are read by key, unless that takes so many times as long as a turn has for it, ..."""

MUCH_MORE = 3.0
"""... and reading all rows does not take so many times as long again."""

OFTEN = 3
"""A view may be read so often in a row before it is read less often."""


class Cost:
    """What it costs to bring the views of one shape to the present, in seconds."""

    __slots__ = ("_moves", "_rows", "_steps", "_wholes")

    def __init__(self) -> None:
        self._wholes: tuple[float, ...] = ()
        self._rows: tuple[float, ...] = ()
        self._steps: tuple[float, ...] = ()
        self._moves: tuple[float, ...] = ()

    def expect(self, other: Cost) -> None:
        """Take what views of another shape of the same binding have cost for what these are going
        to, until one of them was read."""
        self._wholes = (_least(other._wholes),) if other._wholes else ()

    def note_whole(self, seconds: float, rows: int) -> None:
        """Take note of how long it took to read all rows of one view.

        Args:
            seconds: of one view, where several were read together.
            rows: how many these were.
        """
        self._wholes = _with(self._wholes, seconds)
        if rows >= FEWEST_ROWS or (rows and seconds >= CERTAIN_SECONDS):
            self._rows = _with(self._rows, seconds / max(rows, FEWEST_ROWS))

    def note_step(self, seconds: float, keys: int) -> None:
        """Take note of how long it took to read some rows by key: the part that does not grow with
        their number."""
        self._steps = _with(self._steps, max(0.0, seconds - keys * _least(self._rows)))

    def note_move(self, seconds: float) -> None:
        """Take note of how long a turn was busy with all views of the shape."""
        self._moves = _with(self._moves, seconds)

    def note_load(self) -> None:
        """Take note that another thread reads in place of a turn. Where that was to be by key, it
        is tried again after a few times: nothing else can tell that it is dear no more."""
        self._moves = (0.0,)
        self._steps = tuple(seconds / 2 for seconds in self._steps)

    @property
    def of_whole(self) -> float:
        """How long it takes to read all rows of one view; 0 if that is unknown."""
        return _least(self._wholes)

    @property
    def of_move(self) -> float:
        """How long a turn is going to be busy with all views of the shape; 0 if that is unknown."""
        return _least(self._moves or self._wholes)

    def of(self, keys: int | None, views: int = 1) -> float:
        """Return how long it is surely going to take to read rows of some views.

        Args:
            keys: so many by key; None for all rows.
            views: of so many views.
        """
        if keys is None:
            return views * _surely(self._wholes)
        return _surely(self._steps) + keys * _least(self._rows)

    def is_dear(self, keys: int | None, views: int, seconds: float) -> bool:
        """Return whether rows are better read by another thread, whole.

        Args:
            keys: as for `of`.
            views: the same.
            seconds: how long it may take in a turn.
        """
        expected = self.of(keys, views)
        if keys is None:
            return expected > APART * seconds
        whole = views * _least(self._wholes)
        return expected > WORTH * seconds and whole <= MUCH_MORE * expected


def _with(known: tuple[float, ...], seconds: float) -> tuple[float, ...]:
    return (*known, seconds)[-KEPT:]


def _least(known: tuple[float, ...]) -> float:
    return min(known, default=0.0)


def _surely(known: tuple[float, ...]) -> float:
    """Return what is known for sure: a single measurement may be that of a busy machine."""
    least = _least(known)
    return least if len(known) == KEPT or least >= CERTAIN_SECONDS else 0.0


class Allowance:
    """How much of the time one view may be read: a share of it in the long run, and a few times in
    a row. It is a bucket that leaks, as for the messages of a client.

    Attributes:
        until: when it may be read again, on the monotonic clock.
        stays: whether it is left where it is until then, though something was touched since.
    """

    __slots__ = ("_at", "_spent", "stays", "until")

    def __init__(self) -> None:
        self._spent = self._at = self.until = 0.0
        self.stays = False

    def spend(self, seconds: float, share: float, now: float) -> None:
        """Take note that the view was read.

        Args:
            seconds: for so long.
            share: the share of the time for which it may be.
            now: on the monotonic clock.
        """
        self._spent = max(0.0, self._spent - max(0.0, now - self._at) * share) + seconds
        self._at = now
        self.until = now + max(0.0, self._spent - (OFTEN - 1) * seconds) / share
