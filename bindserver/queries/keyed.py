"""Rows of a plan that are asked for by their primary keys."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from bindserver.queries.lifetimes import renewed
from bindserver.queries.plan import Plan
from bindserver.queries.slots import Slot


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyed:
    """Some rows of a plan, by key.

    Attributes:
        plan: the plan.
        pks: the keys.
        slot: the slot that the rows are of; None for those of all slots.
        among: where they are of all slots: those that are wanted, if these are few.
        in_order: whether they come in the query's order.
    """

    plan: Plan
    pks: Sequence[Any]
    slot: Slot | None = None
    among: Collection[Slot] | None = None
    in_order: bool = True

    def queryset(self) -> QuerySet[Any]:
        """Return the rows for one read."""
        return self._narrowed(renewed(self._rows(self.slot)), self.pks)

    def columns(self, names: Sequence[str]) -> Iterable[Sequence[Any]]:
        """Return some of the rows' columns."""
        if self.among is not None:
            return self.queryset().values_list(*names)
        slot = self.slot or ()
        name = ("keyed", self.slot is None, self.in_order, *names)

        def make(values: Sequence[Any]) -> QuerySet[Any, Any]:
            some = None if self.slot is None else tuple(values[: len(slot)])
            return self._narrowed(self._rows(some), values[len(slot) :]).values_list(*names)

        return self.plan.statements.rows(name, make, (*slot, *self.pks))

    def _rows(self, slot: Slot | None) -> QuerySet[Any]:
        if slot is not None:
            return self.plan.of(slot)
        shape = self.plan.shape
        assert shape is not None
        return shape.queryset if self.among is None else shape.among(self.among)

    def _narrowed(self, queryset: QuerySet[Any], pks: Sequence[Any]) -> QuerySet[Any]:
        some = queryset.filter(pk__in=list(pks))
        return some if self.in_order else some.order_by()
