"""The conditions of a query, each asked of one row.

Joins are asked as outer joins, so that a row stays there whatever it lacks; what an inner join
demands is a condition like the others. All are asked in one statement. Those of aggregates are
asked in another: they are about all rows that the others leave.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.core.exceptions import EmptyResultSet, FullResultSet
from django.db import connections
from django.db.models import Lookup, Model, QuerySet
from django.db.models.expressions import Col
from django.db.models.sql.constants import INNER
from django.db.models.sql.datastructures import Join
from django.db.models.sql.where import AND, WhereNode

from bindserver.database.compiling import compiling
from bindserver.database.sql import ask
from bindserver.queries.query import Query
from bindserver.queries.words import Words, models_in, users_in

MOST_JOINED = 1_000
"""So many rows that a row is joined to are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One of the conditions that a row must meet.

    Attributes:
        words: the condition: path, operator and value.
        masked: the same without values.
        sql: the same as SQL, with placeholders in place of values.
        holds: whether the row meets it; None where that cannot be asked of one row.
        found: what the row has in the column that is compared; nothing where that is no column.
        models: whose columns it reads.
        users: the primary keys of users that it names.
        of_caller: whether it is there for whoever asks: for nobody it is another, or none.
    """

    words: str
    masked: str
    sql: str
    holds: bool | None
    found: tuple[Any, ...]
    models: frozenset[type[Model]]
    users: frozenset[Any]
    of_caller: bool = False


@dataclass(frozen=True, slots=True)
class _Part:
    """A condition, compiled."""

    node: Any
    sql: str
    params: tuple[Any, ...]
    always: bool | None = None


def conditions_of(
    query: Query, queryset: QuerySet[Any], pk: Any, for_nobody: QuerySet[Any] | None
) -> Iterator[Condition]:
    """Yield a query's conditions, asked of a row.

    Args:
        query: the query.
        queryset: what it asks for, limits aside.
        pk: the row's primary key, as Python has it.
        for_nobody: what the same binding asks for where nobody is logged in, if that is known.
    """
    apart = _Apart(queryset, query.alias)
    others = None if for_nobody is None else _Apart(for_nobody, query.alias).said()
    for part, holds, found in apart.asked(pk):
        if holds and isinstance(part.node, Join):
            continue  # nobody has written it
        words = Words((apart.query,))
        said = _say(words, part.node)
        yield Condition(
            words=said,
            masked=_say(replace(words, hides=True), part.node),
            sql=part.sql,
            holds=holds,
            found=found,
            models=_models(part.node),
            users=frozenset() if isinstance(part.node, Join) else users_in(part.node),
            of_caller=others is not None and said not in others,
        )


def _say(words: Words, node: Any) -> str:
    if isinstance(node, Join):
        return f"there is a row of {node.table_name} that it is joined to by {_field(node)}"
    return words.of(node)


def _field(join: Join) -> str:
    relation: Any = join.join_field
    return str(relation.name)


def _models(node: Any) -> frozenset[type[Model]]:
    if isinstance(node, Join):
        related: Any = node.join_field
        return frozenset({related.related_model, related.model})
    return models_in(node)


class _Apart:
    """A query's conditions, one by one.

    Args:
        queryset: the query, without a limit.
        alias: the database.
    """

    def __init__(self, queryset: QuerySet[Any], alias: str) -> None:
        self._connection = connections[alias]
        self.query: Any = queryset.query.chain()
        self.query.clear_ordering(force=True)
        self.query.clear_select_clause()
        self.query.get_initial_alias()

    def said(self) -> set[str]:
        """Return all conditions, in words."""
        words = Words((self.query,))
        return {_say(words, node) for node in (*self._joins(), *_required(self.query.where))}

    def asked(self, pk: Any) -> Iterator[tuple[_Part, bool | None, tuple[Any, ...]]]:
        """Yield each condition, whether a row meets it, and what that row has there.

        Args:
            pk: the row's primary key.
        """
        with compiling:
            plain, summed, unasked = self._sorted()
        yield from self._of_row(plain, pk)
        yield from self._of_group(plain, summed, pk)
        yield from ((part, None, ()) for part in unasked)

    def _sorted(self) -> tuple[list[_Part], list[_Part], list[_Part]]:
        """Return the conditions of a row, of what is summed up, and those of several rows."""
        plain = [self._joined(join) for join in self._joins()]
        summed, unasked = [], []
        for node in _required(self.query.where):
            part = self._compiled(node)
            if getattr(node, "contains_over_clause", False):
                unasked.append(part)
            elif getattr(node, "contains_aggregate", False):
                summed.append(part)
            else:
                plain.append(part)
        return plain, summed, unasked

    def _joins(self) -> list[Join]:
        """Return the inner joins: each demands that there be a row."""
        known: Any = self.query.alias_map
        return [
            join
            for alias, join in known.items()
            if isinstance(join, Join)
            and join.join_type == INNER
            and self.query.alias_refcount[alias]
        ]

    def _joined(self, join: Join) -> _Part:
        quote = self._connection.ops.quote_name
        alias: Any = join.table_alias or join.table_name
        untyped: Any = join
        _, column = untyped.join_fields[0]
        return _Part(join, f"{quote(alias)}.{quote(column.column)} IS NOT NULL", ())

    def _compiled(self, node: Any) -> _Part:
        try:
            sql, params = self._compiler().compile(node)
        except EmptyResultSet:
            return _Part(node, "FALSE", (), always=False)
        except FullResultSet:
            return _Part(node, "TRUE", (), always=True)
        return _Part(node, sql, tuple(params), always=None if sql else True)

    def _compiler(self, query: Any = None) -> Any:
        return (self.query if query is None else query).get_compiler(connection=self._connection)

    def _of_row(
        self, parts: Sequence[_Part], pk: Any
    ) -> Iterator[tuple[_Part, bool | None, tuple[Any, ...]]]:
        if not parts:
            return
        columns = [_column(part.node) for part in parts]
        shown = list(dict.fromkeys(column for column in columns if column is not None))
        with compiling:
            outer = self._with_outer_joins()
            compiler = self._compiler(outer)
            cases, params = _cases(parts)
            texts = [compiler.compile(column)[0] for column in shown]
            source, source_params = self._source(compiler)
        sql = f"SELECT {', '.join([*cases, *texts])} FROM {source} WHERE {self._pk(pk)[0]}"
        limit = self._connection.ops.limit_offset_sql(0, MOST_JOINED)
        rows = ask(self._connection, f"{sql} {limit}", [*params, *source_params, *self._pk(pk)[1]])
        values = [row[len(parts) :] for row in rows]
        converters = compiler.get_converters(shown)
        values = [tuple(row) for row in compiler.apply_converters(values, converters)]
        for index, (part, column) in enumerate(zip(parts, columns, strict=True)):
            holds = any(bool(row[index]) for row in rows)
            at = None if column is None else shown.index(column)
            found = () if at is None else tuple(dict.fromkeys(repr(row[at]) for row in values))
            yield part, holds if part.always is None else part.always, found

    def _of_group(
        self, plain: Sequence[_Part], summed: Sequence[_Part], pk: Any
    ) -> Iterator[tuple[_Part, bool | None, tuple[Any, ...]]]:
        if not summed:
            return
        with compiling:
            cases, params = _cases(summed)
            source, source_params = self._source(self._compiler())
        own, own_params = self._pk(pk)
        wanted = [part for part in plain if part.always is None and not isinstance(part.node, Join)]
        where = " AND ".join([own, *(f"({part.sql})" for part in wanted)])
        params += [*source_params, *own_params, *(p for part in wanted for p in part.params)]
        grouped = f"SELECT {', '.join(cases)} FROM {source} WHERE {where} GROUP BY {self._key()}"
        rows = ask(self._connection, grouped, params)
        for index, part in enumerate(summed):
            yield part, bool(rows[0][index]) if rows else None, ()

    def _with_outer_joins(self) -> Any:
        query: Any = self.query.chain()
        for alias, join in query.alias_map.items():
            if isinstance(join, Join) and join.join_type == INNER:
                promoted: Any = join
                query.alias_map[alias] = promoted.promote()
        return query

    def _source(self, compiler: Any) -> tuple[str, list[Any]]:
        parts, params = compiler.get_from_clause()
        return " ".join(parts), params

    def _key(self) -> str:
        quote, meta = self._connection.ops.quote_name, self.query.model._meta
        return f"{quote(self.query.get_initial_alias())}.{quote(meta.pk.column)}"

    def _pk(self, pk: Any) -> tuple[str, list[Any]]:
        field = self.query.model._meta.pk
        return f"{self._key()} = %s", [field.get_db_prep_value(pk, self._connection)]


def _cases(parts: Sequence[_Part]) -> tuple[list[str], list[Any]]:
    """Return what selects 1 or 0 for each condition, as every database knows it."""
    cases = [
        f"CASE WHEN {part.sql} THEN 1 ELSE 0 END" if part.always is None else "0" for part in parts
    ]
    return cases, [p for part in parts if part.always is None for p in part.params]


def _required(where: WhereNode) -> Iterator[Any]:
    """Yield the conditions all of which a row must meet."""
    if where.negated or where.connector != AND:
        yield where
        return
    for child in where.children:
        if isinstance(child, WhereNode):
            yield from _required(child)
        else:
            yield child


def _column(node: Any) -> Col | None:
    """Return the column that a condition compares; None where it is more than that."""
    left = getattr(node, "lhs", None)
    return left if isinstance(node, Lookup) and isinstance(left, Col) else None
