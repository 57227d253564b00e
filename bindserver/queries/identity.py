"""Who a query is: querysets as plain data, and digests by which two are told apart.

Two queries are the same when all that decides what is read and what becomes of it is: the SQL with
its arguments by type and content, the classes, prefetches with their own querysets, hints and what
subclasses keep. Where that is not known, a query is like no other.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, NamedTuple

from django.core.exceptions import EmptyResultSet
from django.db.models import Prefetch, QuerySet
from django.db.models.sql import Query as SQLQuery

from bindserver.database.compiling import compiling
from bindserver.queries.code_paths import is_djangos, is_found, path_of
from bindserver.queries.internals import alias_named, filtered_relations, prefetches_of
from bindserver.queries.slots import BESIDE
from bindserver.queries.values import ValueEncoder

GENERIC_PREFETCH = "django.contrib.contenttypes.prefetch.GenericPrefetch"
PREFETCHED = frozenset({"prefetch_through", "prefetch_to", "queryset", "querysets", "to_attr"})
"""What a Prefetch keeps, and all that is told of it."""

TOLD = frozenset(
    {
        "model",
        "_query",
        "_result_cache",
        "_prefetch_done",
        "_prefetch_related_lookups",
        "_sticky_filter",
        "_for_write",
    }
)
"""What of a queryset is told by other means, or says nothing of its rows."""


class Statement(NamedTuple):
    """What a query was compiled to; no text where it matches nothing."""

    sql: str
    arguments: tuple[Any, ...]


def compile_query(query: SQLQuery, alias: str) -> Statement:
    """Compile a query, a copy of the caller's own, for a database.

    Raises:
        EmptyResultSet: it matches nothing.
    """
    compiler = query.get_compiler(using=alias)
    with compiling:
        # `as_sql` forgets the joins that it adds itself, for orderings and `select_related`.
        compiler.pre_sql_setup()
        sql, arguments = compiler.as_sql()
    return Statement(sql, tuple(arguments))


class IdentityEncoder(ValueEncoder):
    """Encodes querysets beside values.

    Args:
        alias: the database of querysets that name none.
        looks: whether what objects, functions and classes say now is told, too.
    """

    def __init__(self, alias: str = "default", *, looks: bool = True) -> None:
        super().__init__(looks=looks)
        self._alias = alias

    def encode(self, value: Any, what: str = "") -> Any:
        """Return a value as plain data, as `ValueEncoder.encode` does."""
        if issubclass(type(value), QuerySet):  # to ask what it is would evaluate a lazy object
            return self.queryset(value, what or "a queryset")
        return super().encode(value, what)

    def queryset(self, value: QuerySet[Any], what: str, statement: Any = None) -> Any:
        """Return a queryset: what it asks the database, and what becomes of the answer.

        Args:
            value: the queryset.
            what: what it is to a person, for `unshared`.
            statement: stands for its SQL, if that has been encoded already.
        """
        query = value.query
        rows = value._result_cache
        return [
            "queryset",
            self.code(type(value), what),
            self.code(value.model, what),
            self._state(value, what),
            self.statement(value, what) if statement is None else statement,
            self._results(query, what),
            self.prefetches(value, what),
            None if rows is None else self.encode(list(rows), what),
        ]

    def statement(self, value: QuerySet[Any], what: str) -> Any:
        """Return a queryset's SQL and its arguments."""
        try:
            compiled = compile_query(value.query.chain(), alias_named(value) or self._alias)
        except EmptyResultSet:
            return ["nothing"]
        return self.arguments(compiled, what)

    def arguments(self, compiled: Statement, what: str) -> Any:
        """Return a statement with its arguments."""
        of = f"an SQL argument of {what}"
        return ["sql", compiled.sql, [self.encode(item, of) for item in compiled.arguments]]

    def prefetches(self, value: QuerySet[Any], what: str) -> list[Any]:
        """Return what a queryset prefetches, in its order."""
        return [self._prefetch(item, what) for item in prefetches_of(value)]

    def _prefetch(self, item: Any, what: str) -> Any:
        if isinstance(item, str):
            return ["prefetch", item]
        of, path = f"a prefetch of {what}", path_of(type(item))
        if not vars(item).keys() <= PREFETCHED:
            return self.itself(item, of)
        if type(item) is Prefetch:
            querysets = [item.queryset]
        elif path == GENERIC_PREFETCH and is_found(type(item)):
            querysets = list(item.querysets)
        else:
            return self.itself(item, of)
        asked = [self.encode(queryset, of) for queryset in querysets]
        return [path, item.prefetch_through, item.prefetch_to, item.to_attr, asked]

    def _state(self, value: QuerySet[Any], what: str) -> list[Any]:
        """Return what a queryset keeps: its database, hints, known instances, its class's own."""
        usual = vars(QuerySet(value.model))
        own = {
            name: item
            for name, item in sorted(vars(value).items())
            if name not in TOLD and not (name in usual and usual[name] is item)
        }
        return self.items(own, what)

    def _results(self, query: SQLQuery, what: str) -> list[Any]:
        """Return how what the database answers becomes Python's."""
        annotations = query.annotation_select.items()
        usual = SQLQuery(query.model)
        own = {name: vars(query)[name] for name in sorted(vars(query)) if not hasattr(usual, name)}
        return [
            self.code(type(query), what),
            self.items(own, what),
            self.encode(query.select_related, what),
            sorted(filtered_relations(query)),
            [
                [name, self._annotation(item, f"{name} of {what}")]
                for name, item in annotations
                if not name.startswith(BESIDE)  # it goes to nobody
            ],
        ]

    def _annotation(self, item: Any, what: str) -> Any:
        converts = ("convert_value", "get_db_converters", "select_format")
        given = [vars(item)[name] for name in converts if name in vars(item)]
        if not all(_is_djangos(type(item), name) for name in converts) or not all(
            map(is_djangos, given)
        ):
            return self.itself(item, what)
        output = getattr(item, "_output_field_or_none", None)
        return None if output is None else self.field(output, what)


def _is_djangos(cls: type, name: str) -> bool:
    """Return whether an attribute of a class is as Django declares it."""
    owner = next((kind for kind in cls.__mro__ if name in vars(kind)), None)
    return owner is None or is_djangos(owner)


def digest(parts: Any) -> str:
    """Return a short text that is equal for equal plain data."""
    return short_digest(parts).hex()


def short_digest(parts: Any) -> bytes:
    """Return what is equal for equal plain data in half as many bytes, where there are very many
    and nobody is to read them."""
    return hashlib.sha256(json.dumps(parts).encode()).digest()
