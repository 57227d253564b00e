"""The only reads of users' tables: a query's rows, in full or by keys, or its keys in order."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from django.db import DatabaseError, InterfaceError, OperationalError

from bindserver.database.pacing import Pacer
from bindserver.exceptions import TooManyRows
from bindserver.queries import windows
from bindserver.queries.dependencies import Recorder
from bindserver.queries.keyed import Keyed
from bindserver.queries.lifetimes import renewed
from bindserver.queries.query import Query
from bindserver.queries.rendering import Renderer
from bindserver.queries.row_reader import RowReader, batches
from bindserver.queries.rows import OURS, OverBudget, Rows, RowsBySlot
from bindserver.queries.slots import ALL, Slot
from bindserver.queries.windows import Cut

KEYS_PER_QUERY = 500
SLOTS_PER_QUERY = 500
P = ParamSpec("P")
R = TypeVar("R")


def _as_asked(
    method: Callable[Concatenate[Query, P], R],
) -> Callable[Concatenate[Query, P], R]:
    """Have a query read in the language and the time zone that its binding has set."""

    @wraps(method)
    def read(query: Query, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with query.representation.surroundings.around():
            query.plan.demand_same_sql()
            return method(query, *args, **kwargs)

    return read


@_as_asked
def load(query: Query, recorder: Recorder, pacer: Pacer, budget: int | None = None) -> Rows:
    """Read every row, in order.

    Args:
        recorder: notes what is read.
        pacer: rests, and stops what takes too long.
        budget: how many rows to read here at most.

    Raises:
        OverBudget: there are more rows than `budget`.
        TooManyRows: there are more than the binding allows.
        QueryTimeout: it took too long.
    """

    def read_all() -> Rows:
        queryset = renewed(query.queryset())
        if query.window is not None:
            queryset = query.window.of(queryset)
        reader = RowReader(query.plan, recorder, pacer)
        return reader.load(queryset, ALL, query.render_anew(), budget)[()]

    rows = query.renderer.leftovers.whole(read_all)
    if len(rows.fresh) > query.max_rows:
        raise TooManyRows(query.max_rows)
    return rows


@_as_asked
def load_held(query: Query, recorder: Recorder, pacer: Pacer, budget: int | None = None) -> Rows:
    """Read what a view is to hold: every row, or, with a limit, the rows that are shown, some
    before and behind them, and the keys of all before.

    Raises:
        Exception: the same as `load`. A row that is not shown, and fails, is nobody's business:
            then only those are read that are.
    """
    if query.window is None:
        return load(query, recorder, pacer, budget)
    read_part = partial(_load_cut, query, query.window, recorder, pacer, budget)
    try:
        return query.renderer.leftovers.whole(read_part)
    except (*OURS, OperationalError, InterfaceError):
        raise
    except Exception as problem:
        if not query.ahead:
            raise
        query.ahead = 0
        if isinstance(problem, DatabaseError):
            raise  # nothing more can be read in this snapshot, perhaps
    return query.renderer.leftovers.whole(read_part)


def _load_cut(
    query: Query, window: Cut, recorder: Recorder, pacer: Pacer, budget: int | None
) -> Rows:
    behind = max(0, window.start - windows.BEHIND) if query.ahead else window.start
    queryset, stop = renewed(query.queryset()), window.stop + query.ahead
    reader = RowReader(query.plan, recorder, pacer)
    if budget is not None and behind > budget:
        raise OverBudget
    before = Rows()
    if behind:
        first = queryset[:behind]
        before = reader.look(lambda names: first.values_list(*names), ALL)[()]
    some = queryset[behind:stop]
    rows = reader.load(some, ALL, query.render_anew(), budget)[()]
    rows.sorts = before.sorts
    count = len(rows.sorts) + len(rows.keys)
    if min(window.length, count - window.start) > query.max_rows:
        raise TooManyRows(query.max_rows)
    rows.ended = count < stop
    return rows


@_as_asked
def load_together(
    query: Query,
    wanted: Collection[Slot],
    recorder: Recorder,
    pacer: Pacer,
    budget: int | None = None,
) -> RowsBySlot:
    """Read every row of several slots of its shape, each slot's rows in order.

    Args:
        wanted: the slots.
        recorder: as for `load`.
        pacer: as for `load`.
        budget: how many rows to read here at most, of all slots together.

    Raises:
        NotDealt: it cannot be told which slot a row belongs to.
        Exception: the same as `load`; a slot may have as many rows as the binding allows.
    """
    read_all = partial(_load_together, query, wanted, recorder, pacer, budget)
    return query.renderer.leftovers.whole(read_all)


def _load_together(
    query: Query, wanted: Collection[Slot], recorder: Recorder, pacer: Pacer, budget: int | None
) -> RowsBySlot:
    rows_by_slot: dict[Slot, Rows] = {}
    renderer, reader = query.render_anew(together=True), RowReader(query.plan, recorder, pacer)
    for some in batches(list(wanted), SLOTS_PER_QUERY):
        left = (
            None if budget is None else budget - sum(rows.count for rows in rows_by_slot.values())
        )
        recorder.expect_own()
        slots = query.shape.slots(some)
        rows_by_slot |= reader.load(renewed(query.shape.among(some)), slots, renderer, left)
    return rows_by_slot


@_as_asked
def read(query: Query, pks: Collection[Any], recorder: Recorder, pacer: Pacer) -> Rows:
    """Read the rows of the query that have these primary keys, in no order.

    Raises:
        Untried: they leave set what the view's other rows must be tried in: read it whole.
    """
    rows: dict[Slot, Rows] = {(): Rows()}
    renderer, reader = query.render_anew(), RowReader(query.plan, recorder, pacer)
    for some in batches(sorted(pks, key=repr), KEYS_PER_QUERY):
        keyed = Keyed(plan=query.plan, slot=query.slot, pks=some)
        reader.add(rows, keyed, ALL, renderer)
    query.renderer.leftovers.insist()
    return rows[()]


@_as_asked
def read_together(
    query: Query, pks: Collection[Any], wanted: Collection[Slot], recorder: Recorder, pacer: Pacer
) -> RowsBySlot:
    """Read the rows of several slots of its shape that have these primary keys, in no order.

    Raises:
        NotDealt: it cannot be told which slot a row belongs to.
        Untried: as for `read`.
    """
    rows_by_slot: dict[Slot, Rows] = {}
    renderer, reader = query.render_anew(together=True), RowReader(query.plan, recorder, pacer)
    for some in batches(sorted(pks, key=repr), KEYS_PER_QUERY):
        recorder.expect_own()
        slots = query.shape.slots(wanted, some, query.plan.statements)
        # More slots than keys are not worth naming: rows of others are read, and left.
        few = len(wanted) < (SLOTS_PER_QUERY if query.shape.is_joined else len(some))
        keyed = Keyed(plan=query.plan, pks=some, among=wanted if few else None)
        reader.add(rows_by_slot, keyed, slots, renderer)
    query.renderer.leftovers.insist()
    return rows_by_slot


def looks_first(query: Query) -> bool:
    """Whether rows are looked at before they are rendered, since some of them are not to be
    shown: where code of the project's own renders them, which may take long or fail."""
    return not isinstance(query.renderer, Renderer) or not query.renderer.is_plain()


