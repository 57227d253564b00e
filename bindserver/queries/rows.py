"""Rows as they were read: what a view takes of them, and what cannot be taken."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from django.db.models import Model

from bindserver.engine.changes import Key
from bindserver.engine.ordering import Sort
from bindserver.engine.view import Fresh
from bindserver.exceptions import (
    BindingError,
    BindserverError,
    Overtaken,
    QueryTimeout,
    TooManyRows,
)
from bindserver.queries.rendering import Row
from bindserver.queries.slots import Slot


class Form(Enum):
    """What rows are read as: JSON for subscribers, or model instances for Python."""

    JSON = "json"
    MODELS = "models"


class OverBudget(BindserverError):
    """There are more rows than were to be read here."""


OURS = (OverBudget, Overtaken, QueryTimeout, TooManyRows)
"""What is said of a read as a whole, and not of one of its rows."""


@dataclass(slots=True)
class Rows:
    """Rows that were read, in the query's order.

    Attributes:
        fresh: what a view takes, by key.
        keys: the key of each primary key.
        instances: the model instances, by key, where they are wanted.
        count: how often a row was read: joins may bring one twice.
        sorts: of rows that were looked at, and not rendered: their sort values, by primary key, in
            order; they stand before the others.
        ended: whether no rows are behind those of a window.
        listed: those of which the database was asked in which order they stand, so.
    """

    fresh: dict[Key, Fresh] = field(default_factory=dict)
    keys: dict[Hashable, Key] = field(default_factory=dict)
    instances: dict[Key, Model] = field(default_factory=dict)
    count: int = 0
    sorts: dict[Hashable, Sort | None] = field(default_factory=dict)
    ended: bool = False
    listed: Sequence[Hashable] = ()

    def places(self) -> dict[Hashable, Sort | None]:
        """Return the sort values of all rows by primary key, in order."""
        return {**self.sorts, **{pk: self.fresh[key].sort for pk, key in self.keys.items()}}

    def copy(self, pk: Hashable, other: Rows) -> None:
        """Take a row of others, if it is there and was rendered."""
        key = other.keys.get(pk)
        if key is None:
            return
        self.keys[pk], self.fresh[key] = key, other.fresh[key]
        if key in other.instances:
            self.instances[key] = other.instances[key]

    def add(self, row: Row, sort: tuple[Any, ...] | None) -> None:
        """Take a row.

        Raises:
            BindingError: another row has the same key on the wire, or this one came before and
                says something else.
        """
        if row.key in self.fresh:
            self._see_same(row)
        self.fresh[row.key] = Fresh(row.text, sort)
        self.keys[row.pk] = row.key
        self.count += 1
        if row.instance is not None:
            self.instances[row.key] = row.instance

    def _see_same(self, row: Row) -> None:
        if row.pk not in self.keys:
            raise BindingError(
                f"Two rows have the key {row.key!r}, and only one of them is {row.pk!r}: the field "
                "that holds the key renders both alike."
            )
        if row.instance is None and self.fresh[row.key].text != row.text:
            raise BindingError(
                f"A join brings the row {row.key!r} more than once, and it says something else "
                "each time. Annotate with an aggregate or a Subquery in place of a joined value."
            )


RowsBySlot = Mapping[Slot, Rows]
"""The rows of each slot; one without rows need not be there."""
