"""How the rows that a view reads besides its own query lead back to its rows, learned as it reads.

Django's own prefetches deal what they read to rows by columns that are known beforehand. And what a
serializer reads by itself is followed where each row asks for what is its own: by its key in a
foreign key, or by a foreign key of its own. Of all other statements nobody knows which rows they
have a say in, and so any.

A statement that is sent for one row may be kept for the others. So it counts as each row's own only
if each row that was read has sent it, with its own value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model, QuerySet
from django.db.models.expressions import Col
from django.db.models.lookups import Exact, In
from django.db.models.sql import Query

from bindserver.queries.backwards import (
    Anchors,
    Chain,
    Chains,
    Hop,
    chains_from,
    demanded,
    through_subquery,
)
from bindserver.queries.dependencies import Recorder, tables_in
from bindserver.queries.expressions import has_window, own_sql
from bindserver.queries.prefetches import Levels, levels_of

DEALT_BY = "_prefetch_related_val_"
"""How Django calls the columns by which it deals what a many-to-many prefetch reads."""

_recorders: WeakKeyDictionary[BaseDatabaseWrapper, LearningRecorder] = WeakKeyDictionary()


Named = tuple[str, tuple[tuple[str, str], ...]]
"""A field of a row, and the column that a statement demands its value of: by alias and name, from
the subquery that does so outwards."""


class RowStatement:
    """A statement that rows send.

    Attributes:
        chains: for each field of the row whose value it may demand, and where, how what it reads
            leads back.
        rows: how many rows have sent it.
        last: the number of the last of them.
    """

    def __init__(self, chains: Mapping[Named, Chains]) -> None:
        self.chains = dict(chains)
        self.rows = 0
        self.last = 0


class LearningRecorder(Recorder):
    """A recorder that learns how what is read besides leads back to the view's rows."""

    def __init__(self) -> None:
        super().__init__()
        self._query: Query | None = None
        self._fields: tuple[Any, ...] = ()
        self._levels: Levels = {}
        self._instance: Model | None = None
        self._rows = 0
        self._nulls: dict[str, int] = {}
        self._known: dict[str, set[Chain] | None] = {}
        self._asked: dict[str, RowStatement] = {}

    def expect_own(self, queryset: QuerySet[Any] | None = None) -> None:
        super().expect_own(queryset)
        if queryset is not None:
            self._fields = _own_fields(queryset.model)
            self._levels = levels_of(queryset)

    @contextmanager
    def row(self, instance: Model) -> Iterator[None]:
        self._instance = instance
        self._rows += 1
        held = vars(instance)
        for field in self._fields:
            if held.get(field.attname, field) is None:
                self._nulls[field.attname] = self._nulls.get(field.attname, 0) + 1
        try:
            yield
        finally:
            self._instance = None

    @contextmanager
    def asked_by(self, instance: Model) -> Iterator[None]:
        """Take all that is read meanwhile for what one row asks for, which is not of the view.

        It may name its key alone: of its other columns, somebody may have set others in memory.
        """
        fields = _own_fields(instance._meta.concrete_model or type(instance))
        self._fields = tuple([field for field in fields if field.primary_key])
        with self.row(instance):
            yield

    def ask(self, query: Query | None) -> None:
        """Called when a compiler of Django's begins to send a query's statement, or has sent it."""
        self._query = query

    def __call__(
        self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any
    ) -> Any:
        query, self._query = self._query, None
        if not self._expects_own:
            self._note(sql, query)
        return super().__call__(execute, sql, params, many, context)

    @contextmanager
    def watching(self, alias: str) -> Iterator[Recorder]:
        connection = connections[alias]
        with super().watching(alias), _compilers_told(connection, self):
            yield self

    def ways(self) -> dict[str, set[Chain] | None]:
        """Return how the tables that were read besides lead back, None for any row."""
        found = dict(self._known)
        for asked in self._asked.values():
            for chains in self._of_each_row(asked):
                _put(found, chains)
        return found

    def _note(self, sql: str, query: Query | None) -> None:
        """Take note of a statement."""
        told = None if query is None else _without_dealing(query)
        if told is None or own_sql(told) is not None or told.combinator:
            _put(self._known, dict.fromkeys(tables_in(sql)))
        elif self._instance is not None:
            self._note_row(sql, told, self._instance)
        else:
            for chains in self._prefetched(sql, told):
                _put(self._known, chains)

    def _prefetched(self, sql: str, query: Query) -> Iterator[Chains]:
        """Yield how the tables of a prefetch's statement lead back."""
        several = query.is_sliced or query.distinct_fields or has_window(query)
        for condition in () if several else demanded(query.where):
            column = condition.lhs if isinstance(condition, In) else None
            listed = column is not None and isinstance(condition.rhs, (list, tuple, set))
            if listed and isinstance(column, Col) and column.alias in query.alias_map:
                table = query.alias_map[column.alias].table_name
                chains = self._levels.get((table, str(column.target.column)))
                if chains:
                    yield from (
                        chains_from(query, sql, Anchors({column.alias: one})) for one in chains
                    )
                    return
        yield dict.fromkeys(tables_in(sql))

    def _note_row(self, sql: str, query: Query, instance: Model) -> None:
        """Take note of a statement that a row sends while it is rendered."""
        found = dict(_by_own_value(query, vars(instance), self._fields))
        asked = self._asked.get(sql)
        if asked is None:
            chains = {named: chains_from(query, sql, anchors) for named, anchors in found.items()}
            asked = self._asked[sql] = RowStatement(chains)
        # The same words with the value elsewhere lead back in another way.
        for named in asked.chains.keys() - found.keys():
            del asked.chains[named]
        if not asked.chains:
            _put(self._known, dict.fromkeys(tables_in(sql)))
        if asked.last != self._rows:
            asked.last = self._rows
            asked.rows += 1

    def _of_each_row(self, asked: RowStatement) -> Iterator[Chains]:
        """Yield how the tables of a statement lead back, if each row sends it that can."""
        missing = self._rows - asked.rows
        own = [
            chains
            for (name, _), chains in asked.chains.items()
            if missing == self._nulls.get(name, 0)  # it has nothing to ask for there
        ]
        yield from own or map(dict.fromkeys, asked.chains.values())


