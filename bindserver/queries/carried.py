"""Model instances that a query carries along: in its serializer's context, in what a related
manager has put into its queryset, and in the querysets of its prefetches.

Its SQL does not say what is in them, and nobody sees them being read: they may have been loaded
long before. So their rows are dependencies: when one changes, the binding is asked again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import CompositePrimaryKey, Field, Model, Prefetch, QuerySet

from bindserver.bindings.model_rows import ATOMS
from bindserver.engine.changes import Change
from bindserver.queries.internals import known_instances, prefetches_of

KEYS_NAMED = 500
"""Of more rows than this in one table, any may be meant."""


@dataclass(frozen=True, slots=True)
class CarriedRows:
    """Rows of one table that are carried along.

    Attributes:
        table: its name.
        key: the table's primary key.
        pks: those of the rows, as Python has them; None for any.
    """

    table: str
    key: Field[Any, Any]
    pks: frozenset[Any] | None

    def has(self, change: Change) -> bool:
        """Return whether a change of the table may be of one of the rows."""
        if self.pks is None or change.pks is None:
            return True
        try:
            return any(self.key.to_python(raw) in self.pks for raw in change.pks)
        except (ValidationError, TypeError):
            return True


NO_ROWS: Mapping[str, CarriedRows] = {}
NO_TABLES: frozenset[str] = frozenset()
"""There are very many of those that carry nothing along."""


class Carried:
    """The rows that a query carries along as instances.

    Args:
        instances: the instances; those that were never saved are no rows.
        belongs: tells whether an instance is in the query's own database.
        unsaved: whether those count, too, that look as if they were never saved, as a user does who
            was made from what a token says.
    """

    __slots__ = ("_held", "tables")

    def __init__(
        self,
        instances: Iterable[Model] = (),
        belongs: Callable[[Model], bool] = lambda _: True,
        *,
        unsaved: bool = False,
    ) -> None:
        found: dict[str, tuple[Field[Any, Any], set[Any]]] = {}
        for instance in instances:
            saved = unsaved or not instance._state.adding
            if saved and instance.pk is not None and belongs(instance):
                for table, key, pk in _rows_of(instance):
                    found.setdefault(table, (key, set()))[1].add(pk)
        held = {
            table: CarriedRows(table, key, _named(key, pks)) for table, (key, pks) in found.items()
        }
        self._held: Mapping[str, CarriedRows] = held or NO_ROWS
        self.tables = frozenset(held) if held else NO_TABLES

    def held(self) -> Collection[CarriedRows]:
        """Return the rows, by table."""
        return self._held.values()

    def has(self, change: Change) -> bool:
        """Return whether a change may be of one of the rows."""
        held = self._held.get(change.table)
        return held is not None and held.has(change)

    def any_of(self, changes: Collection[Change]) -> bool:
        """Return whether one of some changes may be of one of the rows."""
        return bool(self._held) and any(self.has(change) for change in changes)


NOTHING = Carried()


def carried(
    instances: Collection[Model],
    belongs: Callable[[Model], bool] = lambda _: True,
    *,
    unsaved: bool = False,
) -> Carried:
    """Return the rows of some instances, as `Carried` takes them; of none, one object for all."""
    return Carried(instances, belongs, unsaved=unsaved) if instances else NOTHING


def _named(key: Field[Any, Any], pks: set[Any]) -> frozenset[Any] | None:
    composite = isinstance(key, CompositePrimaryKey)
    return None if composite or len(pks) > KEYS_NAMED else frozenset(pks)


def _rows_of(instance: Model) -> Iterator[tuple[str, Field[Any, Any], Any]]:
    """Yield table, key and primary key of each row that an instance is made of, parents' too."""
    model: Any = instance._meta.concrete_model
    meta = model._meta
    for part in (meta, *(parent._meta for parent in meta.all_parents)):
        key: Any = part.pk
        while key.is_relation:  # as a key that is a foreign key, be it to the parent
            key = key.target_field
        yield part.db_table, key, getattr(instance, part.pk.attname, instance.pk)


def instances_in(*values: Any) -> list[Model]:
    """Return every model instance that can be met in some values, and in what is in them: related
    and prefetched instances, rows that querysets have read, and those that they know beforehand."""
    found: list[Model] = []
    seen: dict[int, Any] = {}  # kept, so that no other object gets the same identity meanwhile
    waiting = list(values)
    while waiting:
        value = waiting.pop()
        if type(value) in ATOMS or id(value) in seen:
            continue
        seen[id(value)] = value
        if isinstance(value, Model):
            found.append(value)
        waiting.extend(_inside(value))
    return found


def _inside(value: Any) -> Iterator[Any]:
    """Yield what is in a value, of the kinds that may hold instances."""
    if isinstance(value, Model):
        yield from vars(value).values()
        yield from vars(value._state).get("fields_cache", {}).values()
    elif isinstance(value, QuerySet):
        yield from value._result_cache or ()
        yield known_instances(value)
        yield from prefetches_of(value)
    elif isinstance(value, Mapping):
        yield from value.keys()
        yield from value.values()
    elif isinstance(value, (list, tuple, set, frozenset)):
        yield from value
    elif isinstance(value, (Prefetch, SimpleNamespace)):
        yield from vars(value).values()
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from (getattr(value, field.name, None) for field in dataclasses.fields(value))
