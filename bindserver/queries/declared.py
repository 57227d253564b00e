"""Bindings whose rows nothing but their `filters` says: their plans are found by these alone.

To build a queryset and to walk its tree costs more than all else that a new subscriber does. Where
no code but Django's makes a queryset of the filters, it makes the same of the same names and types,
but for the constants. Which of these are the slot's, a probe says: other values must make a plan by
which the same is read, and be its slot. What no probe has proved is found by its tree.
"""

from __future__ import annotations

import datetime
import uuid
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple

from django.db.models import Manager, QuerySet

from bindserver.bindings.binding import Binding
from bindserver.database.routers import misplaced
from bindserver.queries.plan import Plan
from bindserver.queries.slots import Slot
from bindserver.queries.trees import LITERAL

MAKING = ("get_queryset", "get_q", "get_model", "conditions")
"""What of a binding has a say in its rows beside what it declares."""

PROBES: Mapping[type, Sequence[Any]] = {
    int: range(30_001, 30_101),
    datetime.date: [datetime.date(1901, 1, 1) + datetime.timedelta(days) for days in range(100)],
    uuid.UUID: [uuid.UUID(int=2**100 + number) for number in range(100)],
}
"""Values to probe with, of the types that make slots; numbers that every column can have."""

VALUES = LITERAL | PROBES.keys()
"""The types of filters' values of which Django makes the same, whatever the value; of None, truth
values and texts where the value is the same."""

WIDEST = 2**63
"""What is wider is compared with no column, and compiles to something else."""

TRIED = 3
"""So often a probe may fail before filters of these names and types are probed no more."""


class Declared(NamedTuple):
    """What says a binding's rows.

    Attributes:
        filters: the lookups that they must match.
        kind: equal for filters of the same names and types, and with the same order of the rows.
    """

    filters: Mapping[str, Any]
    kind: Hashable


class _Proved(NamedTuple):
    """A plan, and where queries of it have their slots from.

    Attributes:
        plan: the plan.
        names: for each value of the slot the filter whose value it is.
    """

    plan: Plan
    names: tuple[str, ...]


class DeclaredPlans:
    """The plans of bindings whose rows nothing but their `filters` says.

    Args:
        most: how many are kept, those that were asked for last.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._names: OrderedDict[Hashable, tuple[str, ...]] = OrderedDict()
        self._proved: OrderedDict[Hashable, _Proved] = OrderedDict()
        self._failed: OrderedDict[Hashable, int] = OrderedDict()

    def find(self, said: Hashable, declared: Declared) -> tuple[Plan, Slot] | None:
        """Return the plan of a binding, and the slot; None where that is not proved.

        Args:
            said: what else it says of its rows.
            declared: what says them.
        """
        kind, filters = (said, declared.kind), declared.filters
        names = self._names.get(kind)
        if names is None:
            return None
        key = (kind, names, _fixed(filters, names))
        proved = self._proved.get(key)
        if proved is None:
            return None
        self._names.move_to_end(kind)
        self._proved.move_to_end(key)
        return proved.plan, tuple([filters[name] for name in names])

    def prove(
        self,
        said: Hashable,
        declared: Declared,
        planned: tuple[Plan, Slot],
        make: Callable[[Mapping[str, Any]], Plan],
    ) -> None:
        """Keep a plan, if a probe says where queries of it have their slots from.

        Args:
            said: as for `find`.
            declared: what says the rows.
            planned: the plan, of which Django alone says what it compiles to, and the slot.
            make: returns the plan of other filters.
        """
        kind = (said, declared.kind)
        if self._failed.get(kind, 0) >= TRIED:
            return
        names = _probe(declared.filters, *planned, make)
        if names is None:
            self._failed[kind] = self._failed.pop(kind, 0) + 1
        else:
            self._names[kind] = names
            key = (kind, names, _fixed(declared.filters, names))
            self._proved[key] = _Proved(planned[0], names)
        for kept in (self._names, self._proved, self._failed):
            if len(kept) > self._most:
                kept.popitem(last=False)


def says_by_filters(binding: Binding[Any]) -> bool:
    """Return whether nothing has a say in a binding's rows but its `filters` and Django's own
    manager."""
    kind, model = type(binding), binding.model
    if model is None or not all(getattr(kind, name) is getattr(Binding, name) for name in MAKING):
        return False
    if not (binding.queryset is binding.excludes is binding.aggregate is None):
        return False
    manager: Any = model._default_manager
    made_by: Any = type(manager)
    is_djangos = made_by is Manager and manager._queryset_class is QuerySet
    return is_djangos and manager._db is None and not manager._hints


def declared_of(binding: Binding[Any], filters: Mapping[str, Any]) -> Declared | None:
    """Return what says a binding's rows; None where Django may make something else of other values
    of the same types.

    Args:
        binding: one of which `says_by_filters` is true.
        filters: what its `filters` say.
    """
    order, model = _order_of(binding.ordering), binding.model
    if order is None or misplaced(model, binding.using) is not None:
        return None
    if not all(type(name) is str and _is_known(value) for name, value in filters.items()):
        return None
    types = tuple([type(value) for value in filters.values()])
    return Declared(filters, (model, binding.using, order, tuple(filters), types))


def _order_of(ordering: object) -> tuple[object, ...] | None:
    """Return an order that consists of names, as a value; None for any other."""
    if ordering is None or type(ordering) is str:
        return (ordering,)
    if type(ordering) not in (list, tuple):
        return None
    names: Any = ordering
    return (list, *names) if all(type(name) is str for name in names) else None


def _is_known(value: object) -> bool:
    is_wide = isinstance(value, int) and abs(value) >= WIDEST
    return type(value) in VALUES and not is_wide


def _fixed(filters: Mapping[str, Any], names: Sequence[str]) -> tuple[Any, ...]:
    """Return the values of filters that make no slot; their types are known."""
    if len(filters) == len(names):
        return ()
    return tuple([value for name, value in filters.items() if name not in names])


def _probe(
    filters: Mapping[str, Any],
    plan: Plan,
    slot: Slot,
    make: Callable[[Mapping[str, Any]], Plan],
) -> tuple[str, ...] | None:
    """Return for each value of a slot the filter whose value it is; None where that is not sure."""
    own = [(type(value), value) for value in slot]
    asked = [
        name
        for name, value in filters.items()
        if type(value) in PROBES and (type(value), value) in own
    ]
    if len(asked) < len(own):
        return None
    probes = {name: _other(filters[name], at) for at, name in enumerate(asked)}
    other = make({**filters, **probes})
    if not other.is_own or other.unshared or other.told != plan.told:
        return None
    names = {value: name for name, value in probes.items()}
    found = [names.get(value) for value in other.slot]
    sure = [name for name in found if name is not None]
    is_whole = len(sure) == len(found) == len(set(sure)) == len(asked)
    return tuple(sure) if is_whole else None


def _other(value: Any, number: int) -> Any:
    """Return another value of the same type, for each number another one."""
    probes = PROBES[type(value)]
    other = probes[2 * number % len(probes)]
    return probes[(2 * number + 1) % len(probes)] if other == value else other
