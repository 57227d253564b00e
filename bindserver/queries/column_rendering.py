"""From rows of columns to the JSON text that is sent, and to dicts for Python."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from django.db.models import F, Model, QuerySet

from bindserver.bindings.columns import ColumnsRow
from bindserver.bindings.row_keys import wire_key
from bindserver.database.pacing import Pacer
from bindserver.queries.columns import Columns
from bindserver.queries.evaluation import instances
from bindserver.queries.internals import alike
from bindserver.queries.rendering import Around, ModelRenderer, Renderer, Row, alone
from bindserver.queries.slots import ALL, Slots
from bindserver.queries.versions import fingerprint_of_columns

HIDDEN = "beside_row_"
"""How the names of columns begin that are read beside those that somebody has selected."""

Record = tuple[Any, tuple[Any, ...], dict[str, Any]]
"""A row's primary key, if it is needed, its sort values, and the row."""


class ColumnsReader:
    """Reads rows of columns.

    Args:
        columns: what they have.
        sort_columns: attribute names of model fields whose values each row brings along.
    """

    def __init__(self, columns: Columns, sort_columns: Sequence[str]) -> None:
        self._columns = columns
        self._sort = tuple(sort_columns)

    def read(self, queryset: QuerySet[Any]) -> Iterator[Record]:
        """Yield the queryset's rows in its order; of aggregates the one that there is."""
        aggregates = self._columns.aggregates
        if aggregates is not None:
            whole = alike(queryset)
            whole.query.clear_limits()  # nothing is left out of a sum
            yield None, (), whole.aggregate(**aggregates)
            return
        columns = self._columns
        pk = columns.pk if columns.pk or not columns.needs_pk else f"{HIDDEN}pk"
        hidden = {f"{HIDDEN}pk": F("pk")} if pk == f"{HIDDEN}pk" else {}
        hidden |= {f"{HIDDEN}{name}": F(name) for name in self._sort}
        # Prefetching makes nothing of dicts, and would only cost.
        read = queryset.prefetch_related(None).annotate(**hidden) if hidden else queryset
        for row in instances(read):
            sort = tuple([row[f"{HIDDEN}{name}"] for name in self._sort])
            key = row[pk] if columns.needs_pk else None
            yield key, sort, {name: row[name] for name in columns.names} if hidden else row


class ColumnsRenderer(Renderer):
    """Renders rows of columns.

    Args:
        model: the view's model.
        serializer_class: what renders its rows.
        context: the serializer's context.
        sort_columns: attribute names of model fields whose values each row brings along.
        columns: what the rows have.
    """

    def __init__(
        self,
        model: type[Model],
        serializer_class: type[Any],
        context: Mapping[str, Any],
        sort_columns: Sequence[str],
        columns: Columns,
    ) -> None:
        self._columns = columns
        self._reader = ColumnsReader(columns, sort_columns)
        super().__init__(model, serializer_class, context, sort_columns)

    def _declare(self, serializer_class: type[Any], context: Mapping[str, Any]) -> None:
        self._take(serializer_class, context)
        self._row_key = self._columns.row_key(self._model, self.serializer)
        self._context.insist()
        self.key = self._row_key.name
        self._plain = None

    def is_plain(self) -> bool:
        """Return whether rows are served as they are."""
        return isinstance(self.serializer, ColumnsRow)

    def fields(self) -> list[Any]:
        """Return which fields rows have, and what they are told apart by."""
        told = self._columns
        served = list(getattr(self.serializer, "columns", ()))
        return [*super().fields(), list(told.names), served, list(told.by or ()), told.beside_pk]

    def row_format(self) -> list[Any]:
        """Return what the rows look like."""
        return [*super().row_format(), list(getattr(self.serializer, "columns", ())), self.key]

    def rows(
        self, queryset: QuerySet[Any], pacer: Pacer, slots: Slots = ALL, during: Around = alone
    ) -> Generator[Row, None, None]:
        """Yield the queryset's rows in its order, as `Renderer.rows` does."""
        whose = self._serializer_class.__name__
        for pk, sort, row in self._reader.read(queryset):
            render = partial(self._rendered_columns, self._columns.key_of(row, pk), row, sort)
            yield render() if self.is_plain() else self.leftovers.render(render, whose)
            pacer.pause()

    def _rendered_columns(self, key: Any, row: dict[str, Any], sort: tuple[Any, ...]) -> Row:
        return self._row(key, self.serializer.to_representation(row), sort)


class ColumnsModelRenderer(ModelRenderer):
    """Gives rows of columns as dicts, for Python.

    Args:
        model: the view's model.
        sort_columns: attribute names of model fields whose values each row brings along.
        columns: what the rows have.
    """

    def __init__(self, model: type[Model], sort_columns: Sequence[str], columns: Columns) -> None:
        super().__init__(model, sort_columns)
        self._columns = columns
        self._reader = ColumnsReader(columns, sort_columns)

    def rows(
        self, queryset: QuerySet[Any], pacer: Pacer, slots: Slots = ALL, during: Around = alone
    ) -> Generator[Row, None, None]:
        """Yield the queryset's rows in its order, as `Renderer.rows` does."""
        for pk, sort, row in self._reader.read(queryset):
            key = self._columns.key_of(row, pk)
            yield Row(key, wire_key(key), fingerprint_of_columns(row), sort, (), row)
            pacer.pause()
