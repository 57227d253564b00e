"""Statements that are compiled once, with places for the values that they are asked with.

To build a queryset and to compile it costs ten times what the database does to find a row by its
key. A turn asks the same again and again, for other keys and other slots. So what is asked the
second time is compiled twice, with its own values and with others: where both give the same words,
and each argument is the same in both, or is in both one of the values, the words are kept, and the
places of the values in the arguments. What that does not prove is compiled each time, as before:
values that are converted on their way, like UUIDs where the database has no type for them, queries
that have no tree, and what a project's own lookup or field has a say in: it may make something of a
value that is by chance the same for the other.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import lru_cache
from inspect import getattr_static
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db.models import ForeignKey, Lookup, QuerySet
from django.db.models.sql import Query

from bindserver.queries.evaluation import CHUNK_ROWS
from bindserver.queries.expressions import is_own, parts_of

FEW = 20
"""Statements with more values are compiled each time: for each number there would be another."""

KEPT = 64
"""So many statements are known of one plan."""

PROBES: Mapping[type, Callable[[int], Any]] = {
    int: lambda number: 30_001 + number,
    datetime.date: lambda number: datetime.date(1901, 1, 1) + datetime.timedelta(number),
    uuid.UUID: lambda number: uuid.UUID(int=2**100 + number),
}
"""Values to probe with, for the types of which Django's fields take all values in the same way."""

WIDEST = 2**63
"""What is wider is compared with no column, and compiles to something else."""

SETUP = ("select", "annotation_col_map", "klass_info", "col_count", "has_extra_select")
"""What a compiler of Django's knows of the rows when it has compiled."""

UNMADE = frozenset({"__module__", "__doc__", "__dict__", "__weakref__", "as_manager"})

Make = Callable[[Sequence[Any]], QuerySet[Any, Any]]
"""Returns the queryset of some values, by `values_list`."""


class Prepared:
    """A statement with places for values.

    Args:
        query: what it was compiled from.
        compiler: what has compiled it.
        sql: its words.
        arguments: those that it was compiled to.
        places: for each argument which of the values it is, None for what is always the same.
    """

    def __init__(
        self,
        query: Query,
        compiler: Any,
        sql: str,
        arguments: Sequence[Any],
        places: Sequence[int | None],
    ) -> None:
        self._query = query
        self._setup = {name: getattr(compiler, name) for name in SETUP}
        self._sql = sql
        self._arguments = tuple(arguments)
        self._places = [(at, place) for at, place in enumerate(places) if place is not None]

    def rows(self, values: Sequence[Any], alias: str) -> Iterable[Sequence[Any]]:
        """Return the rows of some values, as `values_list` gives them."""
        arguments = list(self._arguments)
        for at, place in self._places:
            arguments[at] = values[place]
        # Of this thread's connection, which may have others told of what is executed.
        compiler: Any = self._query.get_compiler(using=alias)
        vars(compiler).update(self._setup, as_sql=lambda: (self._sql, tuple(arguments)))
        rows: Iterable[Sequence[Any]] = compiler.results_iter(tuple_expected=True)
        return rows


class Statements:
    """What the reads of one plan compile to.

    Args:
        alias: the database.

    Attributes:
        is_kept: whether any are kept: Django alone says what the plan's queries compile to, and it
            says the same for other values.
    """

    def __init__(self, alias: str) -> None:
        self.is_kept = False
        self._alias = alias
        self._known: dict[Hashable, Prepared | None] = {}
        self._asked: set[Hashable] = set()

    def rows(self, name: Hashable, make: Make, values: Sequence[Any]) -> Iterable[Sequence[Any]]:
        """Return the rows of some values.

        Args:
            name: tells what is asked from all else that is asked of the plan.
            make: returns the queryset, which differs in the values alone.
            values: those of the slot, and primary keys; all of these are different.
        """
        if len(values) > FEW:
            return make(values).iterator(chunk_size=CHUNK_ROWS)
        known = self._prepared(name, make, values) if self.is_kept else None
        return make(values) if known is None else known.rows(values, self._alias)

    def _prepared(self, name: Hashable, make: Make, values: Sequence[Any]) -> Prepared | None:
        if not all(map(_is_plain, values)):
            return None
        asked = (name, tuple(map(type, values)))
        if asked in self._known:
            return self._known[asked]
        if asked in self._asked:
            self._known[asked] = prepare(make, values, self._alias)
            return self._known[asked]
        if len(self._asked) < KEPT:
            self._asked.add(asked)
        return None


def prepare(make: Make, values: Sequence[Any], alias: str) -> Prepared | None:
    """Return what a queryset compiles to, with places for its values; None where that is not proved
    to be the same for all values of their types.

    Args:
        make: returns the queryset of some values.
        values: those that are asked for.
        alias: the database.
    """
    others = _others(values)
    own, other = make(values).query, make(others).query
    if not all(map(_is_djangos, parts_of([own]))):
        return None
    compiler, probe = own.get_compiler(using=alias), other.get_compiler(using=alias)
    try:
        sql, arguments = compiler.as_sql()
        words, probed = probe.as_sql()
    except EmptyResultSet:
        return None
    if sql != words or len(arguments) != len(probed) or not sql:
        return None
    places: list[int | None] = []
    for mine, its in zip(arguments, probed, strict=True):
        if _is_same(mine, its):
            places.append(None)
            continue
        found = [at for at, value in enumerate(others) if _is_same(value, its)]
        if len(found) != 1 or not _is_same(values[found[0]], mine):
            return None
        places += found
    return Prepared(own, compiler, sql, arguments, places)


@lru_cache(maxsize=512)
def adds_nothing(kind: type[QuerySet[Any]]) -> bool:
    """Return whether a queryset's class does all that Django's does, as Django's does it."""
    names = vars(QuerySet).keys() - UNMADE
    return all(getattr_static(kind, name) is vars(QuerySet)[name] for name in names)


def _is_djangos(part: Any) -> bool:
    """Return whether Django alone says what a part of a query makes of values."""
    if isinstance(part, Lookup):
        return is_own(type(part)) and _takes_all_alike(getattr(part.lhs, "output_field", None))
    return is_own(type(part)) or not hasattr(part, "as_sql")


def _takes_all_alike(field: Any) -> bool:
    """Return whether a field is Django's, as is the one that a foreign key leaves values to."""
    while is_own(type(field)):
        if not isinstance(field, ForeignKey):
            return True
        field = field.target_field
    return field is None


def _is_plain(value: Any) -> bool:
    return type(value) in PROBES and not (type(value) is int and abs(value) >= WIDEST)


def _is_same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)


def _others(values: Sequence[Any]) -> list[Any]:
    """Return a value of the same type for each, all of them different, and different from it."""
    others: list[Any] = []
    for number, value in enumerate(values):
        probe = PROBES[type(value)]
        other = probe(2 * number)
        others.append(probe(2 * number + 1) if other == value else other)
    return others
