"""From changed rows of a query's tables to the rows of its model that they may have a say in."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from functools import cache
from typing import Any
from uuid import UUID

from django.apps import apps
from django.core.exceptions import ValidationError
from django.db.models import Field, Model, QuerySet

from bindserver.engine.changes import Change
from bindserver.queries.backwards import WHOLE_NUMBERS, Chain, Hop, kind_of

KEYS_PER_QUERY = 500

ALIKE = {WHOLE_NUMBERS: int, "UUIDField": UUID}
"""The kinds of values that are equal in the database if they are in Python."""


class TooMany(Exception):
    """There are more rows than were to be followed."""


class UnknownOldValues(Exception):
    """It is not known what changed rows held before."""


class Following:
    """Follows changed rows of a database's tables to those of one model.

    Args:
        model: where they lead to.
        alias: the database.
        budget: how many rows are followed at most, at each hop.
    """

    def __init__(self, model: type[Model], alias: str, budget: int) -> None:
        self._model = model
        self._alias = alias
        self._budget = budget

    def reached(
        self, change: Change, chains: Iterable[Chain], told: Collection[str]
    ) -> set[Any] | None:
        """Return the primary keys of the rows that changed rows have a say in, or had.

        Args:
            change: what was changed, by keys.
            chains: how its table leads to the model.
            told: the table's columns whose old values every change tells.

        Returns:
            None for any row: it cannot be told, or there are too many.
        """
        found: set[Any] = set()
        try:
            for chain in chains:
                found |= self._followed(change, chain, told)
                self._mind_budget(found)
        except (TooMany, UnknownOldValues, ValidationError):
            return None
        return found

    def _followed(self, change: Change, chain: Chain, told: Collection[str]) -> set[Any]:
        assert change.pks is not None
        if not chain:
            return set(map(self._model._meta.pk.to_python, change.pks))
        values = self._connecting(change, chain[0], told)
        self._mind_budget(values)
        return self._climbed(values, chain) if values else set()

    def _connecting(self, change: Change, hop: Hop, told: Collection[str]) -> set[Any]:
        """Return what changed rows hold, or held, in the column that connects them.

        Raises:
            Unknown: what they held is told by nobody.
        """
        model, field = column_of(hop.table, hop.column)
        assert change.pks is not None
        if field.primary_key:
            return {field.to_python(value) for value in change.pks}
        if hop.column not in told:
            raise UnknownOldValues
        before = {field.to_python(value) for column, value in change.old if column == hop.column}
        return before | self._values(model, "pk", change.pks, field.attname)

    def _climbed(self, values: set[Any], chain: Chain) -> set[Any]:
        """Return the keys of the model's rows that rows of the first hop's nearer table lead to.

        Args:
            values: what these hold in the column that is connected.
            chain: the hops.
        """
        while True:
            hop, *rest = chain
            model, field = column_of(hop.nearer, hop.nearer_column)
            if not rest:
                return self._keys(field, values)
            _, wanted = column_of(rest[0].table, rest[0].column)
            if wanted.column != field.column or not _are_alike(field, values):
                values = self._values(model, field.attname, values, wanted.attname)
                self._mind_budget(values)
            if not values:
                return values
            chain = tuple(rest)

    def _keys(self, field: Any, values: set[Any]) -> set[Any]:
        """Return the keys of the model's rows that hold one of these values."""
        if field.primary_key and _are_alike(field, values):
            return values
        return self._values(self._model, field.attname, values, "pk")

    def _values(
        self, model: type[Model], column: str, wanted: Collection[Any], other: str
    ) -> set[Any]:
        """Return what rows hold in one column that hold one of some values in another."""
        found: set[Any] = set()
        rows = QuerySet[Any](model, using=self._alias)  # managers may hide rows
        for some in _batches(wanted):
            read = rows.filter(**{f"{column}__in": some}).order_by().distinct()
            found.update(read.values_list(other, flat=True)[: self._budget + 1])
            self._mind_budget(found)
        return found - {None}

    def _mind_budget(self, values: Collection[Any]) -> None:
        if len(values) > self._budget:
            raise TooMany


def _are_alike(field: Any, values: Collection[Any]) -> bool:
    """Return whether values are equal in a column of the database just if they are in Python."""
    kind = ALIKE.get(kind_of(field))
    return kind is not None and all(isinstance(value, kind) for value in values)


@cache
def column_of(table: str, column: str) -> tuple[type[Model], Field[Any, Any]]:
    """Return the model of a table that has a column, and that column's field.

    Raises:
        LookupError: no installed model has it.
    """
    for model in apps.get_models(include_auto_created=True):
        if model._meta.db_table == table and not model._meta.proxy:
            for field in model._meta.local_concrete_fields:
                if field.column == column:
                    return model, field
    raise LookupError(f"{table}.{column}")


def _batches(values: Collection[Any]) -> Iterator[list[Any]]:
    listed = list(values)
    for start in range(0, len(listed), KEYS_PER_QUERY):
        yield listed[start : start + KEYS_PER_QUERY]
