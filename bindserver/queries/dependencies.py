"""What a view reads besides its own table, found by watching the SQL that it runs.

A `Recorder` sees every statement. The first one of each read is the view's own query, whose joins
the `Query` can explain: it knows by which foreign keys a changed row of a joined table reaches
rows of the view. Any table that is read otherwise (a subquery, a prefetch, a serializer that asks
by itself) may reach any row, so a change there means comparing the whole view.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Any

from django.apps import apps
from django.db import connections
from django.db.models import Model, QuerySet
from django.db.models.sql.datastructures import Join

from bindserver.exceptions import BindingError

WORD = r"[^\W\d][\w$]*"
NAME = rf'(?:"(?:[^"]|"")+"|`[^`]+`|\[[^\]]+\]|{WORD})'
IDENTIFIER = re.compile(WORD)
REFERENCE = re.compile(rf"{NAME}(?:\s*\.\s*{NAME})*")
"""A name, and what it is said to be in: a schema, a table or its alias."""
PART = re.compile(NAME)
ALIAS = re.compile(r"[a-z]{1,2}\d+")
"""How Django calls a table that it mentions once more, or in a subquery."""


@cache
def known_tables() -> frozenset[str]:
    """Return the tables of all installed models, many-to-many tables among them."""
    return frozenset(model._meta.db_table for model in apps.get_models(include_auto_created=True))


@cache
def _words() -> Mapping[str, frozenset[str]]:
    """Return the tables that each word may mean: databases fold names that are not quoted, and
    a table's may come after its schema's."""
    words: dict[str, set[str]] = {}
    for name in known_tables():
        last = _parts_of(name)[-1]
        if IDENTIFIER.fullmatch(last):
            words.setdefault(last, set()).add(name)
    return {word: frozenset(names) for word, names in words.items()}


@cache
def _odd_tables() -> Mapping[str, str]:
    """Return those whose names are more than one word, as old databases have them, and as what
    they are looked for."""
    lasts = {name: _parts_of(name)[-1] for name in known_tables()}
    return {name: last for name, last in lasts.items() if not IDENTIFIER.fullmatch(last)}


def _parts(reference: str) -> tuple[str, ...]:
    """Return the names in a reference, as if the database folded all of them."""
    return tuple([part.strip('"`[]').lower() for part in PART.findall(reference)])


@cache
def _parts_of(table: str) -> tuple[str, ...]:
    """Return the names in a model's table: `a"."b` is how people name a schema beside."""
    quote = "`" if "`" in table else '"'
    return _parts(table if table.startswith(quote) else f"{quote}{table}{quote}")


def tables_in(sql: str) -> set[str]:
    """Return the models' tables that a statement may read: a superset of those it does."""
    sql, words = sql.lower(), _words()
    found = {name for word in words.keys() & set(IDENTIFIER.findall(sql)) for name in words[word]}
    return found.union(name for name, text in _odd_tables().items() if text in sql)


class Recorder:
    """Notes the tables that statements on one connection read.

    Attributes:
        own: the tables of the view's own query.
        other: the tables of all other statements.
    """

    def __init__(self) -> None:
        self.own: set[str] = set()
        self.other: set[str] = set()
        self._expects_own = False
        self._watches = False

    @property
    def tables(self) -> set[str]:
        """All tables that were read, and perhaps some that were not."""
        return self.own | self.other

    def expect_own(self, queryset: QuerySet[Any] | None = None) -> None:
        """Take the next statement for the view's own query.

        Args:
            queryset: what it reads, where more will follow for its rows.
        """
        self._expects_own = True

    def row(self, instance: Model) -> AbstractContextManager[None]:
        """Take all that is read meanwhile for what a row reads to be rendered."""
        return nullcontext()

    def ways(self) -> Mapping[str, Collection[Any] | None]:
        """Return how the tables that were read besides lead back to the view's rows, None where
        any row may be meant."""
        return dict.fromkeys(self.other)

    def demand_own(self) -> None:
        """Have rows refused for which nobody asked the database.

        Raises:
            BindingError: the view's own query was not seen, and so its rows are somebody else's.
        """
        if self._expects_own and self._watches:
            raise BindingError(
                "Rows came without a question to the database: something else answered, such as a "
                "cache of querysets. No change of what it answers would be seen; have the "
                "binding's get_queryset() return a queryset that reads past it."
            )

    def __call__(
        self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any
    ) -> Any:
        tables = tables_in(sql)
        if self._expects_own:
            self._expects_own = False
            self.own |= tables
        else:
            self.other |= tables
        return execute(sql, params, many, context)

    @contextmanager
    def watching(self, alias: str) -> Iterator[Recorder]:
        """Watch the connection of this thread."""
        self._watches = True
        with connections[alias].execute_wrapper(self):
            yield self


