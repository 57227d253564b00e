"""The tables that a change log watches."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import CompositePrimaryKey, DateTimeField, DurationField, Field

Columns = frozenset[str] | None
"""Some columns of a table; None for all."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Tracked:
    """A table to watch.

    Attributes:
        table: its name.
        pk: the name of its primary key's column.
        columns: those of whose changes somebody must hear; None for all.
    """

    table: str
    pk: str
    columns: Columns = field(default=None, compare=False)

    def widened(self, present: Columns) -> Tracked:
        """Return the table to watch so that nobody hears less than until now.

        Args:
            present: the columns that are watched already.
        """
        if self.columns is None or present is None:
            return replace(self, columns=None)
        return replace(self, columns=self.columns | present | {self.pk})


OLD = "bindserver__old:"
"""Begins what stands in an entry in place of a table's name where it tells of old values."""


def entry_name(table: str, column: str) -> str:
    """Return what stands in place of a table's name in entries that tell what rows of it held in a
    column before they were changed or deleted."""
    return OLD + json.dumps([table, column])


@lru_cache(maxsize=4096)
def named_in_entry(name: str) -> tuple[str, str]:
    """Return the table that an entry is about, and the column whose old values it tells; "" for one
    that tells keys."""
    if not name.startswith(OLD):
        return name, ""
    table, column = json.loads(name.removeprefix(OLD))
    return table, column


def tracked(tables: Iterable[str], columns: Mapping[str, Columns] | None = None) -> list[Tracked]:
    """Return what to watch for these tables, those of no installed model left out.

    Args:
        tables: the tables.
        columns: which of their columns are read; of the others all are.
    """
    wanted, some = set(tables), columns or {}
    found = {
        Tracked(
            table=model._meta.db_table,
            pk=_column_of(model._meta.pk),
            columns=some.get(model._meta.db_table),
        )
        for model in apps.get_models(include_auto_created=True)
        if model._meta.db_table in wanted and not model._meta.proxy
    }
    return sorted(found)


def _column_of(pk: Any) -> str:
    """Return a key's column, the first where it has several: it is `untold` then."""
    columns = pk.columns if isinstance(pk, CompositePrimaryKey) else [pk.column]
    return str(columns[0])


def no_such(tables: Iterable[str], connection: BaseDatabaseWrapper) -> str:
    """Return the words that a database lacks these tables, and which command makes them."""
    alias = connection.alias
    where = "" if alias == DEFAULT_DB_ALIAS else f" --database {alias}"
    return f"No such tables: {', '.join(sorted(tables))}. Run `manage.py migrate{where}` first"


def untold(connection: BaseDatabaseWrapper) -> frozenset[str]:
    """Return the tables whose keys Python cannot tell by what this database holds, which is all
    that a trigger sees: any of their rows may be meant."""
    return frozenset(
        model._meta.db_table
        for model in apps.get_models(include_auto_created=True)
        if _is_held_otherwise(model._meta.pk, connection)
    )


def untold_columns(connection: BaseDatabaseWrapper) -> frozenset[tuple[str, str]]:
    """Return the (table, column) of foreign keys whose values Python cannot tell likewise."""
    return frozenset(
        (model._meta.db_table, str(field.column))
        for model in apps.get_models(include_auto_created=True)
        for field in model._meta.local_concrete_fields
        if field.is_relation and _is_held_otherwise(field, connection)
    )


def _is_held_otherwise(field: Any, connection: BaseDatabaseWrapper) -> bool:
    """Return whether a column's values need more than the field's `to_python` to be Python's."""
    if isinstance(field, CompositePrimaryKey):
        return True
    while field.is_relation:
        field = field.target_field
    features = connection.features
    return (
        hasattr(field, "from_db_value")
        # It leaves a number's text a text, and that is no key of a number's row.
        or type(field).to_python is Field.to_python
        or (isinstance(field, DurationField) and not features.has_native_duration_field)
        # A time without its zone would be taken for one in the project's own.
        or (
            isinstance(field, DateTimeField) and settings.USE_TZ and not features.supports_timezones
        )
    )
