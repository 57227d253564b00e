"""Which columns of its tables a query reads, as its SQL says."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache
from typing import Any

from django.apps import apps
from django.core.exceptions import EmptyResultSet
from django.db.models import QuerySet

from bindserver.queries.dependencies import IDENTIFIER
from bindserver.queries.identity import compile_query


def columns_read(
    queryset: QuerySet[Any], alias: str, tables: Collection[str]
) -> dict[str, frozenset[str]]:
    """Return the columns of tables that a queryset may read: a superset of those it does.

    Any column counts whose name stands somewhere in its SQL, whatever it names there, and each
    table's key. So all of that SQL must be Django's, which names each column.

    Args:
        queryset: as it is read, with all of its conditions.
        alias: its database.
        tables: those that it reads.

    Returns:
        Nothing where it has no SQL, since nothing adds up to its conditions.
    """
    try:
        sql = compile_query(queryset.query.chain(), alias).sql.lower()
    except EmptyResultSet:
        return {}
    words = frozenset(IDENTIFIER.findall(sql))
    known = _columns()
    return {
        table: frozenset(
            column
            for column, (name, is_word, is_key) in known[table].items()
            if is_key or (name in words if is_word else name in sql)
        )
        for table in tables
        if table in known
    }


@cache
def _columns() -> Mapping[str, Mapping[str, tuple[str, bool, bool]]]:
    """Return the columns of each model's table: as what they are looked for, whether that is a
    word, and whether they are a part of its key."""
    found: dict[str, dict[str, tuple[str, bool, bool]]] = {}
    for model in apps.get_models(include_auto_created=True):
        columns = found.setdefault(model._meta.db_table, {})
        keys = {field.column for field in model._meta.pk_fields}
        for field in model._meta.local_concrete_fields:
            column = str(field.column)
            name = column.lower()
            is_word = IDENTIFIER.fullmatch(name) is not None
            before = columns.get(column, (name, is_word, False))
            columns[column] = (name, is_word, before[2] or field.column in keys)
    return found
