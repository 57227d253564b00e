"""What a binding asks of the database: its queryset, in its order, and what that compiles to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connections
from django.db.models import Field, Model, QuerySet, Subquery
from django.db.models.query import (
    FlatValuesListIterable,
    NamedValuesListIterable,
    RawQuerySet,
    ValuesIterable,
    ValuesListIterable,
)
from django.db.models.sql import Query as SQLQuery

from bindserver.bindings.binding import Binding, alias_of
from bindserver.bindings.columns import has_dicts
from bindserver.database import database_of
from bindserver.database.base import Sorting
from bindserver.database.routers import elsewhere, say_using
from bindserver.exceptions import BindingError
from bindserver.queries.backwards import Chains, chains_of
from bindserver.queries.columns import in_order, told_apart
from bindserver.queries.dependencies import Paths, paths_of
from bindserver.queries.evaluation import makes_rows
from bindserver.queries.expressions import has_window, keeps, own_sql
from bindserver.queries.identity import IdentityEncoder, Statement, compile_query
from bindserver.queries.untouched import untouched
from bindserver.queries.windows import cut_of


def queryset_of(binding: Binding[Any]) -> QuerySet[Any]:
    """Return a binding's rows, in its order, as a queryset that can be filtered and sliced further.

    Making one asks the binding for its queryset, which may read the database.
    """
    alias = alias_of(binding)
    if binding.aggregate is not None:
        return located(binding, alias)
    _, queryset = ordered(located(binding, alias), binding.ordering, alias)
    if (cut := cut_of(binding)) is not None:
        queryset = cut.of(queryset)
    if not queryset.query.is_sliced or has_dicts(queryset):
        return queryset
    # What is sliced takes no further filter; its keys, as a subquery, say the same.
    whole = queryset.all()
    whole.query.clear_limits()
    keys: Any = queryset.values("pk")
    if not connections[alias].features.allow_sliced_subqueries_with_in:
        keys = Limited(keys)
    return whole.filter(pk__in=keys)


class Limited(Subquery):
    """A subquery with a limit, for MariaDB and MySQL, which take it in an IN one level deeper."""

    template = "(SELECT * FROM (%(subquery)s) AS limited)"


def reads_alike(one: QuerySet[Any], other: QuerySet[Any], alias: str) -> bool:
    """Return whether two querysets give the same rows in the same order.

    Where one leaves the order of equals open, the other may settle it by the key.
    """
    return one.db == other.db == alias and _settled(one, alias) == _settled(other, alias)


def _settled(queryset: QuerySet[Any], alias: str) -> Any:
    _, in_order = ordered(queryset.using(alias), None, alias)
    return IdentityEncoder(alias).queryset(in_order, "a queryset")


def located(
    binding: Binding[Any], alias: str, filters: Mapping[str, Any] | None = None
) -> QuerySet[Any]:
    """Return the binding's queryset with its conditions, on its database; reading it leaves what
    the binding's class has as it is.

    Args:
        binding: the binding.
        alias: the database.
        filters: what the binding's `filters` say, if they have been asked already.

    Raises:
        BindingError: it, or what it prefetches, is to be read from another one.
    """
    queryset = conditioned(binding, filters)
    other = elsewhere(queryset, binding.using)
    if other is not None:
        raise BindingError(
            f"{type(binding).__name__} reads {queryset.model.__name__} from database {other!r}, "
            f"and follows {alias!r}. {say_using(other)}"
        )
    return untouched(queryset.using(alias))


def conditioned(binding: Binding[Any], filters: Mapping[str, Any] | None = None) -> QuerySet[Any]:
    """Return the binding's queryset with its filters, which may be known already, its excludes and
    `get_q`."""
    queryset: QuerySet[Any] = binding.get_queryset()
    if problem := why_no_rows(queryset):
        raise BindingError(f"{type(binding).__name__}.get_queryset() returns {problem}.")
    if problem := why_not_combined(queryset):
        raise BindingError(f"{type(binding).__name__}.get_queryset(): {problem}.")
    filters = binding.conditions("filters") if filters is None else filters
    excludes = binding.conditions("excludes")
    condition = binding.get_q()
    if filters:
        queryset = queryset.filter(**filters)
    if excludes:
        queryset = queryset.exclude(**excludes)
    return queryset.filter(condition) if condition else queryset


FLAT = (FlatValuesListIterable, NamedValuesListIterable)

INSTANCES = "return a QuerySet of model instances, or one with values()"


def why_no_rows(queryset: object) -> str:
    """Return what stands in place of a queryset of model instances, and what to write; or nothing
    where one stands there."""
    if isinstance(queryset, RawQuerySet):
        return f"what raw() gives, which nothing can be added to; {INSTANCES}"
    if not isinstance(queryset, QuerySet):
        kind = type(queryset).__name__
        aggregated = ", as aggregate() does" if isinstance(queryset, dict) else ""
        return f"a {kind}{aggregated}; {INSTANCES}"
    rows = queryset._iterable_class
    if rows is ValuesIterable:
        return ""
    if isinstance(rows, type) and issubclass(rows, (ValuesIterable, ValuesListIterable, *FLAT)):
        return f"rows of values_list(), dates() or the like, which have no names; {INSTANCES}"
    return ""


def why_not_combined(queryset: QuerySet[Any]) -> str:
    """Return why the rows of a union cannot be read or told apart, and what to write; or nothing
    where they can, or where it is no union."""
    parts: Any = queryset.query.combined_queries
    if not queryset.query.combinator:
        return ""
    if not has_dicts(queryset):
        if any(part.model is not queryset.model for part in parts):
            return f"it takes rows of several models for {queryset.model.__name__}; use values()"
        kept = [part.annotation_select for part in parts]
        if any(one != kept[0] for one in kept):
            return "its parts annotate rows differently, so that one may be two; use values()"
    widths = {_width(part, queryset.query) for part in parts}
    return "its parts select different numbers of columns" if len(widths) > 1 else ""


def _width(part: Any, whole: Any) -> int:
    """Return how many columns a part of a union selects."""
    if part.combinator:
        return _width(part.combined_queries[0], part)
    if not part.values_select and not part.annotation_select and whole.values_select:
        part = whole  # as Django has it: the union's own choice is its parts'
    chosen = len(part.extra_select) + len(part.annotation_select)
    if not part.default_cols:
        return chosen + len(part.select)
    names, defer = part.deferred_loading
    columns = {field.attname for field in part.model._meta.concrete_fields}
    if defer:
        return chosen + len(columns - names)
    return chosen + len((columns & names) | {part.model._meta.pk.attname})


Directions = list[tuple[str, int, Sorting]]


def ordered(
    queryset: QuerySet[Any], ordering: Sequence[Any] | str | None, alias: str
) -> tuple[Directions | None, QuerySet[Any]]:
    """Order the queryset, its key last, and tell whether Python can repeat the order.

    Returns:
        (attribute, 1 or -1, how Python sorts it) of each order column or None, and the queryset.
    """
    query = queryset.query
    if has_dicts(queryset) and (columns := told_apart(queryset)).whole is not None:
        return None, in_order(queryset, ordering, columns)
    if query.combinator and ordering and not query.is_sliced:
        return None, queryset.order_by(*([ordering] if isinstance(ordering, str) else ordering))
    if query.is_sliced or query.combinator:
        return None, queryset
    if ordering is None and query.extra_order_by:
        return None, _ordered_by_extra(queryset)
    if ordering is None:
        ordering = query.order_by or queryset.model._meta.ordering or ()
    items: list[Any] = [ordering] if isinstance(ordering, str) else list(ordering)
    if not _names_key(queryset.model, items):
        items.append("pk")
    sign = 1 if query.standard_ordering else -1  # `reverse()` turns whatever order there is
    # Among the columns of values() an annotation may be called like a field.
    fields = [item for item in items if _column_of(item) not in query.annotations]
    directions = [_direction(queryset, item, sign, alias) for item in fields]
    told = len(fields) == len(items) and all(direction is not None for direction in directions)
    if told and not query.extra:
        return [d for d in directions if d is not None], queryset.order_by(*items)
    return None, queryset.order_by(*items)


def _column_of(item: Any) -> str:
    return item.lstrip("-") if isinstance(item, str) else ""


def _names_key(model: type[Model], items: Iterable[Any]) -> bool:
    names = {item.lstrip("-") for item in items if isinstance(item, str)}
    return not names.isdisjoint({"pk", model._meta.pk.name, model._meta.pk.attname})


def _ordered_by_extra(queryset: QuerySet[Any]) -> QuerySet[Any]:
    """Return a queryset in the order that it has by `extra()`, its key last: that order may name
    columns as SQL does, which `order_by()` does not take."""
    items = list(queryset.query.extra_order_by)
    return queryset.extra(order_by=items if _names_key(queryset.model, items) else [*items, "pk"])


def _direction(
    queryset: QuerySet[Any], item: Any, sign: int, alias: str
) -> tuple[str, int, Sorting] | None:
    """Return the attribute and sign of an order column that Python sorts as the database does, and
    how."""
    if not isinstance(item, str):
        return None
    model: type[Model] = queryset.model
    name, sign = item.lstrip("-"), -sign if item.startswith("-") else sign
    fields = {f.name: f for f in model._meta.concrete_fields} | {"pk": model._meta.pk}
    column = fields.get(name)
    if column is None or column.null or not keeps(model, column.attname):
        return None
    if not _is_loaded(queryset.query, column):
        return None  # asking a row for it would load it, and a serializer may see that
    if column.model._meta.concrete_model is not model._meta.concrete_model:
        return None  # a parent's, in a table that is joined
    sorting = database_of(connections[alias].vendor).sorting(column)
    return None if sorting is None else (column.attname, sign, sorting)


def _is_loaded(query: SQLQuery, column: Field[Any, Any]) -> bool:
    """Return whether rows bring a column along: `only()` and `defer()` leave some out."""
    names, defer = query.deferred_loading
    named = not names.isdisjoint({column.name, column.attname})
    return named is not defer or column.primary_key


def why_whole(queryset: QuerySet[Any], limit: int | None) -> str | None:
    """Return why rows cannot be read by their keys, or None where they can."""
    query = queryset.query
    if limit or query.is_sliced:
        return "it has a limit"
    if query.combinator:
        return "it is a union"
    if has_dicts(queryset) and (whole := told_apart(queryset).whole) is not None:
        return whole
    if has_window(query):
        return "it has window functions"
    if query.distinct_fields:
        return "it is distinct on some columns"
    if (written := own_sql(query)) is not None:
        return f"it has SQL of its own ({written})"
    maker = makes_rows(queryset)
    return None if maker is None else f"its rows are made together ({maker})"


def compiled(
    queryset: QuerySet[Any], alias: str, model: type[Model]
) -> tuple[Statement, Paths, Chains]:
    """Return the query's SQL with its arguments, and how its tables reach its rows: by lookups,
    and where these do not tell, by chains of hops."""
    query = queryset.query.chain()
    try:
        statement = compile_query(query, alias)
    except EmptyResultSet:
        return Statement("", ()), {model._meta.db_table: None}, {}
    told = own_sql(query) is None
    paths = paths_of(query, statement.sql, model, told=told)
    if told and (None in paths.values() or paths[model._meta.db_table] != ["pk"]):
        return statement, paths, chains_of(query, statement.sql, model)
    return statement, paths, {}
