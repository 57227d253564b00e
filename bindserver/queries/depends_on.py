"""What stands behind the database views that a binding reads: the models of its `depends_on`.

No trigger can watch a view of the database, and its SQL names none of the tables behind it. Where a
binding says which these are, they are followed in the view's place. They count as read in any way:
a change in one of them means the whole view.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db.models import Model

from bindserver.bindings.binding import Binding, alias_of
from bindserver.bindings.registry import BindingClass
from bindserver.conf import conf
from bindserver.database.routers import misplaced
from bindserver.exceptions import BindingError

SAY_MODELS = 'For example `depends_on = [Order, "shop.Line"]`.'


NO_TABLES: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Behind:
    """What is followed in place of database views.

    Attributes:
        tables: those that a binding says stand behind what it reads.
        views: the database's views; none where the binding says nothing.
    """

    tables: frozenset[str] = frozenset()
    views: frozenset[str] = frozenset()

    def instead(self, tables: Collection[str]) -> frozenset[str]:
        """Return what to follow in place of these tables: the same where no view is among them."""
        if not tables:
            return NO_TABLES  # as for most views
        found = frozenset(tables)
        return found if self.views.isdisjoint(found) else (found - self.views) | self.tables


NOTHING_BEHIND = Behind()


def tables_behind(binding: Binding[Any] | BindingClass) -> frozenset[str]:
    """Return the tables of the models that a binding names in `depends_on`, parents' too.

    Raises:
        BindingError: it names something else, or a model that is kept in another database.
    """
    named: Any = binding.depends_on
    if named is None:
        return frozenset()
    if not isinstance(named, (list, tuple, set, frozenset)):
        raise BindingError(f"{_name(binding)}.depends_on is a list of models, not {named!r}.")
    found: set[str] = set()
    for item in named:
        model = _model_of(item, binding)
        found.update(one._meta.db_table for one in (model, *model._meta.all_parents))
    return frozenset(found)


def behind(binding: Binding[Any] | BindingClass, views: Collection[str]) -> Behind:
    """Return what is followed in place of a database's views, as a binding says it.

    Raises:
        BindingError: as for `tables_behind`.
    """
    tables = tables_behind(binding)
    return Behind(tables, frozenset(views)) if tables else NOTHING_BEHIND


def warning_of(binding: BindingClass, view: str) -> tuple[str, str]:
    """Return what is wrong with reading a database view, and what to write."""
    problem = (
        f"{binding.__name__} reads {view}, a database view, which no change log can watch: its "
        f"rows are compared whole every {conf.COMPARE_SECONDS:g} s."
    )
    remedy = (
        "Write `depends_on = [Model, …]` in it, with the models behind the view; then it is read "
        'when they change. Or lower BINDSERVER["COMPARE_SECONDS"].'
    )
    return problem, remedy


def _model_of(item: object, binding: Binding[Any] | BindingClass) -> type[Model]:
    where = f"{_name(binding)}.depends_on"
    if isinstance(item, str):
        try:
            item = apps.get_model(item)
        except (LookupError, ValueError) as problem:
            raise BindingError(
                f"{where} names {item!r}, and there is no such model: {str(problem).rstrip('.')}."
            ) from None
    if not (isinstance(item, type) and issubclass(item, Model)):
        raise BindingError(f"{where} names {item!r}, which is no model.")
    if item._meta.abstract:
        raise BindingError(f"{where} names {item.__name__}, which is abstract and has no table.")
    home = misplaced(item, binding.using)
    if home is not None:
        raise BindingError(
            f"{where} names {item.__name__}, which is kept in database {home!r}, and the binding "
            f"follows {alias_of(binding)!r}."
        )
    return item


def _name(binding: Binding[Any] | BindingClass) -> str:
    return (binding if isinstance(binding, type) else type(binding)).__name__
