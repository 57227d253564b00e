"""Which columns tell rows apart that are groups, distinct values, or repeated by a relation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import Field
from django.db.models.expressions import Col

from bindserver.exceptions import BindingError
from bindserver.queries.column_expressions import is_among_many, referred, says_itself


def single_column(
    query: Any, expressions: Mapping[str, Any], by: Sequence[str] | None
) -> tuple[str, Field[Any, Any]] | None:
    """Return the one column that tells rows apart, if it can be their key as it is."""
    if by is None or len(by) != 1:
        return None
    item = expressions.get(by[0])
    if not isinstance(item, Col) or query.combinator:
        return None
    field: Any = item.target
    # Whether a joined row is there depends on more than the columns.
    sure = item.alias == query.base_table and not field.null
    return (by[0], field) if sure and says_itself(field) else None


def by_groups(query: Any, expressions: Mapping[str, Any], pk: str) -> tuple[str, ...] | None:
    """Return the columns that groups are made by; None where each row is a group of its own.

    Raises:
        BindingError: the rows lack one of them.
    """
    grouped = [referred(item) for item in query.group_by]
    if any(_is_key(query, item) for item in grouped) and not is_among_many(query, grouped):
        return None
    by = [name for name, item in expressions.items() if _makes_groups(item)]
    held = {_plain(expressions[name]) for name in by}
    missing = [item for item in grouped if _plain(item) not in held]
    if not missing:
        return tuple(by)
    if query.distinct:
        return tuple(expressions)
    left_out = ", ".join(sorted({_named(item) for item in missing}))
    raise BindingError(
        f"the groups are made by {left_out}, which values() does not select, so that nothing tells "
        f"them apart. Name what they are made by in the last values() as well, or say distinct()."
    )


def _is_key(query: Any, item: Any) -> bool:
    return isinstance(item, Col) and item.alias == query.base_table and item.target.primary_key


def _makes_groups(item: Any) -> bool:
    """Return whether rows of one group all have the same of a column, and others something else."""
    if getattr(item, "contains_aggregate", False) or getattr(item, "contains_over_clause", False):
        return False
    return bool(item.get_group_by_cols()) if hasattr(item, "get_group_by_cols") else True


def _plain(item: Any) -> Any:
    """Return what is equal for equal expressions, whatever they are hashed by."""
    return item.identity if hasattr(item, "identity") else item


def _named(item: Any) -> str:
    return item.target.name if isinstance(item, Col) else str(item)


def by_distinct(query: Any, expressions: Mapping[str, Any], pk: str) -> tuple[str, ...] | None:
    """Return the columns by which distinct rows are told apart: any may differ."""
    if pk and not is_among_many(query, expressions.values()):
        return None
    return tuple(expressions)


def by_repetition(query: Any, expressions: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the columns in which the rows of one primary key may differ; None where there is one
    row of each."""
    many = [name for name, item in expressions.items() if is_among_many(query, [item])]
    if query.extra_tables:
        many = list(expressions)
    return tuple(many) if many else None