def _put(found: dict[str, set[Chain] | None], chains: Chains) -> None:
    """Put chains to others."""
    for table, more in chains.items():
        known = found.setdefault(table, set())
        if more is None:
            found[table] = None
        elif known is not None:
            known.update(more)


def _without_dealing(query: Query) -> Query:
    """Return a query without the columns that Django itself adds by `extra`, to deal its rows."""
    if not query.extra or not all(name.startswith(DEALT_BY) for name in query.extra):
        return query
    plain = query.clone()
    plain.extra = {}
    return plain


def _own_fields(model: type[Model]) -> tuple[Any, ...]:
    """Return the key of a model and its foreign keys, as far as they are in its own table."""
    table = model._meta.db_table
    return tuple(
        field
        for field in model._meta.concrete_fields
        if field.model._meta.db_table == table and (field.primary_key or field.is_relation)
    )


def _by_own_value(
    query: Query, held: Mapping[str, Any], fields: tuple[Any, ...]
) -> Iterator[tuple[Named, Anchors]]:
    """Yield those fields of a row that a statement's conditions name the value of, and where, with
    how the table that these are about leads back.

    Args:
        query: the statement's.
        held: what the row holds, by attribute.
        fields: its key and its foreign keys.
    """
    for condition in demanded(query.where):
        column = getattr(condition, "lhs", None)
        if not isinstance(column, Col) or column.alias not in query.alias_map:
            continue
        if isinstance(condition, In) and isinstance(condition.rhs, Query):
            for (name, places), anchors in _by_own_value(condition.rhs, held, fields):
                further = through_subquery(condition, query, anchors.chains)
                if further is not None and not anchors.within:
                    yield (name, (*places, _placed(column))), further
            continue
        value = _value(condition)
        table = query.alias_map[column.alias].table_name
        for field in fields if value is not None else ():
            same = held.get(field.attname) == value
            if same and (chain := _relation(table, column.target, field)) is not None:
                yield (field.attname, (_placed(column),)), Anchors({column.alias: chain})


def _placed(column: Col) -> tuple[str, str]:
    return str(column.alias), str(column.target.column)


def _value(condition: Any) -> Any:
    """Return the value that a condition demands of a column, None for another condition."""
    if isinstance(condition, Exact):
        value = condition.rhs
    elif isinstance(condition, In) and isinstance(condition.rhs, (list, tuple, set)):
        (value, *more) = list(condition.rhs) or [None]
        value = None if more else value
    else:
        return None
    return None if hasattr(value, "as_sql") or isinstance(value, Query) else value


def _relation(table: str, target: Any, field: Any) -> Chain | None:
    """Return how rows lead to one by a relation that is declared: a foreign key of theirs to it, or
    of it to them; or by being that very row."""
    mine, its = _place(field), (table, str(target.column))
    if mine == its:
        return () if field.primary_key else None
    refers = target.is_relation and _place(target.target_field) == mine
    referred = field.is_relation and _place(field.target_field) == its
    return (Hop(*its, *mine),) if refers or referred else None


def _place(field: Any) -> tuple[str, str]:
    return str(field.model._meta.db_table), str(field.column)


@contextmanager
def _compilers_told(connection: BaseDatabaseWrapper, recorder: LearningRecorder) -> Iterator[None]:
    """Have a recorder told which query each statement of Django's on a connection is of."""
    own, before = vars(connection.ops), _recorders.get(connection)
    usual, had = connection.ops.compiler, own.get("compiler")
    _recorders[connection] = recorder
    own["compiler"] = lambda name: telling(usual(name))
    try:
        yield
    finally:
        own.pop("compiler")
        if had is not None:
            own["compiler"] = had
        del _recorders[connection]
        if before is not None:
            _recorders[connection] = before


def _telling(kind: Any) -> Any:
    """Return a compiler class that tells the connection's recorder what it executes."""

    class Telling(kind):  # type: ignore[misc]
        def execute_sql(self, *args: Any, **kwargs: Any) -> Any:
            recorder = _recorders.get(self.connection)
            if recorder is None:
                return super().execute_sql(*args, **kwargs)
            recorder.ask(self.query)
            try:
                return super().execute_sql(*args, **kwargs)
            finally:
                recorder.ask(None)

    return Telling


telling: Callable[[Any], Any] = cache(_telling)
