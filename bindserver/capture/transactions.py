"""What is written in a transaction, gathered until it is committed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from bindserver.conf import conf
from bindserver.engine.changes import Change, Gathered
from bindserver.logs import Repeats

_repeats = Repeats(logging.getLogger("bindserver.capture"))

Publish = Callable[[str, tuple[Change, ...]], None]
"""Takes a database's alias and what was written there."""


class TransactionChanges:
    """The changes of one transaction, or of a savepoint in it.

    Django forgets what was to be done after the commit when the savepoint that it was registered
    in is rolled back. So it takes what is written in its own savepoint and in those within.

    Args:
        publish: takes the changes after the commit.
        connection: on which the transaction is open.
    """

    def __init__(self, publish: Publish, connection: BaseDatabaseWrapper) -> None:
        self._publish = publish
        self._alias = connection.alias
        self._savepoints = _savepoints(connection)
        self._changes = Gathered(conf.HINT_KEYS)
        self._hook = self._hand_over
        self.add = self._changes.add
        self._over = False
        self._place = len(connection.run_on_commit)
        transaction.on_commit(self._hook, using=self._alias, robust=True)

    def takes(self, connection: BaseDatabaseWrapper) -> bool:
        """Return whether what is written now can be committed only together with these."""
        return self._savepoints <= _savepoints(connection) and self._waits(connection.run_on_commit)

    def _waits(self, hooks: Sequence[Any]) -> bool:
        """Return whether its hook is still among those that are due after the commit."""
        if self._over:
            return False
        if self._place < len(hooks) and hooks[self._place][1] is self._hook:
            return True
        for place, hook in enumerate(hooks):  # a savepoint before it was undone
            if hook[1] is self._hook:
                self._place = place
                return True
        return False

    def _hand_over(self) -> None:
        self._over = True
        self._publish(self._alias, self._changes.take())


def _savepoints(connection: BaseDatabaseWrapper) -> frozenset[str]:
    """Return the savepoints that are open; None stands for a block that has none of its own."""
    return frozenset(filter(None, connection.savepoint_ids))


class TransactionRecorder:
    """Gathers changes for each connection.

    Args:
        publish: takes the changes of a transaction after it was committed.
    """

    def __init__(self, publish: Publish) -> None:
        self._publish = publish
        self._waiting: WeakKeyDictionary[BaseDatabaseWrapper, TransactionChanges] = (
            WeakKeyDictionary()
        )

    def add(self, alias: str, changes: Iterable[Change]) -> None:
        """Take what was written; hand it on at once where no transaction is open."""
        connection = transaction.get_connection(alias)
        if not connection.in_atomic_block:
            self._hand_over(alias, tuple(changes))
            return
        waiting = self._waiting.get(connection)
        if waiting is None or not waiting.takes(connection):
            waiting = self._waiting[connection] = TransactionChanges(self._publish, connection)
        waiting.add(changes)

    def _hand_over(self, alias: str, changes: tuple[Change, ...]) -> None:
        """Publish at once; what goes wrong there is no fault of whoever writes."""
        try:
            self._publish(alias, changes)
        except Exception as problem:
            _repeats.note("a hint could not be handed on", problem)
