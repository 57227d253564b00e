"""The tree of a queryset as a value: equal for two that differ in nothing but constants.

It costs a walk, where compiling costs ten. So a queryset is told again that was asked for with
other arguments, and what is known of the first one holds for it. Only what Django itself has made
is told: of anything else (a class or a field of the project's own, an instance that is carried
along) nobody knows what it compiles to, and there is no tree.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Hashable, Iterable
from typing import Any, NamedTuple

from django.db.models import Field, ForeignObjectRel, Lookup, QuerySet
from django.db.models.expressions import BaseExpression, Combinable
from django.db.models.sql import Query
from django.db.models.sql.datastructures import BaseTable, Join
from django.db.models.sql.where import WhereNode

from bindserver.queries.evaluation import says_all
from bindserver.queries.expressions import is_own
from bindserver.queries.identity import TOLD, IdentityEncoder
from bindserver.queries.internals import prefetches_of
from bindserver.queries.plain_values import ATOMS

CONSTANTS = frozenset({*ATOMS, datetime.datetime, datetime.time}) - {memoryview, bytearray}
"""Types of arguments that may differ between queries of one tree."""

LITERAL = frozenset({type(None), bool, int, str})
"""Types whose values are a part of the tree as they are."""

DERIVED = frozenset(
    {
        "_annotation_select_cache",
        "_constructor_args",
        "_extra_select_cache",
        "_output_field_or_none",
        "base_table",
        "constraint_validation_compatible",
        "contains_aggregate",
        "contains_column_references",
        "contains_over_clause",
        "contains_subquery",
        "convert_value",
        "identity",
    }
)
"""What Django's objects come to remember, or were made from: it follows from the rest."""


class Unknown(Exception):
    """There is something of which nobody knows what it compiles to."""


class Constant(NamedTuple):
    """A constant of a tree.

    Attributes:
        condition: what compares with it.
        value: its value.
    """

    condition: Any
    value: Any


class Tree(NamedTuple):
    """A queryset as a value.

    Attributes:
        structure: equal for all that differ in nothing but their constants. It holds only as long
            as the queryset itself does: fields and classes are told by where they are in memory.
        constants: the constants, in the order in which they stand there.
    """

    structure: Hashable
    constants: tuple[Constant, ...]


def tree_of(queryset: QuerySet[Any], *beside: Any) -> Tree | None:
    """Return a queryset as a value; None if there is something in it that nobody knows.

    Args:
        queryset: the queryset.
        beside: what else is to be a part of the structure, like the order that it is to have.
    """
    if queryset._result_cache is not None or not says_all(queryset):
        return None
    walk = _Walk()
    kept = {name: item for name, item in vars(queryset).items() if name not in TOLD}
    try:
        asked = walk.of(queryset.query)
        structure = (type(queryset), walk.of(kept), asked, walk.of(beside))
        lookups = prefetches_of(queryset)
    except (Unknown, RecursionError):
        return None
    return Tree((*structure, lookups), tuple(walk.constants))


class _Walk:
    """Takes down what a queryset is made of.

    Attributes:
        constants: those that were met.
    """

    def __init__(self) -> None:
        self.constants: list[Constant] = []

    def of(self, part: Any) -> Hashable:
        """Return what a part is, without its constants.

        Raises:
            Unknown: nobody knows.
        """
        kind = type(part)
        if kind in LITERAL:
            return (kind, part)
        told = _TOLD_BY.get(kind)
        if told is not None:
            return told(self, part)
        for kinds, told in _TOLD_BY_BASE:
            if issubclass(kind, kinds):
                return told(self, part)
        raise Unknown(kind)

    def several(self, parts: Any) -> Hashable:
        """Return what a list is made of."""
        return (type(parts), tuple([self.of(part) for part in parts]))

    def unordered(self, parts: Any) -> Hashable:
        """Return what is in a set of texts."""
        if not all(type(part) is str for part in parts):
            raise Unknown(parts)
        return (type(parts), frozenset(parts))

    def mapping(self, parts: Any) -> Hashable:
        """Return what is in a dict, in its order."""
        return (dict, self._named(parts.items()))

    def itself(self, part: Any) -> Hashable:
        """Return what is the same for this object alone, as long as it lives."""
        return ("itself", id(part))

    def where(self, part: WhereNode) -> Hashable:
        """Return what conditions are made of."""
        children = tuple([self.of(child) for child in part.children])
        return (WhereNode, part.connector, part.negated, children)

    def lookup(self, part: Any) -> Hashable:
        """Return what a condition compares, and how, without the constants that it compares
        with."""
        kept = vars(part).copy()
        right = self._right(part, kept.pop("rhs"))
        return (self._kind(part), right, self._state(kept))

    def _right(self, condition: Any, value: Any) -> Hashable:
        if type(value) in CONSTANTS:
            return self._constant(condition, value)
        if type(value) in (list, tuple) and all(type(item) in CONSTANTS for item in value):
            return (type(value), tuple([self._constant(condition, item) for item in value]))
        return self.of(value)

    def _constant(self, condition: Any, value: Any) -> Hashable:
        self.constants.append(Constant(condition, value))
        # Beyond that no column can be compared with it, and it is a part of no slot.
        return ("constant", type(value), type(value) is int and abs(value) >= 2**63)

    def made(self, part: Any) -> Hashable:
        """Return what an object of Django's is made of."""
        return (self._kind(part), self._state(vars(part)))

    def _kind(self, part: Any) -> type:
        kind = type(part)
        if not is_own(kind):
            raise Unknown(kind)
        return kind

    def _state(self, kept: Any) -> Hashable:
        return self._named([item for item in kept.items() if item[0] not in DERIVED])

    def _named(self, parts: Iterable[tuple[Any, Any]]) -> Hashable:
        # Most are literals, of which `of` would say the same; a call for each would cost more.
        return tuple(
            [
                (
                    name if type(name) is str else self.of(name),
                    (type(part), part) if type(part) in LITERAL else self.of(part),
                )
                for name, part in parts
            ]
        )

    def field(self, part: Any) -> Hashable:
        """Return which field it is: of a model, or of none."""
        if not is_own(type(part)):
            raise Unknown(type(part))
        if getattr(part, "model", None) is not None:
            return self.itself(part)
        encoder = IdentityEncoder()
        told = repr(encoder.field(part))
        if encoder.unshared:
            raise Unknown(part)
        return told

    def model(self, part: type) -> Hashable:
        """Return which class it is."""
        return self.itself(part)


_TOLD_BY: dict[type, Callable[[_Walk, Any], Hashable]] = {
    list: _Walk.several,
    tuple: _Walk.several,
    set: _Walk.unordered,
    frozenset: _Walk.unordered,
    dict: _Walk.mapping,
    WhereNode: _Walk.where,
    Query: _Walk.made,
    BaseTable: _Walk.made,
    Join: _Walk.made,
}

_TOLD_BY_BASE: tuple[tuple[Any, Callable[[_Walk, Any], Hashable]], ...] = (
    (Lookup, _Walk.lookup),
    ((Field, ForeignObjectRel), _Walk.field),
    ((BaseExpression, Combinable), _Walk.made),
    (type, _Walk.model),
)
