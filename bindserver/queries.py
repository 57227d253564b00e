"""The only reads of users' tables: one query shape, in full, by keys, or its keys in order."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Hashable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from django.conf import settings
from django.core.exceptions import EmptyResultSet, ValidationError
from django.db import connections
from django.db.models import Model, Prefetch, QuerySet

from bindserver.binding import Binding
from bindserver.conf import conf
from bindserver.databases import database_of
from bindserver.databases.base import Sorting
from bindserver.dependencies import Paths, Recorder, paths_of
from bindserver.engine import protocol
from bindserver.engine.changes import Key
from bindserver.engine.view import Fresh
from bindserver.exceptions import BindingError, BindserverError, TooManyRows
from bindserver.pace import Pacer
from bindserver.rendering import ModelRenderer, Renderer, Row, describe

KEYS_PER_QUERY = 500


class Form(Enum):
    """What rows are read as: JSON for subscribers, or model instances for Python."""

    JSON = "json"
    MODELS = "models"


class OverBudget(BindserverError):
    """There are more rows than were to be read here."""


@dataclass(slots=True)
class Rows:
    """Rows that were read, in the query's order.

    Attributes:
        fresh: what a view takes, by key.
        keys: the key of each primary key.
        instances: the model instances, by key, where they are wanted.
    """

    fresh: dict[Key, Fresh] = field(default_factory=dict)
    keys: dict[Hashable, Key] = field(default_factory=dict)
    instances: dict[Key, Model] = field(default_factory=dict)

    def add(self, row: Row, sort: tuple[Any, ...] | None) -> None:
        self.fresh[row.key] = Fresh(row.text, sort)
        self.keys[row.pk] = row.key
        if row.instance is not None:
            self.instances[row.key] = row.instance


class Query:
    """The query of one binding in one context: what it reads, and who it is.

    Making one asks the binding for its queryset, which may read the database.

    Args:
        binding: the binding, with its context.
        form: what its rows are read as.

    Attributes:
        identity: equal for two queries whose subscribers are sent the same.
        fingerprint: the identity and the rows' format, short, for cursors.
        key: the name of the row field that holds the key.
        sortable: whether rows bring sort values.
        whole: why it can only be read whole, or None.
    """

    def __init__(self, binding: Binding[Any], form: Form = Form.JSON) -> None:
        self.form = form
        self.alias: str = binding.using or "default"
        self.max_rows: int = binding.max_rows or conf.MAX_ROWS
        self._limit = binding.limit
        queryset = _conditioned(binding).using(self.alias)
        self.model: type[Model] = queryset.model
        self._directions, queryset = _ordered(queryset, binding.ordering, self.alias)
        self.sortable = self._directions is not None and not self._limit
        self.whole = _why_whole(queryset, self._limit)
        if self.whole:
            self.sortable = False
        self._queryset = queryset[: self._limit] if self._limit else queryset
        self.sql, self.paths = _compiled(queryset, self.alias, self.model)
        columns = [name for name, _, _ in self._directions or ()] if self.sortable else []
        self._renderer: Renderer | ModelRenderer
        if form is Form.JSON:
            self._render_json(binding, columns)
        else:
            self._renderer = ModelRenderer(self.model, columns)
            made = [form.value, self.model._meta.label, self.max_rows, _prefetched(queryset)]
            self.identity = self.fingerprint = _digest([*_read(self, binding), *made])
        self.key = self._renderer.key

    def _render_json(self, binding: Binding[Any], columns: Sequence[str]) -> None:
        serializer_class = binding.get_serializer_class()
        context = binding.get_serializer_context()
        self._renderer = Renderer(self.model, serializer_class, context, columns)
        served = [_path(serializer_class), identify(context)]
        self.identity = _digest([*_read(self, binding), *served])
        row_format = describe(serializer_class(context=context))
        self.fingerprint = _digest(
            [self.identity, row_format, settings.LANGUAGE_CODE, settings.TIME_ZONE]
        )[:16]

    @property
    def tables(self) -> set[str]:
        """The tables that its own SQL reads."""
        return {self.model._meta.db_table, *self.paths}

    def load(self, recorder: Recorder, pacer: Pacer, budget: int | None = None) -> Rows:
        """Read every row, in order.

        Args:
            recorder: notes what is read.
            pacer: rests, and stops what takes too long.
            budget: how many rows to read here at most.

        Raises:
            OverBudget: there are more rows than `budget`.
            TooManyRows: there are more than the binding allows.
            QueryTimeout: it took too long.
        """
        rows = Rows()
        recorder.expect_own()
        most = self.max_rows if budget is None else min(budget, self.max_rows)
        bounded = self._queryset if self._queryset.query.is_sliced else self._queryset[: most + 1]
        # Closed here: the error, and so the cursor, may go to another thread, where it cannot be.
        with closing(self._renderer.rows(bounded, pacer)) as found:
            for count, row in enumerate(found, start=1):
                if budget is not None and count > budget:
                    raise OverBudget
                if count > self.max_rows:
                    raise TooManyRows(self.max_rows)
                rows.add(row, self._sort(row))
        return rows

    def read(self, pks: Collection[Any], recorder: Recorder, pacer: Pacer) -> Rows:
        """Read the rows of the query that have these primary keys, in no order."""
        rows = Rows()
        for some in _batches(sorted(pks, key=repr), KEYS_PER_QUERY):
            recorder.expect_own()
            with closing(self._renderer.rows(self._queryset.filter(pk__in=some), pacer)) as found:
                for row in found:
                    rows.add(row, self._sort(row))
        return rows

    def ordered_pks(self, pacer: Pacer) -> list[Any]:
        """Read the primary keys of all rows in the query's order."""
        pks: dict[Any, None] = {}
        for pk in self._queryset.values_list("pk", flat=True).iterator(chunk_size=2000):
            pks[pk] = None
            pacer.pause()
        return list(pks)

    def primary_keys(self, raw: Iterable[Any]) -> set[Any] | None:
        """Return primary keys as Python has them, None if one cannot be told."""
        to_python = self.model._meta.pk.to_python
        try:
            return {to_python(value) for value in raw}
        except ValidationError:
            return None

    def reached(self, table: str, raw: Collection[Any], budget: int) -> set[Any] | None:
        """Return the primary keys of rows that changed rows of another table may reach.

        Args:
            table: the changed table.
            raw: the primary keys of its rows, as the database holds them.
            budget: how many rows may be reached.

        Returns:
            None when any row may be reached, or more than `budget`.
        """
        lookups = self.paths.get(table)
        if lookups is None or len(raw) > budget:
            return None
        found: set[Any] = set()
        base = self.model._base_manager.using(self.alias)
        for lookup in lookups:
            for some in _batches(list(raw), KEYS_PER_QUERY):
                reached = base.filter(**{f"{lookup}__in": some}).values_list("pk", flat=True)
                found.update(reached[: budget + 1])
                if len(found) > budget:
                    return None
        return found

    def _sort(self, row: Row) -> tuple[Any, ...] | None:
        if not self.sortable or self._directions is None:
            return None
        return tuple(
            [
                sorting(value, sign)
                for (_, sign, sorting), value in zip(self._directions, row.sort, strict=True)
            ]
        )


