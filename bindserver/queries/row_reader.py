"""Reading rows of a plan's querysets, with what a read may cost."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from bindserver.database.pacing import Pacer
from bindserver.exceptions import TooManyRows
from bindserver.queries.dependencies import Recorder
from bindserver.queries.internals import alike
from bindserver.queries.keyed import Keyed
from bindserver.queries.plan import Plan
from bindserver.queries.rendering import ModelRenderer, Read, Renderer, Row
from bindserver.queries.rows import OverBudget, Rows
from bindserver.queries.slots import Slot, Slots

FURTHER = 8
"""Where joins bring rows several times, so many times more are read to find all."""


@dataclass(frozen=True, slots=True)
class RowReader:
    """Reads rows.

    Attributes:
        plan: how they are read.
        recorder: notes what is read.
        pacer: rests, and stops what takes too long.
    """

    plan: Plan
    recorder: Recorder
    pacer: Pacer

    def load(
        self,
        queryset: QuerySet[Any],
        slots: Slots,
        renderer: Renderer | ModelRenderer,
        budget: int | None,
    ) -> dict[Slot, Rows]:
        """Read every row of some slots, those of each in order.

        Args:
            queryset: the rows.
            slots: the slots.
            renderer: renders them.
            budget: how many to read at most, of all slots together.

        Raises:
            OverBudget: there are more rows than `budget`.
            TooManyRows: there are more in a slot than the binding allows.
        """
        most = self.plan.max_rows * len(slots.wanted)
        bound = 1 + (most if budget is None else min(budget, most))
        while True:
            rows_by_slot, read = self._load_some(queryset, bound, slots, renderer, budget)
            if read < bound or queryset.query.is_sliced:
                return rows_by_slot
            bound *= FURTHER  # a join brings rows several times, and what is behind was cut off

    def _load_some(
        self,
        queryset: QuerySet[Any],
        bound: int,
        slots: Slots,
        renderer: Renderer | ModelRenderer,
        budget: int | None,
    ) -> tuple[dict[Slot, Rows], int]:
        """Read the first rows, and tell how often one was read."""
        plan, recorder = self.plan, self.recorder
        rows_by_slot, count = {slot: Rows() for slot in slots.wanted}, 0
        recorder.expect_own(queryset)
        # One of its own: what is compiled is changed meanwhile, and other threads read by the plan.
        bounded = alike(queryset) if queryset.query.is_sliced else queryset[:bound]
        # Closed here: the error, and so the cursor, may go to another thread, where it cannot be.
        with closing(renderer.rows(bounded, self.pacer, slots, recorder.row)) as found:
            for count, row in enumerate(found, start=1):
                if plan.statement.sql:  # Django itself says what nothing adds up to
                    recorder.demand_own()
                if budget is not None and count > budget:
                    raise OverBudget
                rows = rows_by_slot[row.slot]
                rows.add(row, plan.sort(row))
                if len(rows.fresh) > plan.max_rows and plan.window is None:
                    raise TooManyRows(plan.max_rows)
        return rows_by_slot, count

    def add(
        self,
        rows_by_slot: dict[Slot, Rows],
        keyed: Keyed,
        slots: Slots,
        renderer: Renderer | ModelRenderer,
    ) -> None:
        """Read rows by key, and put each into its slot."""
        recorder = self.recorder
        with closing(self._rows(keyed, slots, renderer)) as found:
            for row in found:
                recorder.demand_own()
                rows_by_slot.setdefault(row.slot, Rows()).add(row, self.plan.sort(row))

    def _rows(
        self, keyed: Keyed, slots: Slots, renderer: Renderer | ModelRenderer
    ) -> Generator[Row, None, None]:
        if self.plan.has_columns and isinstance(renderer, Renderer) and renderer.is_plain():
            self.recorder.expect_own()
            return renderer.plain_rows(keyed.columns, self.pacer, slots)
        queryset = keyed.queryset()
        self.recorder.expect_own(queryset)
        return renderer.rows(queryset, self.pacer, slots, self.recorder.row)

    def look(self, read: Read, slots: Slots) -> dict[Slot, Rows]:
        """Read rows without rendering them: which there are, and their sort values.

        Args:
            read: reads their columns.
            slots: the slots.
        """
        columns = self.plan.sort_columns
        rows_by_slot: dict[Slot, Rows] = {(): Rows()} if not slots.columns else {}
        self.recorder.expect_own()
        names, count = ["pk", *columns, *slots.columns], 1 + len(columns)
        for pk, *values in read(names):
            self.recorder.demand_own()
            sort = self.plan.sort(Row(pk, "", "", tuple(values[: count - 1])))
            for slot in slots.find(tuple(values[count - 1 :])):
                rows_by_slot.setdefault(slot, Rows()).sorts[pk] = sort
            self.pacer.pause()
        return rows_by_slot


def batches(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Yield a sequence in parts of a size, the last one perhaps shorter."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
