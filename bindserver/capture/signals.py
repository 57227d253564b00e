"""Django's signals as hints: which keys were saved or deleted, told after the commit.

Where a change log is installed these are only a wake-up, so that a write of this process is looked
for at once. Without one they are all there is to know until the next full compare.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.db.models import Model
from django.db.models.signals import m2m_changed, post_delete, post_save

from bindserver.engine.changes import Change

Publish = Callable[[str, tuple[Change, ...]], None]
"""Takes a database's alias and what was written there."""


class SignalCapture:
    """Turns signals into hints.

    Args:
        publish: takes the hints of one write, after its transaction has committed.
    """

    def __init__(self, publish: Publish) -> None:
        self._publish = publish

    def connect(self) -> None:
        """Listen to the writes of all models."""
        uid = "bindserver.capture"
        post_save.connect(self._on_write, dispatch_uid=f"{uid}.save", weak=False)
        post_delete.connect(self._on_write, dispatch_uid=f"{uid}.delete", weak=False)
        m2m_changed.connect(self._on_m2m, dispatch_uid=f"{uid}.m2m", weak=False)

    def _on_write(
        self, sender: type[Model], instance: Model, using: str, raw: bool = False, **_: Any
    ) -> None:
        tables = [sender, *sender._meta.all_parents]
        changes = tuple(
            Change(table=model._meta.db_table, pks=_pks_in(instance, model)) for model in tables
        )
        self._hand_over(using, changes)

    def _on_m2m(
        self, sender: type[Model], instance: Model, action: str, using: str, **_: Any
    ) -> None:
        if action.startswith("post_"):
            self._hand_over(using, (Change(table=sender._meta.db_table, pks=None),))

    def _hand_over(self, using: str, changes: tuple[Change, ...]) -> None:
        """Publish after the commit. Registered at each write: once for a transaction would be
        lost with a savepoint that rolls back."""
        transaction.on_commit(lambda: self._publish(using, changes), using=using, robust=True)


def _pks_in(instance: Model, model: type[Model]) -> frozenset[Any]:
    """Return the instance's primary key in the table of `model`, a parent of its own."""
    pk = getattr(instance, model._meta.pk.attname)
    return frozenset({model._meta.pk.get_prep_value(pk)})
