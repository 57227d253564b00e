"""Django's signals as hints: which keys were saved or deleted, told after the commit.

Where a change log is installed these are only a wake-up, so that a write of this process is looked
for at once. Without one they are all there is to know until the next full compare.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from django.db import DEFAULT_DB_ALIAS
from django.db.models import CASCADE, PROTECT, RESTRICT, CompositePrimaryKey, Model
from django.db.models.signals import m2m_changed, post_delete, post_save
from django.dispatch import Signal

from bindserver.capture.transactions import Publish, TransactionRecorder
from bindserver.engine.changes import Change

rows_written = Signal()
"""Sent for writes that Django sends no signal for, with `pks` (None for any row) and `using`."""


def written(
    model: type[Model], pks: Iterable[Any] | None = None, *, using: str = DEFAULT_DB_ALIAS
) -> None:
    """Tell of rows that were written by raw SQL, or otherwise past Django's signals.

    Within a transaction it counts from the commit on. Where a change log is installed nobody
    needs it.

    Args:
        model: whose rows.
        pks: their primary keys; None if any may have changed.
        using: the database's alias.
    """
    rows_written.send(sender=model, pks=pks, using=using)


class SignalCapture:
    """Turns signals into hints.

    Args:
        publish: takes the hints of one transaction, after it has committed.
    """

    def __init__(self, publish: Publish) -> None:
        self._recorder = TransactionRecorder(publish)
        self._listeners = (
            (post_save, self._on_save, "save"),
            (post_delete, self._on_delete, "delete"),
            (m2m_changed, self._on_m2m, "m2m"),
            (rows_written, self._on_written, "written"),
        )

    def connect(self, name: str = "bindserver.capture") -> None:
        """Listen to the writes of all models."""
        for signal, listener, what in self._listeners:
            signal.connect(listener, dispatch_uid=f"{name}.{what}", weak=False)

    def disconnect(self, name: str = "bindserver.capture") -> None:
        """Listen no more."""
        for signal, _, what in self._listeners:
            signal.disconnect(dispatch_uid=f"{name}.{what}")

    def _on_save(self, sender: type[Model], instance: Model, using: str, **_: Any) -> None:
        self._recorder.add(using, _changes_of(sender, instance))

    def _on_delete(self, sender: type[Model], instance: Model, using: str, **_: Any) -> None:
        changes = _changes_of(sender, instance)
        changes += [Change(table=table, pks=None) for table in _silent_tables(sender)]
        self._recorder.add(using, changes)

    def _on_m2m(
        self, sender: type[Model], action: str, using: str, pk_set: set[Any] | None, **_: Any
    ) -> None:
        nothing = pk_set is not None and not pk_set
        if action.startswith("post_") and not nothing:
            self._recorder.add(using, [Change(table=sender._meta.db_table, pks=None)])

    def _on_written(
        self, sender: type[Model], pks: Iterable[Any] | None, using: str, **_: Any
    ) -> None:
        keys = None if pks is None else frozenset(map(_prepare(sender), pks))
        self._recorder.add(
            using,
            [
                Change(table=model._meta.db_table, pks=keys if _same_key(sender, model) else None)
                for model in _lineage(sender)
            ],
        )


@cache
def _lineage(model: type[Model]) -> tuple[type[Model], ...]:
    """Return the models, a proxy's own and all parents, in whose tables a row of `model` stands."""
    own: Any = model._meta.concrete_model
    parents = [parent for parent in own._meta.all_parents if not parent._meta.proxy]
    return (own, *parents)


@cache
def _same_key(model: type[Model], parent: type[Model]) -> bool:
    """Return whether a row has the same primary key in both tables."""
    current: Any = model._meta.concrete_model
    while current is not parent:
        link = current._meta.pk.remote_field
        if link is None or not getattr(link, "parent_link", False):
            return False
        current = link.model._meta.concrete_model
    return not isinstance(parent._meta.pk, CompositePrimaryKey)


def _prepare(model: type[Model]) -> Any:
    return model._meta.pk.get_prep_value


def _changes_of(model: type[Model], instance: Model) -> list[Change]:
    """Return an instance's keys in its own table and in those of its parents."""
    return [Change(table=one._meta.db_table, pks=_key_in(instance, one)) for one in _lineage(model)]


def _key_in(instance: Model, model: type[Model]) -> frozenset[Any] | None:
    key = model._meta.pk
    if isinstance(key, CompositePrimaryKey):
        return None
    return frozenset((key.get_prep_value(getattr(instance, key.attname)),))


@cache
def _silent_tables(model: type[Model]) -> tuple[str, ...]:
    """Return the tables that a delete of a row of `model` may write to without a signal.

    These are its many-to-many rows, and rows that point to it and are set to null, to a default,
    or are left to the database.
    """
    found: dict[str, None] = {}
    for one in (model, *_lineage(model)):
        for relation in one._meta.get_fields(include_hidden=True):
            if not (relation.auto_created and not relation.concrete and relation.is_relation):
                continue
            other: Any = relation.related_model
            on_delete = getattr(relation, "on_delete", None)
            if on_delete is None:
                continue  # the far side of a many-to-many: its rows come by their own relation
            loud = on_delete in (CASCADE, PROTECT, RESTRICT) and not other._meta.auto_created
            if not loud:
                found[other._meta.db_table] = None
    return tuple(found)
