"""The tables that a change log watches."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.apps import apps
from django.db.models import CompositePrimaryKey


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Tracked:
    """A table to watch.

    Attributes:
        table: its name.
        pk: the name of its primary key's column.
    """

    table: str
    pk: str


def tracked(tables: Iterable[str]) -> list[Tracked]:
    """Return what to watch for these tables, those of no installed model left out."""
    wanted = set(tables)
    found = {
        Tracked(table=model._meta.db_table, pk=str(model._meta.pk.column))
        for model in apps.get_models(include_auto_created=True)
        if model._meta.db_table in wanted
        and not model._meta.proxy
        and not isinstance(model._meta.pk, CompositePrimaryKey)
    }
    return sorted(found)
