"""Faults to plant, by name: the comparison must find each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any
from unittest.mock import patch

from bindserver.bindings.row_keys import RowKey, wire_key
from bindserver.cycle import advance, failures, serving
from bindserver.cycle.live_shape import LiveShape
from bindserver.cycle.live_view import LiveView
from bindserver.engine.changes import Change
from bindserver.engine.view import View
from bindserver.engine.window import Window
from bindserver.queries import compiler, plain_columns, plan, reaching, rendering
from bindserver.queries.following import Following
from bindserver.queries.plan import Plan
from bindserver.queries.query import Query
from bindserver.queries.rendering import Renderer
from bindserver.user_code import Leftovers, Surroundings
from tests.faults import ticks

Fault = Callable[[], AbstractContextManager[Any]]


def _old_serializer() -> AbstractContextManager[Any]:
    """Rows are rendered once, and never again while their renderer lives."""
    honest = Renderer._row
    kept: dict[tuple[int, Any], str] = {}

    def row(self: Renderer, pk: Any, *others: Any) -> Any:
        made = honest(self, pk, *others)
        return made._replace(text=kept.setdefault((id(self), pk), made.text))

    return patch.object(Renderer, "_row", row)


def _window_by_keys() -> AbstractContextManager[Any]:
    """A query with a window is read by the keys of changed rows."""
    honest = compiler.why_whole

    def why(queryset: Any, limit: Any) -> str | None:
        why = honest(queryset, limit)
        return None if why is not None and "window" in why else why

    return patch.object(plan, "why_whole", why)


def _limits_keep_what_they_have() -> AbstractContextManager[Any]:
    """A view with a limit is not read again when it comes to hold less."""
    honest = LiveView.load

    def load(self: LiveView, rows: Any, position: Any, **given: Any) -> Any:
        if self.query.whole and len(self.rows.keys) > len(rows.keys):
            return None
        return honest(self, rows, position, **given)

    return patch.object(LiveView, "load", load)


def _window_s_edge_missed() -> AbstractContextManager[Any]:
    """Rows behind the last one that a window knows are taken for the next, and for the last."""

    def inside(self: Window[Any], touched: Any, listed: Any) -> Any:
        self.whole = True
        return listed

    return patch.object(Window, "inside", inside)


def _directions_forgotten() -> AbstractContextManager[Any]:
    """Places are computed as if every order rose, and nobody sees that the database's does not."""
    honest = Plan.sort

    def sort(self: Plan, row: Any) -> Any:
        directions = self.directions
        self.directions = directions and [(name, 1, how) for name, _, how in directions]
        try:
            return honest(self, row)
        finally:
            self.directions = directions

    return _all(
        patch.object(Plan, "sort", sort),
        patch.object(View, "_be_listed", lambda self: None),
    )


def _serializers_kept() -> AbstractContextManager[Any]:
    """One serializer, with what it remembers, renders all reads of a view."""
    return patch.object(Query, "render_anew", lambda self, **given: self.renderer)


class _Hiding:
    """Stands for `QuerySet`, and hides what a model's own manager hides."""

    def __class_getitem__(cls, _: Any) -> Any:
        return lambda model, using: model._base_manager.using(using)


def _managers_hide() -> AbstractContextManager[Any]:
    """Rows that a model's own manager hides are not reached by changes."""
    return patch.object(reaching, "QuerySet", _Hiding)


def _joined_rows_dropped() -> AbstractContextManager[Any]:
    """Rows that a changed row of a joined table reaches are not read again."""
    return patch.object(reaching, "reached", lambda *given: set())


def _old_parents_forgotten() -> AbstractContextManager[Any]:
    """Of what rows held before they were changed or deleted nothing is known."""
    honest = Following.reached

    def reached(self: Following, change: Change, *others: Any) -> Any:
        return honest(self, replace(change, old=frozenset()), *others)

    return patch.object(Following, "reached", reached)


def _new_parents_forgotten() -> AbstractContextManager[Any]:
    """What rows hold now is not asked for where they lead back."""
    honest = Following._values

    def values(self: Following, model: Any, column: str, *others: Any) -> Any:
        return set() if column == "pk" else honest(self, model, column, *others)

    return patch.object(Following, "_values", values)


def _prefetches_ignored() -> AbstractContextManager[Any]:
    """What a queryset says of prefetching is left out."""
    honest = Renderer.rows

    def rows(self: Renderer, queryset: Any, *others: Any) -> Any:
        return honest(self, queryset.prefetch_related(None), *others)

    return patch.object(Renderer, "rows", rows)


def _reads_forgotten() -> AbstractContextManager[Any]:
    """Nobody notes what serializers and prefetches read."""
    return patch.object(LiveShape, "learn", lambda *given: None)