def queryset_of(binding: Binding[Any]) -> QuerySet[Any]:
    """Return a binding's rows, in its order, as a queryset that can be filtered and sliced further.

    Making one asks the binding for its queryset, which may read the database.
    """
    alias = binding.using or "default"
    _, queryset = _ordered(_conditioned(binding).using(alias), binding.ordering, alias)
    if binding.limit:
        queryset = queryset[: binding.limit]
    if not queryset.query.is_sliced:
        return queryset
    # What is sliced takes no further filter; its keys, as a subquery, say the same.
    whole = queryset.all()
    whole.query.clear_limits()
    return whole.filter(pk__in=queryset.values("pk"))


def reads_alike(one: QuerySet[Any], other: QuerySet[Any], alias: str) -> bool:
    """Tell whether two querysets give the same rows in the same order, by their SQL.

    Where one leaves the order of equals open, the other may settle it by the key.
    """
    return all(
        (
            one.model is other.model,
            one.db == other.db == alias,
            one._iterable_class is other._iterable_class,
            one._result_cache is None and other._result_cache is None,
            one.query.deferred_loading == other.query.deferred_loading,
            _same(one._prefetch_related_lookups, other._prefetch_related_lookups),  # type: ignore[attr-defined]
        )
    ) and _statement(one, alias) == _statement(other, alias)


def _same(some: Sequence[Any], others: Sequence[Any]) -> bool:
    """Tell whether prefetches are the same: two `Prefetch` objects are equal too easily."""
    return len(some) == len(others) and all(
        a is b or (isinstance(a, str) and a == b) for a, b in zip(some, others, strict=True)
    )


def _statement(queryset: QuerySet[Any], alias: str) -> str:
    _, ordered = _ordered(queryset, None, alias)
    return _compiled(ordered, alias, ordered.model)[0]


