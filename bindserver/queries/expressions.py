"""What a query is made of, and whether Django itself knows what its SQL does.

A row may be read again by its key only where no other row has a say in it. Of Django's own
expressions it is known which those are. What a project writes into the SQL itself (`RawSQL`,
`extra`, a `Func` with a function or template of its own, a class of its own) may be a window over
all rows, or a question to other tables, and nobody can tell that from outside.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from django.db.models import Field, FilteredRelation, Model, Q, Window
from django.db.models.expressions import Col, RawSQL
from django.db.models.sql import Query
from django.db.models.sql.datastructures import Join
from django.db.models.sql.where import ExtraWhere

from bindserver.queries.evaluation import is_own_column
from bindserver.queries.internals import filtered_relations

OWN = ("django.", "bindserver.")
"""The packages whose expressions are known; those for one database in `django.contrib` too."""

WRITTEN = {RawSQL: "RawSQL", ExtraWhere: "extra"}
"""What holds SQL as somebody has written it, and how they know it."""


def own_sql(query: Query) -> str | None:
    """Return what in a query puts SQL of its own there, None where all of it is Django's."""
    for part, _ in _parts([query]):
        if (found := _written_by_hand(part)) is not None:
            return found
    fields = query.model._meta.concrete_fields if query.model else ()
    return next((name for field in fields if (name := _selects_otherwise(field))), None)


def has_window(query: Query) -> bool:
    """Return whether a query has a window over its own rows; those of subqueries are over
    theirs."""
    return any(isinstance(part, Window) and not within for part, within in _parts([query]))


def is_own(cls: type) -> bool:
    """Return whether a class is Django's own."""
    return f"{cls.__module__}.".startswith(OWN)


def keeps(model: type[Model], column: str) -> bool:
    """Return whether a model's instances have a column's values as Django's own fields read
    them."""
    from_db: Any = model.from_db
    return is_own_column(model, column) and from_db.__func__ is vars(Model)["from_db"].__func__


def parts_of(roots: Iterable[Any]) -> Iterator[Any]:
    """Yield all that these are made of, subqueries and what is in them too."""
    return (part for part, _ in _parts(roots))


def _parts(roots: Iterable[Any]) -> Iterator[tuple[Any, bool]]:
    """Yield all that these are made of, and whether it is within a subquery of theirs."""
    waiting = [(root, False) for root in roots]
    while waiting:
        part, within = waiting.pop()
        yield part, within
        waiting += [(child, within or isinstance(child, Query)) for child in children_of(part)]


def children_of(part: Any) -> Iterator[Any]:
    """Yield what a part of a query is made of."""
    if isinstance(part, Query):
        yield from _children_of_query(part)
    elif isinstance(part, FilteredRelation):
        yield from (part.condition, vars(part)["resolved_condition"])
    elif isinstance(part, Q):
        yield from (item[1] if isinstance(item, tuple) else item for item in part.children)
    elif isinstance(part, Join):
        field: Any = part.join_field
        yield part.filtered_relation
        yield field.get_extra_restriction(part.table_alias, part.parent_alias)
    elif isinstance(part, (list, tuple, set, frozenset)):
        yield from (item for item in part if hasattr(item, "as_sql"))
    elif hasattr(part, "as_sql"):
        yield from getattr(part, "children", ())
        yield from getattr(part, "get_source_expressions", tuple)()
        yield getattr(part, "rhs", None)


def _children_of_query(query: Query) -> Iterator[Any]:
    yield query.where
    yield from query.annotations.values()
    yield from (item for item in query.order_by if not isinstance(item, str))
    yield from query.combined_queries
    yield from query.alias_map.values()
    yield from filtered_relations(query).values()
    if isinstance(query.group_by, tuple):
        yield from query.group_by


def _written_by_hand(part: Any) -> str | None:
    """Return the name of what puts SQL of its own into a query, None where this does not."""
    kind = type(part)
    if kind in WRITTEN:
        return WRITTEN[kind]
    if isinstance(part, Query) and (part.extra or part.extra_tables or part.extra_order_by):
        return "extra"
    if isinstance(part, Col):
        return _selects_otherwise(part.target)
    compiles = hasattr(part, "as_sql") or isinstance(part, Query)
    if compiles and (not is_own(kind) or getattr(part, "extra", None) or "template" in vars(part)):
        return kind.__name__
    transforms = getattr(part, "bilateral_transforms", None) or ()
    return next((item.__name__ for item in transforms if not is_own(item)), None)


def _selects_otherwise(field: Field[Any, Any]) -> str | None:
    """Return a field's class, if it has SQL of its own for its values."""
    kind: Any = type(field)
    methods = ("select_format", "get_placeholder", "get_placeholder_sql")
    return str(kind.__name__) if any(_overrides(kind, name) for name in methods) else None


@cache
def _overrides(kind: type, name: str) -> bool:
    """Return whether a class has a method that is not Django's own."""
    owner = next((cls for cls in kind.__mro__ if name in vars(cls)), None)
    return owner is not None and not is_own(owner)
