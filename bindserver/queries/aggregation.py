"""One row of aggregates, as `queryset.aggregate()` reads it: its SQL, and who it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import connections
from django.db.models import F, Field, Q, QuerySet
from django.db.models.expressions import BaseExpression

from bindserver.queries.columns import Columns
from bindserver.queries.identity import IdentityEncoder, Statement
from bindserver.queries.internals import alike


class _Seen(Exception):
    """Ends what would else ask the database."""

    def __init__(self, sql: str, given: Any) -> None:
        super().__init__(sql)
        self.statement = Statement(sql, tuple(given or ()))


def statement_of(queryset: QuerySet[Any], aggregates: Mapping[str, Any]) -> Statement:
    """Return the SQL by which Django reads aggregates; no text where it need not ask.

    Only Django itself knows when these take a subquery, and makes the SQL as it sends it. So it is
    let do that, and stopped there.
    """
    connection = connections[queryset.db]
    # Nobody is to note these tables as read: who watches takes a binding for one that asks them.
    watching, connection.execute_wrappers = connection.execute_wrappers, [_stop]
    try:
        whole: Any = alike(queryset)
        whole.query.clear_limits()
        whole.aggregate(**aggregates)
    except _Seen as seen:
        return seen.statement
    finally:
        connection.execute_wrappers = watching
    return Statement("", ())


def _stop(execute: Any, sql: str, given: Any, many: bool, context: Any) -> Any:
    raise _Seen(sql, given)


def told_of(columns: Columns | None, encoder: IdentityEncoder) -> list[Any]:
    """Return what rows of columns are, beside their SQL, as plain data; nothing for instances."""
    if columns is None:
        return []
    by = None if columns.by is None else list(columns.by)
    aggregates = columns.aggregates or {}
    return [
        "columns",
        list(columns.names),
        by,
        columns.beside_pk,
        [[name, _expression(item, encoder)] for name, item in aggregates.items()],
    ]


CONVERTING = ("convert_value", "get_db_converters", "select_format")


def _expression(value: Any, encoder: IdentityEncoder) -> Any:
    """Return an expression as it was made: the SQL does not say what becomes of an answer."""
    what = "an aggregate"
    if isinstance(value, F):
        return ["F", encoder.code(type(value), what), encoder.encode(vars(value)["name"], what)]
    if isinstance(value, Q):
        children = [_expression(item, encoder) for item in value.children]
        return ["Q", encoder.code(type(value), what), value.connector, value.negated, children]
    if isinstance(value, tuple | list):
        return [type(value).__name__, [_expression(item, encoder) for item in value]]
    if isinstance(value, Field):
        return encoder.field(value, what)
    if not isinstance(value, BaseExpression):
        return encoder.encode(value, what)
    given = getattr(value, "_constructor_args", None)
    if given is None or any(name in vars(value) for name in CONVERTING):
        return encoder.itself(value, what)
    args, kwargs = given
    named = [[name, _expression(item, encoder)] for name, item in sorted(kwargs.items())]
    return ["made", encoder.code(type(value), what), _expression(list(args), encoder), named]