def _conditioned(binding: Binding[Any]) -> QuerySet[Any]:
    """Return the binding's queryset with its filters, excludes and `get_q`."""
    queryset = binding.get_queryset()
    if not isinstance(queryset, QuerySet):
        raise BindingError(f"{type(binding).__name__}.get_queryset() returns a QuerySet.")
    filters, excludes = binding.conditions("filters"), binding.conditions("excludes")
    condition = binding.get_q()
    if filters:
        queryset = queryset.filter(**filters)
    if excludes:
        queryset = queryset.exclude(**excludes)
    return queryset.filter(condition) if condition else queryset


Directions = list[tuple[str, int, Sorting]]


def _ordered(
    queryset: QuerySet[Any], ordering: Sequence[Any] | str | None, alias: str
) -> tuple[Directions | None, QuerySet[Any]]:
    """Order the queryset, its key last, and tell whether Python can repeat the order.

    Returns:
        (attribute, 1 or -1, how Python sorts it) of each order column or None, and the queryset.
    """
    if queryset.query.is_sliced or queryset.query.combinator:
        return None, queryset
    if ordering is None:
        ordering = queryset.query.order_by or queryset.model._meta.ordering or ()
    items: list[Any] = [ordering] if isinstance(ordering, str) else list(ordering)
    pk = queryset.model._meta.pk
    names = {item.lstrip("-") for item in items if isinstance(item, str)}
    if not names & {"pk", pk.name, pk.attname}:
        items.append("pk")
    directions = [_direction(queryset.model, item, alias) for item in items]
    repeatable = not (queryset.query.extra or queryset.query.extra_order_by)
    if repeatable and all(direction is not None for direction in directions):
        return [d for d in directions if d is not None], queryset.order_by(*items)
    return None, queryset.order_by(*items)


def _direction(model: type[Model], item: Any, alias: str) -> tuple[str, int, Sorting] | None:
    """Return the attribute and sign of an order column that Python sorts as the database does, and
    how."""
    if not isinstance(item, str):
        return None
    name, sign = item.lstrip("-"), -1 if item.startswith("-") else 1
    fields = {f.name: f for f in model._meta.concrete_fields} | {"pk": model._meta.pk}
    column = fields.get(name)
    if column is None or column.null:
        return None
    sorting = database_of(connections[alias].vendor).sorting(column)
    return None if sorting is None else (column.attname, sign, sorting)


def _why_whole(queryset: QuerySet[Any], limit: int | None) -> str | None:
    query = queryset.query
    if limit or query.is_sliced:
        return "it has a limit"
    if query.combinator:
        return "it is a union"
    if any(getattr(a, "contains_over_clause", False) for a in query.annotations.values()):
        return "it has window functions"
    if query.distinct_fields:
        return "it is distinct on some columns"
    return None


def _compiled(queryset: QuerySet[Any], alias: str, model: type[Model]) -> tuple[str, Paths]:
    """Return the query's SQL with its arguments, and how its tables reach its rows."""
    query = queryset.query.chain()
    compiler = query.get_compiler(using=alias)
    try:
        # `as_sql` forgets the joins that it adds itself, for orderings and `select_related`.
        compiler.pre_sql_setup()
        sql, params = compiler.as_sql()
    except EmptyResultSet:
        return "", {model._meta.db_table: None}
    return f"{sql} {params!r}", paths_of(query, sql, model)


def _read(query: Query, binding: Binding[Any]) -> list[Any]:
    """Return what says which rows a query reads, and for which binding."""
    return [
        _path(type(binding)),
        query.alias,
        query.sql,
        query._limit,
        protocol.canonical(binding.wire_params),
    ]


def _prefetched(queryset: QuerySet[Any]) -> list[list[str]]:
    """Return what a queryset's prefetches are, which its own SQL does not say."""
    prefetches = [
        item if isinstance(item, Prefetch) else Prefetch(item)
        for item in queryset._prefetch_related_lookups  # type: ignore[attr-defined]
    ]
    return [
        [item.prefetch_to, str(item.queryset.query) if item.queryset is not None else ""]
        for item in prefetches
    ]


def identify(value: Any) -> Any:
    """Return a serializer context's value as plain data that says who it is.

    Raises:
        BindingError: it is something that cannot be compared.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return [type(value).__name__, value]
    if isinstance(value, Model):
        return [value._meta.label, str(value.pk)]
    if isinstance(value, dict):
        return {str(name): identify(item) for name, item in sorted(value.items())}
    if isinstance(value, (list, tuple)):
        return [identify(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(json.dumps(identify(item)) for item in value)
    if getattr(value, "is_anonymous", False):
        return ["anonymous"]
    raise BindingError(
        f"get_serializer_context() returns plain values and model instances, not {type(value)}."
    )


def _path(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _digest(parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _batches(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
