"""Which part of a query's rows a binding shows, and whether that can be kept by keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from bindserver.bindings.binding import Binding
from bindserver.exceptions import BindingError, InvalidParams
from bindserver.queries.order_parts import only_forward

AHEAD = 20
"""So many rows behind a window are read with it, to fill up what leaves."""

BEHIND = 20
"""So many rows before a window are read with it; of those before them, the keys alone."""

LISTED = 500
"""Of a window with more rows the order is not asked by keys; it is read again."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A part of a query's rows.

    Attributes:
        start: how many rows stand before it.
        length: how many it has at most.
        chosen: whether whoever subscribes has chosen it.
    """

    start: int
    length: int
    chosen: bool = False

    @property
    def stop(self) -> int:
        """How many rows there are up to its end."""
        return self.start + self.length

    def of(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows in it."""
        return queryset[self.start : self.stop]


def cut_of(binding: Binding[Any], most: int | None = None) -> Cut | None:
    """Return the part of its rows that a binding shows in its context; None for all.

    Args:
        binding: the binding.
        most: how far a subscriber may choose it to reach.

    Raises:
        InvalidParams: what was given for it is no part of any rows, or reaches too far.
        BindingError: it has an offset, and no limit.
    """
    length, start = binding.get_window()
    chosen = not binding.params.keys().isdisjoint({"limit", "offset"})
    if length is None:
        if start:
            raise BindingError(
                f"{type(binding).__name__} has an offset, and no limit: say how many rows it "
                "serves from there on, by `limit` or a param of that name."
            )
        return None
    if chosen and (length < 1 or start < 0):
        raise InvalidParams("limit is at least 1, and offset at least 0")
    cut = Cut(start, length, chosen)
    if chosen and most is not None and cut.stop > most:
        raise InvalidParams(f"offset and limit together reach {most} rows at most")
    return cut


def why_read_again(queryset: QuerySet[Any], *, is_ordered: bool) -> str | None:
    """Return why a part of a query cannot be kept by keys, and is read again at each change; None
    where it can.

    Args:
        queryset: the query, in its order, without a limit.
        is_ordered: whether each row's place is known from the row, by Python or by the database.
    """
    if not is_ordered:
        return "it has a limit, and an order that is not of its rows' own columns"
    if not has_each_once(queryset):
        return "it has a limit, and joins that may bring a row more than once"
    return None


def has_each_once(queryset: QuerySet[Any]) -> bool:
    """Return whether no row can come more than once: a limit counts how often they come."""
    query: Any = queryset.query
    if only_forward(queryset):
        return True
    annotations = query.annotations.values()
    if query.distinct:
        return not annotations and not query.select_related
    return query.group_by is True and all(one.contains_aggregate for one in annotations)
