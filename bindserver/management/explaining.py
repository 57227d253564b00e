"""`manage.py bindings explain`: how a binding is kept live for somebody, and what that costs."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandError
from django.db.models import Model

from bindserver.bindings import permissions
from bindserver.bindings.binding import Binding, alias_of
from bindserver.bindings.registry import registry
from bindserver.conf import conf
from bindserver.database.diagnosis import demand, explained
from bindserver.database.pacing import Pacer
from bindserver.database.snapshot import snapshot_apart
from bindserver.exceptions import DatabaseUnusable, Denied, InvalidParams
from bindserver.inspector.rows import RowReport, remark, report, verdict, written
from bindserver.management.arguments import add_binding_arguments, given_params, user_named
from bindserver.management.listing import demand_event
from bindserver.queries.compiler import located
from bindserver.queries.explaining import PATIENCE, Explanation, ReadCost, explain, models_by_table
from bindserver.queries.query import Query
from bindserver.queries.row_conditions import Condition
from bindserver.user_code import apart

EXPLAINS = "say how a binding is read, shared and followed for somebody, and what that costs"


def add_explain_arguments(parser: ArgumentParser) -> None:
    """Take the arguments of `explain`."""
    add_binding_arguments(parser)
    parser.add_argument(
        "--row", default=None, metavar="KEY", help="say why the row of this key is in or out"
    )


def explained_lines(
    event: str, user: str | None, params: str, row: str | None = None
) -> Iterator[str]:
    """Yield what there is to say of a binding, line by line.

    Args:
        event: the binding's event.
        user: a user's name or key; None for nobody.
        params: its params, as JSON.
        row: a row's primary key, to say why it is in or out in place of all else.

    Raises:
        CommandError: the event, the params, the user or the database are not there, or the binding
            cannot be read; the message says why.
    """
    demand_event(event)
    binding = registry.find(event)
    alias, given = alias_of(binding), given_params(params)
    try:
        demand(alias)
        with explained(alias):
            whose = None if user is None else user_named(user)
            with snapshot_apart(alias, Pacer(conf.QUERY_SECONDS * PATIENCE)):
                instance = binding(user=whose, params=given)
                lines, model = apart(lambda: _answered(instance, row))
    except DatabaseUnusable as problem:
        raise CommandError(str(problem)) from problem
    except (Denied, InvalidParams) as problem:
        raise CommandError(f"{event} is refused ({problem.code}): {problem}") from problem
    except CommandError:
        raise
    except Exception as problem:
        raise CommandError(
            f"{event} cannot be read ({type(problem).__name__}: {problem})."
        ) from problem
    yield f"{event}: {binding.__module__}.{binding.__name__} of {model._meta.label}"
    yield from lines


def _answered(instance: Binding[Any], row: str | None) -> tuple[list[str], type[Model]]:
    """Return what there is to say of a binding, or of one row and it, and its model."""
    permissions.ask(instance)
    query = Query(instance)
    if row is None:
        return list(_lines(explain(query, models_by_table()))), query.model
    alone = instance.seen_by(None)
    return list(_lines_of_row(report(query, row, lambda: located(alone, query.alias)))), query.model


def _lines_of_row(told: RowReport) -> Iterator[str]:
    yield verdict(told)
    for condition in told.reasons.conditions:
        yield f"  {HOLDS[condition.holds]}: {condition.words}{_found(condition)}"
        yield f"    SQL: {condition.sql}"
    if told.reasons.note:
        yield f"  {told.reasons.note}"
    yield f"last written: {written(told)}"


HOLDS = {True: "holds", False: "fails", None: "cannot be asked of one row"}


def _found(condition: Condition) -> str:
    remarks = [f"it has {', '.join(condition.found)}"] if condition.found else []
    if said := remark(condition):
        remarks.append(said)
    return f" ({'; '.join(remarks)})" if remarks else ""


def _lines(found: Explanation) -> Iterator[str]:
    yield f"read: {found.reading}"
    yield f"shared: {found.sharing}"
    yield f"ordered by: {found.order}"
    yield f"time: {found.time}"
    yield f"a load: {_cost(found.load)}"
    yield "tables, and what a changed row of each costs:"
    for table, reach in found.tables.items():
        cost = found.changes.get(table)
        yield f"  {table}: {reach}"
        yield f"    {_cost(cost) if cost is not None else 'it has no rows to try'}"
    for sentence in found.advice:
        yield f"cheaper: {sentence}"


def _cost(cost: ReadCost) -> str:
    statements = "1 statement" if cost.statements == 1 else f"{cost.statements} statements"
    rows = "1 row" if cost.rows == 1 else f"{cost.rows} rows"
    return f"{statements}, {rows}, {cost.seconds * 1e3:.1f} ms"