@_as_asked
def look(
    query: Query,
    pks: Collection[Any],
    wanted: Collection[Slot] | None,
    recorder: Recorder,
    pacer: Pacer,
) -> RowsBySlot:
    """Read which rows have these primary keys, and their sort values, and render none.

    Args:
        pks: the primary keys.
        wanted: slots of its shape; None for its own rows alone, as those of slot `()`.
        recorder: notes what is read.
        pacer: rests, and stops what takes too long.
    """
    slot, slots = (query.slot, ALL) if wanted is None else (None, ALL)
    rows_by_slot: dict[Slot, Rows] = {}
    reader = RowReader(query.plan, recorder, pacer)
    for some in batches(sorted(pks, key=repr), KEYS_PER_QUERY):
        if wanted is not None:
            recorder.expect_own()
            slots = query.shape.slots(wanted, some, query.plan.statements)
        keyed = Keyed(plan=query.plan, slot=slot, pks=some, in_order=False)
        found = reader.look(keyed.columns, slots)
        for slot, rows in found.items():
            rows_by_slot.setdefault(slot, Rows()).sorts.update(rows.sorts)
    return rows_by_slot


@_as_asked
def pks_among(query: Query, pks: Collection[Any], pacer: Pacer) -> list[Any]:
    """Return some primary keys in the query's order."""
    pacer.pause()
    queryset = query.queryset().filter(pk__in=list(pks))
    return list(dict.fromkeys(queryset.values_list("pk", flat=True)))


@_as_asked
def ordered_pks(query: Query, pacer: Pacer) -> list[Any]:
    """Read the primary keys of all rows in the query's order."""
    pks: dict[Any, None] = {}
    for pk in query.plan.pks_of(query.queryset()):
        pks[pk] = None
        pacer.pause()
    return list(pks)


@_as_asked
def pks_before(
    query: Query, pks: Collection[Any], recorder: Recorder, pacer: Pacer
) -> Mapping[Any, Any] | None:
    """Return the primary key just before each of some rows in the query's order, None for the
    first row; None where all keys are to be listed instead."""
    neighbours = query.plan.neighbours
    return None if neighbours is None else neighbours.before(pks, recorder, pacer, query.slot)
