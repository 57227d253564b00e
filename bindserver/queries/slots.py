"""Slots: by which of its values a row belongs to one of several queries of a shape."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Model

from bindserver.exceptions import BindserverError

Slot = tuple[Any, ...]
"""The values of a shape's columns."""

BESIDE = "bindserver_slot_"
"""What the names begin with by which joined columns are read beside a row."""


class NotBySlot(BindserverError):
    """A row cannot be dealt: only the database knows what its values are equal to."""


@dataclass(frozen=True, slots=True)
class Slots:
    """Some slots, and how a row says which one it belongs to.

    Attributes:
        columns: the names by which a row has the columns; of joined ones they begin with `BESIDE`.
        kinds: the Python types of their values.
        wanted: the slots.
        owners: whose each value of the last column is, where that stands for its owners.
    """

    columns: tuple[str, ...] = ()
    kinds: tuple[type, ...] = ()
    wanted: Collection[Slot] = frozenset({()})
    owners: Mapping[Any, Collection[Any]] | None = None

    def take(self, instance: Model) -> Sequence[Slot]:
        """Return the slots of an instance, as `find` does; what is not the instance's own is taken
        away from it.

        Raises:
            NotBySlot: as `find`.
        """
        values = tuple([getattr(instance, name) for name in self.columns])
        for name in self.columns:
            if name.startswith(BESIDE):
                del vars(instance)[name]
        return self.find(values)

    def find(self, values: Slot) -> Sequence[Slot]:
        """Return the slots of a row with these values, as far as they are wanted.

        Raises:
            NotBySlot: a value is of another type than its column's.
        """
        for value, kind in zip(values, self.kinds, strict=True):
            if type(value) is not kind and value is not None:
                raise NotBySlot(f"a column has {type(value).__name__}, and not {kind.__name__}")
        if self.owners is None:
            return (values,) if values in self.wanted else ()
        slots = [(*values[:-1], owner) for owner in self.owners.get(values[-1], ())]
        return [slot for slot in slots if slot in self.wanted]


ALL = Slots()
"""For rows that nobody deals: there is one slot, and it is everyone's."""
