"""Querysets that tell of what they write in bulk, where Django sends no signal."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from django.db.models import Manager, Model, QuerySet
from django.db.models.expressions import Col
from django.db.models.lookups import Exact, In
from django.db.models.sql import Query

from bindserver.capture.signals import written


class LiveQuerySetMixin:
    """For a queryset class of one's own: `class ShopQuerySet(LiveQuerySetMixin, QuerySet): …`.

    `update`, `bulk_update`, `bulk_create`, `update` by related managers and the async twins of all
    are followed at once. The hint names keys where they are known without another query.
    """

    # It derives from no queryset, so types know nothing of what `super()` has: hence the ignores.

    def update(self: Any, **values: Any) -> int:
        """Update, and tell of it."""
        keys = None if _writes_key(self.model, values) else keys_of(self.query)
        count: int = super().update(**values)  # type: ignore[misc]
        if count:
            written(self.model, keys, using=self.db)
        return count

    update.alters_data = True  # type: ignore[attr-defined]  # so that no template calls it

    def bulk_create(self: Any, objs: Iterable[Any], *args: Any, **kwargs: Any) -> list[Any]:
        """Insert, and tell of it."""
        made: list[Any] = super().bulk_create(objs, *args, **kwargs)  # type: ignore[misc]
        if made:
            updates = kwargs.get("update_conflicts") or (len(args) > 2 and args[2])
            written(self.model, None if updates else _keys_in(made), using=self.db)
        return made

    def _raw_delete(self: Any, using: str | None) -> int:
        keys = keys_of(self.query)
        count: int = super()._raw_delete(using)  # type: ignore[misc]
        if count:
            written(self.model, keys, using=using or self.db)
        return count


class LiveQuerySet(LiveQuerySetMixin, QuerySet[Any]):
    """A queryset that tells of what it writes: `objects = LiveQuerySet.as_manager()`."""


class LiveManager(Manager.from_queryset(LiveQuerySet)):  # type: ignore[misc]  # made at run time
    """A manager whose bulk writes are followed: `objects = LiveManager()`."""


def keys_of(query: Query) -> set[Any] | None:
    """Return primary keys among which all that the query matches are, None for any."""
    where = query.where
    if where.negated or where.connector != "AND":
        return None
    for condition in where.children:
        keys = _keys_named(query, condition)
        if keys is not None:
            return keys
    return None


def _keys_named(query: Query, condition: Any) -> set[Any] | None:
    """Return the keys that a condition such as `pk=7` or `pk__in=[7, 9]` names, else None."""
    if not isinstance(condition, (Exact, In)) or not isinstance(condition.lhs, Col):
        return None
    column: Any = condition.lhs
    if column.alias != query.base_table or column.target is not query.get_meta().pk:
        return None
    values = condition.rhs if isinstance(condition, In) else [condition.rhs]
    if not isinstance(values, Collection) or any(hasattr(v, "as_sql") for v in values):
        return None
    return set(values)


def _writes_key(model: type[Model], names: Iterable[str]) -> bool:
    meta = model._meta
    return any(
        name == "pk" or getattr(meta.get_field(name), "primary_key", False) for name in names
    )


def _keys_in(instances: Iterable[Model]) -> list[Any] | None:
    """Return the instances' keys, None if one has not been told its own."""
    keys = [instance.pk for instance in instances]
    return None if any(key is None for key in keys) else keys