Paths = Mapping[str, list[str] | None]
"""For each table of a query: the lookups by which its rows are reached from the view's model, or
None where they cannot be told. The base table's own lookup is "pk"."""


def paths_of(query: Any, sql: str, model: type[Model], *, told: bool = True) -> Paths:
    """Return how the tables of a compiled query reach its rows.

    Args:
        query: the `django.db.models.sql.Query` after compiling.
        sql: what it was compiled to.
        model: the model that it begins from.
        told: whether all of the SQL is Django's; what somebody has written may do anything.
    """
    lookups: dict[str, str | None] = {}
    explained: dict[str, list[str | None]] = {}
    for alias, source in query.alias_map.items():
        if query.alias_refcount.get(alias, 0):
            lookups[alias] = _lookup(source, lookups)
            explained.setdefault(source.table_name, []).append(lookups[alias])
    tables = {model._meta.db_table, *explained, *tables_in(sql)}
    if not told:
        return dict.fromkeys(tables)
    mentions = _mentions(sql, {_parts_of(alias)[-1] for alias in query.alias_map})
    paths: dict[str, list[str] | None] = {}
    for table in tables:
        known = explained.get(table, [])
        complete = known and mentions[_parts_of(table)] <= len(known)
        found = [lookup for lookup in known if lookup is not None]
        paths[table] = found if complete and len(found) == len(known) else None
    return paths


def mentions_in(sql: str, aliases: Collection[str]) -> Callable[[str], int]:
    """Return what tells how often a statement may mention a table.

    Args:
        sql: the statement.
        aliases: what tables are called in it.
    """
    counted = _mentions(sql, {_parts_of(alias)[-1] for alias in aliases})
    return lambda table: counted[_parts_of(table)]


def _mentions(sql: str, aliases: Collection[str]) -> Counter[tuple[str, ...]]:
    """Return how often names may stand for tables in a statement, those with a schema also under
    the last name alone. A column's name counts if it does not follow a table's or its alias."""
    counted: Counter[tuple[str, ...]] = Counter()
    for reference in REFERENCE.findall(sql):
        parts = _parts(reference)
        for start in range(len(parts)):
            holder = parts[start - 1] if start else ""
            if holder not in aliases and not ALIAS.fullmatch(holder):
                counted[parts[start:]] += 1
    return counted


def _lookup(source: Any, lookups: Mapping[str, str | None]) -> str | None:
    """Return the lookup from the view's model to a joined table's key, where keys lead there.

    They do only where nothing else of the joined row has a say in whose row it is: what it says now
    would not lead to those that it was joined to before.
    """
    if not isinstance(source, Join):
        return "pk"
    parent = lookups.get(source.parent_alias)
    field: Any = source.join_field
    forward = getattr(field, "concrete", False) and (field.many_to_one or field.one_to_one)
    if parent is None or not forward or not field.target_field.primary_key:
        return None
    if field.get_extra_restriction(source.table_alias, source.parent_alias) is not None:
        return None
    return f"{field.name}__pk" if parent == "pk" else f"{parent.removesuffix('pk')}{field.name}__pk"
