"""The conditions of a query in words: path, operator and value, as somebody would write them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db.models import Exists, Lookup, Model, Subquery, Transform, Value
from django.db.models.expressions import Col, NegatedExpression
from django.db.models.sql import Query
from django.db.models.sql.datastructures import Join
from django.db.models.sql.where import NothingNode, WhereNode

from bindserver.queries.expressions import parts_of

OPERATORS = {
    "exact": "=",
    "gt": ">",
    "gte": ">=",
    "lt": "<",
    "lte": "<=",
    "in": "is one of",
    "range": "is between",
}
"""Lookups that have a sign, or a word that says more than their name."""

LONGEST_VALUE = 200
MOST_VALUES = 10
HIDDEN = "…"
"""Stands for a value that is not for everybody's eyes."""


@dataclass(frozen=True, slots=True)
class Words:
    """Says conditions of a query.

    Args:
        queries: the query, and behind it those that it stands in.
        hides: whether values are left out.
    """

    queries: tuple[Query, ...]
    hides: bool = False
    _depth: int = field(default=0)

    def of(self, node: Any) -> str:
        """Return a condition, or a part of one, in words."""
        if isinstance(node, WhereNode):
            return self._several(node)
        if isinstance(node, Lookup):
            return self._lookup(node)
        if isinstance(node, Exists):
            return f"there is {self._rows(node.query)}"
        if isinstance(node, NegatedExpression):
            return f"not ({self.of(node.expression)})"
        if isinstance(node, NothingNode):
            return "nothing: the query is known to be empty"
        return self.value(node)

    def _several(self, node: WhereNode) -> str:
        parts = [self.of(child) for child in node.children]
        if len(parts) > 1:
            parts = [
                f"({part})" if isinstance(child, WhereNode) and not child.negated else part
                for part, child in zip(parts, node.children, strict=True)
            ]
        said = f" {node.connector.lower()} ".join(parts) or "anything"
        return f"not ({said})" if node.negated else said

    def _lookup(self, node: Any) -> str:
        if isinstance(node.lhs, Exists | Lookup | WhereNode) and isinstance(node.rhs, bool):
            return self.of(node.lhs) if node.rhs else f"not ({self.of(node.lhs)})"
        name, left = node.lookup_name, self.value(node.lhs)
        if name == "isnull":
            return f"{left} is {'null' if node.rhs else 'not null'}"
        if not name:
            return f"{left} {type(node).__name__} {self.value(node.rhs)}"
        return f"{left} {OPERATORS.get(name, name)} {self.value(node.rhs)}"

    def value(self, node: Any) -> str:
        """Return what is compared: a column by its path, a constant, or another expression."""
        if isinstance(node, Col):
            return self.path(node)
        if isinstance(node, Exists | Lookup | WhereNode):
            return self.of(node)
        if isinstance(node, Transform):
            (inner,) = node.get_source_expressions()
            return f"{self.value(inner)}__{node.lookup_name}"
        if isinstance(node, Value):
            return self._constant(node.value)
        if isinstance(node, Subquery | Query):
            return self._rows(node.query if isinstance(node, Subquery) else node)
        if isinstance(node, list | tuple | set | frozenset):
            return self._listed(list(node))
        if hasattr(node, "get_source_expressions"):
            return self._expression(node)
        return self._constant(node)

    def _expression(self, node: Any) -> str:
        parts = [self.value(part) for part in node.get_source_expressions() if part is not None]
        connector = getattr(node, "connector", None)
        if connector is not None and len(parts) == 2:
            return f"{parts[0]} {connector} {parts[1]}"
        return f"{getattr(node, 'function', None) or type(node).__name__}({', '.join(parts)})"

    def _listed(self, values: Sequence[Any]) -> str:
        shown = [self.value(value) for value in values[:MOST_VALUES]]
        more = len(values) - len(shown)
        return ", ".join([*shown, *([f"and {more} more"] if more else [])]) or "nothing"

    def _constant(self, value: Any) -> str:
        if value is None or isinstance(value, bool):
            return str(value)
        if self.hides:
            return HIDDEN
        text = repr(value) if isinstance(value, str | int | float) else f"'{value}'"
        return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"

    def _rows(self, query: Query) -> str:
        """Return what a subquery selects."""
        if self._depth > 2:
            return "rows of a subquery"
        inner = Words((query, *self.queries), self.hides, self._depth + 1)
        named = query.model._meta.label if query.model is not None else "a subquery"
        where = inner.of(query.where) if query.where.children else ""
        return f"a row of {named}{f' where {where}' if where else ''}"

    def path(self, column: Col) -> str:
        """Return a column by the relations that lead to it."""
        name = str(column.target.name)
        steps = [*self._steps(column.alias), name]
        return "__".join(steps)

    def _steps(self, alias: str) -> list[str]:
        steps: list[str] = []
        tables = next((q.alias_map for q in self.queries if alias in q.alias_map), {})
        while isinstance(join := tables.get(alias), Join):
            relation: Any = join.join_field
            if not str(relation.name).endswith("+"):  # the hidden way to a many-to-many's table
                steps.insert(0, str(relation.name))
            alias = str(join.parent_alias)
        return steps


def models_in(node: Any) -> frozenset[type[Model]]:
    """Return the models whose columns a condition reads."""
    return frozenset(
        model
        for part in parts_of([node])
        if isinstance(part, Col) and (model := part.target.model._meta.concrete_model) is not None
    )


def users_in(node: Any) -> frozenset[Any]:
    """Return the primary keys of users that a condition names, as in `owner = 7`."""
    return frozenset(_users(node)) if apps.is_installed("django.contrib.auth") else frozenset()


def _users(node: Any) -> Iterator[Any]:
    users = get_user_model()
    for part in parts_of([node]):
        left = getattr(part, "lhs", None)
        if not isinstance(part, Lookup) or not isinstance(left, Col):
            continue
        leads_to = left.target.related_model if left.target.is_relation else None
        is_key = left.target.primary_key and left.target.model is users
        if leads_to is users or is_key:
            values = part.rhs if isinstance(part.rhs, list | tuple | set) else [part.rhs]
            yield from (value for value in values if isinstance(value, str | int))
