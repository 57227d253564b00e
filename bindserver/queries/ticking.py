"""Where a query's rows depend on the database's present time: which rows cross it next.

In `end > Now()` a row changes sides when the present time reaches its `end`, and at no other time:
so the rows say when the next one does. That holds wherever a condition compares a moment that a row
has by itself with `Now()`, plus or minus a fixed interval, and for all that is made of such
conditions, row by row. Whatever else `Now()` stands in (a value that is shown, a date that is cut
from it, a subquery, an aggregate) changes as time passes, and nobody can tell when.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import (
    Aggregate,
    DateTimeField,
    ExpressionWrapper,
    QuerySet,
    Subquery,
    Value,
    Window,
)
from django.db.models.expressions import CombinedExpression, TemporalSubtraction
from django.db.models.functions import Now
from django.db.models.lookups import (
    Exact,
    GreaterThan,
    GreaterThanOrEqual,
    LessThan,
    LessThanOrEqual,
    Lookup,
    Range,
)
from django.db.models.sql import Query
from django.db.models.sql.datastructures import Join
from django.db.models.sql.where import AND, WhereNode

from bindserver.queries.expressions import own_sql, parts_of
from bindserver.queries.schedules import NOTHING, Schedule, Threshold

COMPARISONS = (Exact, GreaterThan, GreaterThanOrEqual, LessThan, LessThanOrEqual)
SEVERAL = (Aggregate, Query, Subquery, Window)
"""What is made of several rows: when it changes, no single row says."""

CLOCKS = re.compile(
    r"\b(now|curdate|curtime|sysdate|getdate|utc_timestamp|utc_date|unix_timestamp|"
    r"(clock|statement|transaction)_timestamp|strftime|julianday|unixepoch)\s*\(|"
    r"\b(current_timestamp|current_date|current_time|localtimestamp|localtime)\b|'now'",
    re.IGNORECASE,
)
"""How SQL that somebody has written may ask for the present time."""


class Unexplained(Exception):
    """The present time stands where nobody can tell when it will matter."""


@dataclass(frozen=True, slots=True)
class Clock:
    """What a query has to do with the present time.

    Attributes:
        pulse: when its rows change by themselves; None where they do not, or nobody can tell.
        unfollowed: why nobody can tell, in words; empty where it is known.
    """

    pulse: Schedule | None = None
    unfollowed: str = ""


NO_CLOCK = Clock()


def clock_of(queryset: QuerySet[Any], sql: str) -> Clock:
    """Return what a query has to do with the present time.

    Args:
        queryset: its rows.
        sql: what it compiles to.
    """
    query = queryset.query
    if (written := own_sql(query)) is not None and CLOCKS.search(sql):
        return Clock(unfollowed=f"it has SQL of its own ({written}) that asks for it")
    if not _has_now(query):
        return NO_CLOCK
    try:
        conditions = _thresholds(query.where)
        shown = [found for part in _shown(query) for found in _thresholds(part)]
        _demand_no_now([*query.alias_map.values(), *query.combined_queries])
    except Unexplained as problem:
        return Clock(unfollowed=str(problem))
    # One that is asked for twice is compared once.
    thresholds = {(repr(t.moment), t.offset): t for t in (*conditions, *shown)}
    if not thresholds:
        return NO_CLOCK  # it stands in what nobody asks for
    return Clock(Schedule(tuple(thresholds.values()), _base(queryset), shows=bool(shown)))


def _has_now(part: Any) -> bool:
    return any(isinstance(one, Now) for one in parts_of([part]))


def _demand_no_now(some: Iterable[Any]) -> None:
    for part in some:
        if _has_now(part):
            raise Unexplained("it stands in a join or in one of several queries")


def _shown(query: Query) -> Iterator[Any]:
    """Yield what says how rows look and where they stand."""
    yield from query.annotation_select.values()
    for item in query.order_by:
        if isinstance(item, str):
            yield query.annotations.get(item.lstrip("-"))
        elif _has_now(item):
            yield _resolved(item, query)
    if isinstance(query.group_by, tuple):
        yield from query.group_by


def _resolved(item: Any, query: Query) -> Any:
    """Return an expression of the order as it will be compiled.

    Raises:
        Unexplained: it joins what nothing else does.
    """
    trial = query.chain()
    found = item.resolve_expression(trial)
    if any(
        isinstance(trial.alias_map[name], Join)
        for name in trial.alias_map.keys() - query.alias_map.keys()
    ):
        raise Unexplained("it stands in an order by a joined table")
    return found


def _thresholds(part: Any) -> list[Threshold]:
    """Return what rows cross the present time with in a part of a query.

    Raises:
        Unexplained: it depends on the time in another way too.
    """
    if part is None or not _has_now(part):
        return []
    if isinstance(part, SEVERAL):
        raise Unexplained(f"it stands in {_name(part)}, which is made of several rows")
    if (found := _of_comparison(part)) is not None:
        return found
    if isinstance(part, Now):
        raise Unexplained("it is not compared with a moment of the row's own")
    children = part.children if isinstance(part, WhereNode) else _sources(part)
    if not any(map(_has_now, children)):
        raise Unexplained(f"it stands in {_name(part)}")
    return [found for child in children for found in _thresholds(child)]


def _sources(part: Any) -> list[Any]:
    if isinstance(part, Lookup):
        return [part.lhs, part.rhs]
    return list(getattr(part, "get_source_expressions", list)())


def _of_comparison(part: Any) -> list[Threshold] | None:
    """Return the thresholds of a comparison with the present time, None where it is none."""
    if type(part) is Range:
        bounds = part.rhs if isinstance(part.rhs, (list, tuple)) else _sources(part.rhs)
        return _all_of([(part.lhs, bound) for bound in bounds])
    if type(part) in COMPARISONS:
        return _all_of([(part.lhs, part.rhs)])
    return None


def _all_of(pairs: Iterable[tuple[Any, Any]]) -> list[Threshold] | None:
    found = []
    for one, other in pairs:
        if _is_timeless(one) and _is_timeless(other):
            continue
        threshold = _threshold(one, other) or _threshold(other, one)
        if threshold is None:
            return None
        found.append(threshold)
    return found


def _threshold(moment: Any, now: Any) -> Threshold | None:
    """Return when a moment is the present time with an interval added, or a time between the two
    is a fixed one."""
    if (shift := _shift(now)) is not None and _is_moment(moment):
        return Threshold(moment, -shift)
    between, fixed = _unwrapped(now), _interval(moment)
    if fixed is None or not isinstance(between, TemporalSubtraction):
        return None
    if (shift := _shift(between.lhs)) is not None and _is_moment(between.rhs):
        return Threshold(between.rhs, fixed - shift)
    if (shift := _shift(between.rhs)) is not None and _is_moment(between.lhs):
        return Threshold(between.lhs, -fixed - shift)
    return None


def _shift(part: Any) -> datetime.timedelta | None:
    """Return the interval that a part adds to the present time; None where it is something else."""
    part = _unwrapped(part)
    if type(part) is Now:
        return NOTHING
    if not isinstance(part, CombinedExpression) or part.connector not in ("+", "-"):
        return None
    left, right = _shift(part.lhs), _interval(part.rhs)
    if left is not None and right is not None:
        return left + right if part.connector == "+" else left - right
    left, right = _interval(part.lhs), _shift(part.rhs)
    if left is None or right is None or part.connector == "-":
        return None
    return left + right


def _interval(part: Any) -> datetime.timedelta | None:
    part = _unwrapped(part)
    value = part.value if isinstance(part, Value) else part
    return value if isinstance(value, datetime.timedelta) else None


def _unwrapped(part: Any) -> Any:
    while type(part) is ExpressionWrapper:
        part = part.expression
    return part


def _is_timeless(part: Any) -> bool:
    return not hasattr(part, "as_sql") or not _has_now(part)


def _is_moment(part: Any) -> bool:
    """Return whether a part is a moment that a row has by itself, whatever the time is."""
    if not hasattr(part, "as_sql") or _has_now(part):
        return False
    if any(isinstance(one, SEVERAL) for one in parts_of([part])):
        return False
    return type(getattr(part, "output_field", None)) is DateTimeField


def _name(part: Any) -> str:
    return "a subquery" if isinstance(part, (Query, Subquery)) else type(part).__name__


def _base(queryset: QuerySet[Any]) -> QuerySet[Any]:
    """Return the rows that meet what a queryset demands at any time, each as often as joins bring
    it."""
    model: Any = queryset.model
    rows: QuerySet[Any] = QuerySet(model, using=queryset.db)
    query: Any = queryset.query.chain()
    query.clear_ordering(force=True)
    query.clear_limits()
    query.clear_deferred_loading()
    query.clear_select_clause()
    query.select_for_update = query.distinct = False
    query.distinct_fields, query.group_by = (), None
    query.annotations = {}
    query.where = WhereNode(_lasting(query.where), AND)
    rows.query = query
    return rows


def _lasting(where: WhereNode) -> list[Any]:
    """Return the conditions that all rows must meet, and that have nothing to do with the time."""
    if where.negated or where.connector != AND:
        return []
    return [
        child
        for child in where.children
        if not _has_now(child)
        and not getattr(child, "contains_aggregate", False)
        and not getattr(child, "contains_over_clause", False)
    ]