def _columns_always() -> AbstractContextManager[Any]:
    """Columns are read in place of rows, whatever makes rows of them."""
    return _all(
        patch.object(rendering, "has_columns", lambda queryset: not queryset.query.combinator),
        patch.object(plain_columns, "is_bare", lambda model: True),
    )


def _chunks_always() -> AbstractContextManager[Any]:
    """A queryset's class is not asked how it makes its rows."""
    return patch.object(rendering, "instances", lambda queryset: queryset.iterator(chunk_size=500))


def _parents_forgotten() -> AbstractContextManager[Any]:
    """A row's serializer is made as for a single row."""

    def child(kind: Any, model: Any, context: Any) -> Any:
        return kind(context=context)

    return patch.object(rendering, "child_of", child)


def _any_id_is_the_key() -> AbstractContextManager[Any]:
    """A field that has the key's name is taken for it."""

    def put(self: RowKey, pk: Any, data: Any) -> Any:
        row = {"id": pk, **data}
        return wire_key(row["id"]), {**row, "id": wire_key(row["id"])}

    return _all(
        patch.object(rendering, "row_key", lambda model, serializer: RowKey("id", own=True)),
        patch.object(RowKey, "put", put),
    )


def _leftovers_unseen() -> AbstractContextManager[Any]:
    """What a row leaves set holds for the rows that are read with it."""
    return patch.object(Leftovers, "render", lambda self, render, whose: render())


def _language_kept() -> AbstractContextManager[Any]:
    """What a serializer does to its thread stays."""
    return _all(
        _leftovers_unseen(),
        patch.object(Surroundings, "around", lambda self: nullcontext()),
        *[
            patch.object(module, "apart", lambda work: work())
            for module in (failures, advance, serving)
        ],
    )


def _slot_s_row_kept() -> AbstractContextManager[Any]:
    """A row that leaves one of several views that are read together stays where it was."""
    honest = vars(advance)["take"]

    def take(view: LiveView, what: Any, rows: Any, *others: Any) -> Any:
        mine = frozenset(pk for pk in what.pks if pk in rows.keys)
        return honest(view, replace(what, pks=mine), rows, *others)

    return patch.object(advance, "take", take)


def _old_slots_forgotten() -> AbstractContextManager[Any]:
    """Nobody remembers which of the views of one shape had a row."""
    return patch.object(LiveShape, "holding", lambda self, pks: set())


@contextmanager
def _of_time(fault: Callable[[ticks.Plant], None]) -> Iterator[None]:
    """Plant one of the faults in how views follow the time."""
    with ExitStack() as stack:

        def plant(owner: object, name: str, value: object) -> None:
            stack.enter_context(patch.object(owner, name, value))

        fault(plant)
        yield


@contextmanager
def _all(*patches: Any) -> Iterator[None]:
    with ExitStack() as stack:
        for one in patches:
            stack.enter_context(one)
        yield


FAULTS: dict[str, Fault] = {
    "any_id_is_the_key": _any_id_is_the_key,
    "chunks_always": _chunks_always,
    "columns_always": _columns_always,
    "directions_forgotten": _directions_forgotten,
    "joined_rows_dropped": _joined_rows_dropped,
    "language_kept": _language_kept,
    "leftovers_unseen": _leftovers_unseen,
    "limits_keep_what_they_have": _limits_keep_what_they_have,
    "managers_hide": _managers_hide,
    "new_parents_forgotten": _new_parents_forgotten,
    "old_parents_forgotten": _old_parents_forgotten,
    "old_serializer": _old_serializer,
    "old_slots_forgotten": _old_slots_forgotten,
    "parents_forgotten": _parents_forgotten,
    "prefetches_ignored": _prefetches_ignored,
    "reads_forgotten": _reads_forgotten,
    "serializers_kept": _serializers_kept,
    "slot_s_row_kept": _slot_s_row_kept,
    "tick_lost": partial(_of_time, ticks.tick_lost),
    "nearer_moment_missed": partial(_of_time, ticks.nearer_moment_missed),
    "window_by_keys": _window_by_keys,
    "window_s_edge_missed": _window_s_edge_missed,
}

SHOWN_BY = {
    "managers_hide": r"Hidden\.",
    "serializers_kept": r"tags_now|memo",
    "old_slots_forgotten": r"filter\((shelf|score)=asked",
    "slot_s_row_kept": r"filter\((shelf|score)=asked",
    "tick_lost": r"Now\(",
    "nearer_moment_missed": r"Now\(",
    "window_by_keys": r"Window\(",
    "window_s_edge_missed": r"limit = |get_window",
}
"""What a binding must have in it to show a fault that few of them do, as a regular expression."""
