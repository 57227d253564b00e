"""What is answered once: why a row is in a view or not, and how a view is kept and what it costs.

Rows are for those who may view their model: a value, be it a row's or one that a condition compares
with, is told only to a user with Django's permission `view` on each model that it is of.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db.models import QuerySet

from bindserver.bindings.binding import alias_of
from bindserver.conf import conf
from bindserver.cycle.cycle import Cycle
from bindserver.cycle.inbox import Caller
from bindserver.cycle.live_view import LiveView
from bindserver.database.pacing import Pacer
from bindserver.database.snapshot import snapshot_apart
from bindserver.database.watchdog import Watchdog
from bindserver.exceptions import Forbidden, NotFound
from bindserver.inspector.access import admit, may_view
from bindserver.inspector.asked import EVENT, Inquiry
from bindserver.inspector.facts import view_named
from bindserver.inspector.rows import RowReport, remark, report, verdict, written
from bindserver.inspector.topic import Row
from bindserver.queries.compiler import located
from bindserver.queries.explaining import PATIENCE, Explanation, ReadCost, explain, models_by_table
from bindserver.queries.row_conditions import Condition
from bindserver.user_code import apart


def answer(asked: Inquiry, caller: Caller) -> list[Row]:
    """Return the rows that answer a question.

    Args:
        asked: the question.
        caller: who asks.

    Raises:
        Refusal: there is no such view or key, or the caller may not know.
    """
    user = admit(EVENT, caller.user)  # with the permissions that the database has now
    found = view_named(asked.view)
    if found is None:
        raise NotFound("this process has no such view any more")
    cycle, live = found
    model = live.query.model
    if not may_view(user, model):
        raise Forbidden(f"rows of {model._meta.label} are for those who may view them in the admin")
    if asked.table == "explain":
        return list(_explained(cycle, live))
    return list(_why(cycle, live, asked.row, user))


@contextmanager
def _reading(alias: str, seconds: float) -> Iterator[None]:
    """Read in a snapshot for so long at most, whether or not the database answers at all."""
    with snapshot_apart(alias, Pacer(seconds)) as connection:
        watchdog = Watchdog(connection)
        try:
            with watchdog.patience(seconds + conf.STALE_SECONDS):
                yield
        finally:
            watchdog.close()


def _why(cycle: Cycle, live: LiveView, row: str, user: Any) -> Iterator[Row]:
    query = live.query.twin()  # the view's own is read by the cycle's thread
    with _reading(cycle.alias, conf.QUERY_SECONDS):
        told = apart(lambda: report(query, row, lambda: _for_nobody(live)))
    yield {"id": "verdict", "in": told.reasons.inside, "text": verdict(told)}
    yield {"id": "view", "text": _held(live, told)}
    for number, condition in enumerate(told.reasons.conditions):
        yield {"id": f"condition {number}", **_condition(condition, user)}
    if told.reasons.note:
        yield {"id": "note", "text": told.reasons.note}
    yield {"id": "written", "text": written(told)}


def _for_nobody(live: LiveView) -> QuerySet[Any]:
    instance = live.binding(params=json.loads(live.params))
    return located(instance, alias_of(live.binding))


def _held(live: LiveView, told: RowReport) -> str:
    """Return whether the view has the row in memory, in a sentence."""
    key = live.rows.keys.get(told.pk)
    has = key is not None and key in live.rows.view.rows
    said = "the view shows it" if has else "the view does not show it"
    if has == told.reasons.inside:
        return said
    return f"{said}: it is of another moment than this answer, or behind (see its state)"


def _condition(condition: Condition, user: Any) -> dict[str, Any]:
    allowed = all(may_view(user, model) for model in condition.models)
    return {
        "holds": condition.holds,
        "text": condition.words if allowed else condition.masked,
        "found": list(condition.found) if allowed else [],
        "hidden": "" if allowed else _named(condition),
        "remark": remark(condition) if allowed else "",
        "sql": condition.sql,
    }


def _named(condition: Condition) -> str:
    return ", ".join(sorted(model._meta.label for model in condition.models))


def _explained(cycle: Cycle, live: LiveView) -> Iterator[Row]:
    """Yield what `manage.py bindings explain` says, for a picture; reads the view once."""
    query = live.query.twin()  # the view's own is read by the cycle's thread
    with _reading(cycle.alias, conf.QUERY_SECONDS * PATIENCE):
        found = apart(lambda: explain(query, models_by_table()))
    yield from _sentences(found)
    for table, reach in found.tables.items():
        cost = found.changes.get(table)
        yield {"id": f"table {table}", "table": table, "text": reach, **_cost(cost)}
    for number, sentence in enumerate(found.advice):
        yield {"id": f"advice {number}", "text": sentence}


def _sentences(found: Explanation) -> Iterator[Row]:
    yield {"id": "load", **_cost(found.load)}
    yield {"id": "read", "text": found.reading}
    yield {"id": "shared", "text": found.sharing}
    yield {"id": "ordered", "text": found.order}
    yield {"id": "time", "text": found.time}


def _cost(cost: ReadCost | None) -> dict[str, Any]:
    if cost is None:
        return {"ms": None}
    return {
        "ms": round(cost.seconds * 1e3, 1),
        "statements": cost.statements,
        "rows": cost.rows,
    }
