"""Faults to plant in how windows, groups, statements and the time are followed, each of which the
oracle must find."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from bindserver.engine.window import Window
from bindserver.queries.prepared import Prepared
from tests.faults import ticks


def _plant(owner: object, name: str, value: object) -> None:
    setattr(owner, name, value)


def window_s_edge_missed() -> None:
    """Rows behind the last one that a window knows are taken for the next, and for the last."""

    def inside(self: Window[Any], touched: Any, listed: Any) -> Any:
        self.whole = True
        return listed

    _plant(Window, "inside", inside)


def window_not_filled_up() -> None:
    """A window from which rows have left is not read again."""
    _plant(Window, "is_enough", lambda self: True)


def first_values_asked_again() -> None:
    """A statement that is kept asks for the values that it was compiled with, whatever is asked."""
    honest = Prepared.rows

    def rows(self: Prepared, values: Any, alias: str) -> Any:
        self._places = []
        return honest(self, values, alias)

    _plant(Prepared, "rows", rows)


SHAPE_FAULTS: dict[str, Callable[[], None]] = {
    **{
        fault.__name__: fault
        for fault in (window_s_edge_missed, window_not_filled_up, first_values_asked_again)
    },
    **{
        name: partial(fault, _plant)
        for name, fault in ticks.FAULTS.items()
        if fault is not ticks.expired_row_given  # for 2 ms: less than clocks are compared by here
    },
}
