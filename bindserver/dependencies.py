"""What a view reads besides its own table, found by watching the SQL that it runs.

A `Recorder` sees every statement. The first one of each read is the view's own query, whose joins
the `Query` can explain: it knows by which foreign keys a changed row of a joined table reaches
rows of the view. Any table that is read otherwise (a subquery, a prefetch, a serializer that asks
by itself) may reach any row, so a change there means comparing the whole view.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

from django.apps import apps
from django.db import connections
from django.db.models import Model
from django.db.models.sql.datastructures import Join

IDENTIFIER = re.compile(r"[^\W\d][\w$]*")
SOURCE = re.compile(
    r"\b(?:FROM|JOIN)\s+[(\s]*(?:\"([^\"]+)\"|`([^`]+)`|([^\s\"`,()]+))", re.IGNORECASE
)


@cache
def known_tables() -> frozenset[str]:
    """Return the tables of all installed models, many-to-many tables among them."""
    return frozenset(model._meta.db_table for model in apps.get_models(include_auto_created=True))


@cache
def _odd_tables() -> frozenset[str]:
    """Return those whose names are more than one word, as old databases have them."""
    return frozenset(name for name in known_tables() if not IDENTIFIER.fullmatch(name))


def tables_in(sql: str) -> set[str]:
    """Return the models' tables that a statement may read: a superset of those it does."""
    found = set(known_tables().intersection(IDENTIFIER.findall(sql)))
    return found.union(name for name in _odd_tables() if name in sql)


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

    @property
    def tables(self) -> set[str]:
        """All tables that were read, and perhaps some that were not."""
        return self.own | self.other

    def expect_own(self) -> None:
        """Take the next statement for the view's own query."""
        self._expects_own = True

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
        with connections[alias].execute_wrapper(self):
            yield self


Paths = Mapping[str, list[str] | None]
"""For each table of a query: the lookups by which its rows are reached from the view's model, or
None where they cannot be told. The base table's own lookup is "pk"."""


def paths_of(query: Any, sql: str, model: type[Model]) -> Paths:
    """Return how the tables of a compiled query reach its rows.

    Args:
        query: the `django.db.models.sql.Query` after compiling.
        sql: what it was compiled to.
        model: the model that it begins from.
    """
    active = {
        alias: source
        for alias, source in query.alias_map.items()
        if query.alias_refcount.get(alias, 0)
    }
    lookups: dict[str, str | None] = {}
    explained: dict[str, list[str | None]] = {}
    for alias, source in active.items():
        lookups[alias] = _lookup(source, lookups)
        explained.setdefault(source.table_name, []).append(lookups[alias])
    mentions = Counter("".join(name) for name in SOURCE.findall(sql))
    paths: dict[str, list[str] | None] = {}
    for table in {model._meta.db_table, *explained, *tables_in(sql)}:
        known = explained.get(table, [])
        complete = known and mentions[table] <= len(known)
        found = [lookup for lookup in known if lookup is not None]
        paths[table] = found if complete and len(found) == len(known) else None
    return paths


def _lookup(source: Any, lookups: Mapping[str, str | None]) -> str | None:
    """Return the lookup from the view's model to a joined table's key, where keys lead there."""
    if not isinstance(source, Join):
        return "pk"
    parent = lookups.get(source.parent_alias)
    field: Any = source.join_field
    forward = getattr(field, "concrete", False) and (field.many_to_one or field.one_to_one)
    if parent is None or not forward:
        return None
    return f"{field.name}__pk" if parent == "pk" else f"{parent.removesuffix('pk')}{field.name}__pk"
