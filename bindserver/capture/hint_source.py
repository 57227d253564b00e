"""Changes as hints tell them, where there is no log."""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable

from django.db.backends.base.base import BaseDatabaseWrapper

from bindserver.capture.log import LOGS, has_log, log_of
from bindserver.capture.log_facts import LogSize
from bindserver.capture.read_columns import ReadColumns
from bindserver.conf import conf
from bindserver.database.snapshot import connect
from bindserver.engine.changes import Change, Gathered, Position
from bindserver.exceptions import LogInstalled

HISTORY_TURNS = 10_000
HISTORY_KEYS = 200_000
"""How many turns' hints are remembered, and how many keys in them, for views that a loader is
reading meanwhile."""


class HintSource:
    """Changes as hints tell them, and a full compare from time to time for all that they miss.

    Args:
        connection: Django's wrapper of the connection to use.
        awaits_log: whether to look, at each compare, if the log is installed by now.
    """

    name = "signals"
    polls = False
    durable = False

    def __init__(self, connection: BaseDatabaseWrapper, *, awaits_log: bool = False) -> None:
        self._connection = connection
        self._awaits_log = awaits_log
        self._commit_mark: object = None
        self._committed = 0
        self._epoch = secrets.token_hex(8)
        self._number = 0
        self._pending = Gathered(conf.SYNC_ROWS)  # more keys are not read one by one
        self._history: deque[tuple[int, tuple[Change, ...]]] = deque()
        self._keys = 0
        self._compared = 0
        self._compare_at: float = time.monotonic() + conf.COMPARE_SECONDS

    def prepare(self, tables: Collection[str], columns: ReadColumns | None = None) -> None:
        self._number += 1
        self._remember(self._pending.take())
        mark = self._look()
        if mark != self._commit_mark:
            self._commit_mark = mark
            self._committed = self._number
        if time.monotonic() >= self._compare_at:
            self._compare_at = time.monotonic() + conf.COMPARE_SECONDS
            self._compared = self._number
            if self._awaits_log and has_log(self._connection):
                raise LogInstalled("the change log was installed")

    def _remember(self, told: tuple[Change, ...]) -> None:
        """Remember what this turn was told, and forget what is too much to remember."""
        self._history.append((self._number, told))
        self._keys += _keys_in(told)
        while len(self._history) > 1 and (
            self._keys > HISTORY_KEYS or len(self._history) > HISTORY_TURNS
        ):
            self._keys -= _keys_in(self._history.popleft()[1])

    def _look(self) -> object:
        """Return a value that differs when somebody has committed, as far as one can be had."""
        connect(self._connection)
        if self._connection.vendor not in LOGS:
            return object()
        return log_of(self._connection).commit_mark()

    def prepared(self) -> bool:
        return True

    def watches(self, tables: Collection[str]) -> bool:
        return True

    def unseen(self) -> frozenset[str]:
        return frozenset()

    def suspected(self) -> list[Change]:
        return []

    def position(self) -> Position:
        return Position(epoch=self._epoch, mark=str(self._number))

    def proves(self, compared: Position, asked: Position) -> bool:
        """Return whether nobody has committed in between; hints alone prove nothing."""
        return compared.epoch == asked.epoch and int(compared.mark) >= min(
            int(asked.mark), self._committed
        )

    def changes(self, since: Position) -> list[Change] | None:
        """Return the hints since a look of ours; nothing where a full compare is due since."""
        if since.epoch != self._epoch:
            return None
        number = int(since.mark)
        if number < self._compared or number + 1 < self._history[0][0]:
            return None
        return [change for turn, told in self._history if turn > number for change in told]

    def old_columns(self, table: str) -> frozenset[str]:
        """Return none: whoever saves a row may not know what it was."""
        return frozenset()

    def hint(self, changes: Collection[Change]) -> None:
        self._pending.add(changes)

    def compare(self) -> None:
        """Have the next look compare everything, whenever that was due."""
        self._compare_at = time.monotonic()

    def listen(self, ring: Callable[[], None]) -> None:
        """Nothing: whoever commits tells by a hint."""

    def moved(self) -> bool:
        return False

    def pause(self, *, quiet: bool) -> float:
        return float("inf")

    def due(self) -> float | None:
        return self._compare_at

    def purge(self) -> bool:
        return False

    def size(self) -> LogSize | None:
        return None

    def close(self) -> None:
        """Nothing works besides."""


def _keys_in(changes: Iterable[Change]) -> int:
    return sum(len(change.pks) for change in changes if change.pks is not None)
